"""The residual-quantized autoencoder: an encoder, codebooks of its latents, and a decoder, trained together."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _native_rqvae
from .._arrays import CodeMatrix, FloatMatrix, as_codes, as_matrix, is_float32, to_float32
from .._devices import check_device
from .._estimator import Estimator
from .._html import Level
from .._params import check_choice, check_float, check_int, check_seed
from ..exceptions import CollapseWarning, ModelFileError, NotFittedError, ShapeMismatchError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RQVAE"]

_log = logging.getLogger("semantic_id")
_SHAPE = ("in_dim", "num_emb_list", "e_dim", "layers", "bn")
_SAVED = (
    *("in_dim", "num_emb_list", "e_dim", "layers", "dropout_prob", "bn", "loss_type", "quant_loss_weight", "beta"),
    *("kmeans_init", "kmeans_iters", "sk_epsilons", "sk_iters"),
)
_SCHEDULES = ("cosine", "step", "constant_with_warmup")
_BLOCK = 1 << 23  # values converted at a time when `encode` gets anything but C-ordered float32: 32 MiB


class RQVAE(Estimator):
    """Residual-quantized autoencoder: embeddings to a few small integers each, coarse to fine.

    An encoder maps embeddings to latents, codebooks quantize these level by level, and a decoder maps what they add up
    to back; all are trained together by AdamW (Lee et al., CVPR 2022; as tokenizer of items: Rajput et al., NeurIPS
    2023). The gradient of the reconstruction goes straight through the quantizer to the encoder, unless
    `rotation_trick` says otherwise.

    Parameters
    ----------
    in_dim : int, default=768
        Columns of the embeddings.
    num_emb_list : sequence of int, default=None
        Code vectors of each level (None: four levels of 256).
    e_dim : int, default=64
        Columns of the latents.
    layers : sequence of int, default=None
        Widths of the encoder's hidden layers (None: 512, 256, 128); the decoder has them in reverse.
    dropout_prob : float, default=0.0
        Share of what goes into each linear layer set to 0 in training.
    bn : bool, default=False
        Batch norm after each linear layer but the last.
    loss_type : {"mse", "l1"}, default="mse"
        How a reconstruction is compared with its embedding.
    quant_loss_weight : float, default=1.0
        Weight of the quantizer's loss beside that of the reconstruction.
    beta : float, default=0.25
        In the quantizer's loss, weight of moving latents to code vectors beside moving code vectors to latents.
    kmeans_init : bool, default=False
        Begin with codebooks that are k-means of the first batch, which must be as large as the largest codebook.
    kmeans_iters : int, default=100
        Most iterations of that.
    sk_epsilons : sequence of float, default=None
        One number a level. Where it is positive the level is assigned, in training, by Sinkhorn's iterations with this
        weight of the entropy, which spreads a batch evenly over the code vectors. `encode` takes the nearest.
    sk_iters : int, default=100
        Those iterations.
    lr : float, default=1e-4
        Learning rate.
    weight_decay : float, default=0.0
        Of AdamW.
    batch_size : int, default=2048
        Embeddings a step.
    epochs : int, default=100
        How often training goes over all embeddings.
    lr_scheduler : {"cosine", "step", "constant_with_warmup"}, default=None
        "cosine" lets the learning rate fall to 0 after the warm-up, "step" multiplies it by `lr_gamma` every
        `lr_step_size` epochs.
    warmup_epochs : int, default=0
        Epochs in which "cosine" and "constant_with_warmup" let the learning rate rise to `lr` in a line.
    lr_step_size : int, default=50
        For "step".
    lr_gamma : float, default=0.5
        For "step".
    device : str, default="cpu"
        Where to train, unless `fit` says otherwise.
    verbose : bool or int, default=False
        True shows a progress bar, a number n a line every n epochs.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState, default=None
        Equal integers give equal models on any number of threads and any CPU.
    loss_reduction : {"mean", "sum"}, default="mean"
        Whether losses are averaged over the columns or summed; "sum" gives the wider of embeddings and latents more
        weight.
    max_grad_norm : float, default=None
        Most norm of all gradients together: for training that diverges, or embeddings of which some lie far from the
        others.
    patience : int, default=None
        End after so many epochs in which neither the least error nor the least collision rate fell.
    restart_dead : bool, default=False
        After each epoch, move code vectors that it did not use to where embeddings are: for levels that use few of
        their vectors.
    rotation_trick : bool, default=False
        Differentiate each level as the rotation and scaling that takes what it gets to its code vector, instead of
        straight through (Fifty et al., ICLR 2025): for levels of which few vectors are used. Give ``ema_decay=0.9`` and
        ``kmeans_init=True`` with it: code vectors that gradients move do not keep up with the latents then, and ones
        near 0 let little of the gradient through.
    ema_decay : float, default=None
        Keep each code vector as the running mean of what chose it, which keeps this share at each step, 0.9 say,
        instead of moving it by gradients (van den Oord et al., NeurIPS 2017): for codebooks that lag behind the latents
        at a small `lr`, or jump about at a large one. `beta` alone then weighs the quantizer's loss.
    level_dropout : float, default=0.0
        Share of each batch that goes through a number of the first levels, drawn anew for each embedding and step, and
        not through the others (Zeghidour et al., SoundStream, 2022): for ids of which prefixes are decoded alone, at a
        small cost to all levels together. Best with `ema_decay`.
    normalize_input : {"columns", "all"}, default=None
        Train on embeddings less their columns' means, each column divided by its standard deviation ("columns": for
        columns in units of their own), or all by the root of their mean variance ("all": for embeddings whose values
        are far from 1 or whose means are far from 0; distances keep their proportions). Best with ``ema_decay=0.9``,
        as steps of `lr` are small for code vectors on that scale, and `restart_dead`. The model keeps means and
        scales: `encode` takes embeddings as they are, `decode` returns such, and codebooks to begin with are of such.

    Attributes
    ----------
    history_ : dict of str to list
        One entry an epoch: loss, recon_loss and lr of the training, the losses of normalized embeddings if
        `normalize_input` says so; error, the mean difference per element between embeddings and their decoded codes,
        squared or with "l1" absolute; collision_rate; and, one number a level, utilization (the share of the code
        vectors in use) and perplexity (how many equally used ones would be as varied). Those after lr are over the same
        rows, at most 16384, encoded as by `encode`.
    kept_epoch_ : int
        Index of the epoch whose weights the model has: of those within 5 % of the least error the one with the
        lowest collision rate, then loss.
    n_features_in_, D_ : int
        Columns of the embeddings.

    See Also
    --------
    RQKMeans : Codebooks of the embeddings themselves: a fit of seconds, and better for embeddings it has not seen.

    Notes
    -----
    The defaults are those of semantic-id 0.2.5, and far from the best. With these few items share a code, at little
    error and with all code vectors in use: ``batch_size=128, lr=1.5e-3, lr_scheduler="cosine", warmup_epochs=3,
    loss_reduction="sum", quant_loss_weight=12, beta=1, restart_dead=True, sk_epsilons=[0, 0.001, 0.001], sk_iters=30,
    epochs=200``, found for 3,686 embeddings of norm 1 and three levels of 256. A lower `quant_loss_weight` gives less
    error and more collisions. docs/choosing.md has the figures, tells what each of these does, and when RQKMeans is the
    better choice.

    Examples
    --------
    >>> import numpy as np
    >>> from semantic_id import RQVAE
    >>> X = np.random.default_rng(0).normal(size=(200, 16))
    >>> model = RQVAE(16, [8, 8], e_dim=4, layers=[12], kmeans_init=True, lr=1e-2, epochs=20, random_state=0).fit(X)
    >>> codes = model.encode(X)
    >>> codes.shape, model.decode(codes).shape
    ((200, 2), (200, 16))
    """

    __slots__ = ("_native_model",)  # the model inside the library and the weights it was made of; never copied or saved

    history_: dict[str, list[Any]]
    kept_epoch_: int
    n_features_in_: int
    D_: int
    _weights: dict[str, npt.NDArray[Any]]  # replaced as a whole, never changed
    _native_model: tuple[_native_rqvae.Autoencoder, dict[str, npt.NDArray[Any]]]

    def __init__(
        self,
        in_dim: int = 768,
        num_emb_list: Sequence[int] | None = None,
        e_dim: int = 64,
        layers: Sequence[int] | None = None,
        dropout_prob: float = 0.0,
        bn: bool = False,
        loss_type: str = "mse",
        quant_loss_weight: float = 1.0,
        beta: float = 0.25,
        kmeans_init: bool = False,
        kmeans_iters: int = 100,
        sk_epsilons: Sequence[float] | None = None,
        sk_iters: int = 100,
        lr: float = 1e-4,
        weight_decay: float = 0.0,
        batch_size: int = 2048,
        epochs: int = 100,
        lr_scheduler: str | None = None,
        warmup_epochs: int = 0,
        lr_step_size: int = 50,
        lr_gamma: float = 0.5,
        device: str = "cpu",
        verbose: bool | int = False,
        random_state: Any = None,
        loss_reduction: str = "mean",
        max_grad_norm: float | None = None,
        patience: int | None = None,
        restart_dead: bool = False,
        rotation_trick: bool = False,
        ema_decay: float | None = None,
        level_dropout: float = 0.0,
        normalize_input: str | None = None,
    ) -> None:
        self.in_dim = in_dim
        self.num_emb_list = num_emb_list
        self.e_dim = e_dim
        self.layers = layers
        self.dropout_prob = dropout_prob
        self.bn = bn
        self.loss_type = loss_type
        self.quant_loss_weight = quant_loss_weight
        self.beta = beta
        self.kmeans_init = kmeans_init
        self.kmeans_iters = kmeans_iters
        self.sk_epsilons = sk_epsilons
        self.sk_iters = sk_iters
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.lr_scheduler = lr_scheduler
        self.warmup_epochs = warmup_epochs
        self.lr_step_size = lr_step_size
        self.lr_gamma = lr_gamma
        self.device = device
        self.verbose = verbose
        self.random_state = random_state
        self.loss_reduction = loss_reduction
        self.max_grad_norm = max_grad_norm
        self.patience = patience
        self.restart_dead = restart_dead
        self.rotation_trick = rotation_trick
        self.ema_decay = ema_decay
        self.level_dropout = level_dropout
        self.normalize_input = normalize_input

    @property
    def num_emb_list(self) -> Any:
        """Code vectors of each level. `get_params` gives back what was passed."""
        value = self.__dict__["num_emb_list"]
        return [256] * 4 if value is None else value

    @num_emb_list.setter
    def num_emb_list(self, value: Any) -> None:
        self.__dict__["num_emb_list"] = value

    @property
    def layers(self) -> Any:
        """Widths of the encoder's hidden layers. `get_params` gives back what was passed."""
        value = self.__dict__["layers"]
        return [512, 256, 128] if value is None else value

    @layers.setter
    def layers(self, value: Any) -> None:
        self.__dict__["layers"] = value

    @property
    def n_levels(self) -> int:
        """Codes per embedding."""
        return len(self.num_emb_list)

    @property
    def n_clusters(self) -> list[int]:
        """Code vectors of each level, by the name that `RQKMeans` has for them."""
        return [int(size) for size in self.num_emb_list]

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        device: str | None = None,
        pretrained_codebook_path: str | os.PathLike[str] | None = None,
        checkpoint_path: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 10,
    ) -> RQVAE:
        """Train the model, anew.

        Parameters
        ----------
        X : array-like of shape (n_samples, in_dim)
            Embeddings; copied only if not C-ordered float32.
        y : object
            Not used; scikit-learn's pipelines pass it.
        device : str, default=None
            Where to train (None: the argument of the constructor).
        pretrained_codebook_path : path-like, default=None
            The codebooks.npz of a saved `RQKMeans` to begin with (RQ-KMeans+). The encoder then adds to the embeddings
            what its layers make of them, at first nothing, so `e_dim` must be `in_dim`.
        checkpoint_path : path-like, default=None
            A file that keeps the state of the training. If it is there, the training goes on from it, and ends in the
            same model as without a break; give an integer as `random_state` then.
        checkpoint_every : int, default=10
            Epochs after which that file is written anew; it is after the last one, too.

        Returns
        -------
        self : RQVAE
            The trained model.

        Raises
        ------
        ShapeMismatchError
            If `X` is empty, not 2-D, or of another number of columns than `in_dim`.
        ValueError
            If `X` holds NaN or infinity, or a parameter or the codebooks cannot be used.
        DivergenceError
            If a loss, gradient or weight is not finite, naming the step and the learning rate. The model then has the
            best weights of the epochs before, if there was one.

        Warns
        -----
        CollapseWarning
            As soon as a level uses few of its code vectors.
        """
        check_device(self.device if device is None else device)
        settings = self._settings()
        rows = as_matrix(X, settings["in_dim"], "RQVAE")
        seed = check_seed(self.random_state)
        settings["checkpoint_every"] = check_int("checkpoint_every", checkpoint_every, 1, 1 << 30)
        settings["checkpoint"] = "" if checkpoint_path is None else os.fsdecode(checkpoint_path)
        books = None
        if pretrained_codebook_path is not None:
            books = _read_books(pretrained_codebook_path, settings)
            settings["plus"] = True
        x = rows if is_float32(rows) else to_float32(rows)
        lines = 0 if isinstance(self.verbose, bool) else check_int("verbose", self.verbose, 0)
        watch = _Watch(settings, len(x), lines)
        trained = _native_rqvae.fit(x, settings, seed, books, watch, bar=self.verbose is True)
        history: dict[str, list[Any]] = {name: [] for name in _native_rqvae.Epoch._fields}
        for epoch in trained.epochs:
            for name, value in epoch._asdict().items():
                history[name].append(value)
        batches = (trained.kept + 1) * -(-len(x) // settings["batch_size"])
        dim = settings["in_dim"]
        learned = {"history_": history, "kept_epoch_": trained.kept, "n_features_in_": dim, "D_": dim}
        learned["_weights"] = _with_counts(trained.weights, batches)
        self.__dict__.update(learned)  # in one step, so that Ctrl-C leaves the old model or the new one
        kept = trained.epochs[trained.kept]
        _log.info(
            "trained %s on %d rows for %d epochs, kept number %d: %s",
            self,
            len(x),
            len(trained.epochs),
            trained.kept + 1,
            kept,
        )
        if trained.diverged is not None:
            raise trained.diverged
        return self

    def _settings(self) -> dict[str, Any]:
        """Return checked parameters, as the library takes them."""
        clusters = _sizes("num_emb_list", self.num_emb_list, 1)
        settings: dict[str, Any] = {
            "in_dim": check_int("in_dim", self.in_dim, 1, 1 << 24),
            "num_emb_list": clusters,
            "e_dim": check_int("e_dim", self.e_dim, 1, 1 << 24),
            "layers": _sizes("layers", self.layers, 0),
            "dropout_prob": check_float("dropout_prob", self.dropout_prob, 0),
            "bn": _flag("bn", self.bn),
            "loss_type": check_choice("loss_type", self.loss_type, ("mse", "l1")),
            "loss_reduction": check_choice("loss_reduction", self.loss_reduction, ("mean", "sum")),
            "quant_loss_weight": check_float("quant_loss_weight", self.quant_loss_weight, 0),
            "beta": check_float("beta", self.beta, 0),
            "kmeans_init": _flag("kmeans_init", self.kmeans_init),
            "kmeans_iters": check_int("kmeans_iters", self.kmeans_iters, 1),
            "sk_epsilons": None,
            "sk_iters": check_int("sk_iters", self.sk_iters, 1),
            "lr": check_float("lr", self.lr, 0),
            "weight_decay": check_float("weight_decay", self.weight_decay, 0),
            "batch_size": check_int("batch_size", self.batch_size, 1, 1 << 30),
            "epochs": check_int("epochs", self.epochs, 1, 1 << 30),
            "lr_scheduler": "",
            "warmup_epochs": check_int("warmup_epochs", self.warmup_epochs, 0, 1 << 30),
            "lr_step_size": check_int("lr_step_size", self.lr_step_size, 1, 1 << 30),
            "lr_gamma": check_float("lr_gamma", self.lr_gamma, 0),
            "max_grad_norm": 0.0,
            "patience": 0,
            "restart_dead": _flag("restart_dead", self.restart_dead),
            "rotation_trick": _flag("rotation_trick", self.rotation_trick),
            "ema_decay": 0.0,
            "level_dropout": check_float("level_dropout", self.level_dropout, 0),
            "normalize_input": "",
            "plus": False,
        }
        if self.max_grad_norm is not None:
            settings["max_grad_norm"] = check_float("max_grad_norm", self.max_grad_norm, 0)
        if self.patience is not None:
            settings["patience"] = check_int("patience", self.patience, 1, 1 << 30)
        if self.ema_decay is not None:
            settings["ema_decay"] = check_float("ema_decay", self.ema_decay, 0)
            if not 0 < settings["ema_decay"] < 1:
                raise ValueError(f"ema_decay={self.ema_decay!r}: want a number between 0 and 1, such as 0.9, or None")
        if self.normalize_input is not None:
            settings["normalize_input"] = check_choice("normalize_input", self.normalize_input, ("columns", "all"))
        if settings["level_dropout"] > 1:
            raise ValueError(f"level_dropout={self.level_dropout!r}: want a number from 0 to 1")
        if settings["dropout_prob"] >= 1:
            raise ValueError(f"dropout_prob={self.dropout_prob!r}: want a number from 0 to below 1")
        if self.lr_scheduler is not None:
            settings["lr_scheduler"] = check_choice("lr_scheduler", self.lr_scheduler, _SCHEDULES)
        if self.sk_epsilons is not None:
            epsilons = self.sk_epsilons
            if not isinstance(epsilons, (Sequence, np.ndarray)) or len(epsilons) != len(clusters):
                raise ValueError(
                    f"sk_epsilons={epsilons!r}: want a list of {len(clusters)} numbers, one for each level"
                )
            settings["sk_epsilons"] = [
                check_float(f"sk_epsilons[{level}]", value, 0)
                for level, value in enumerate(np.asarray(epsilons).tolist())
            ]
        return settings

    def encode(self, X: Any, *, device: str | None = None, batch_size: int | None = None) -> CodeMatrix:
        """Map each embedding to one code per level, coarse level first.

        Level l takes the code vector nearest to what levels 0..l-1 left over of the latent. The codes do not depend on
        the CPU, on the number of threads or on what else is in `X`.

        Parameters
        ----------
        X : array-like of shape (n_samples, in_dim)
            Embeddings on the scale of those given to `fit`; copied only if not C-ordered float32, and then in blocks.
        device : str, default=None
            Where to work (None: the argument of the constructor).
        batch_size : int, default=None
            Rows worked on at once (None: a good number). Bounds memory; the codes stay the same.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_levels), dtype int32
            ``0 <= codes[i, l] < num_emb_list[l]``.

        Raises
        ------
        NotFittedError
            Before `fit` or `load`.
        ShapeMismatchError
            If `X` is empty, not 2-D, or of another number of columns than in `fit`.
        ValueError
            If `X` holds NaN or infinity.
        """
        check_device(self.device if device is None else device)
        if batch_size is not None:
            batch_size = check_int("batch_size", batch_size, 1)
        model = self._model()
        rows = as_matrix(X, model.dim, "RQVAE")
        if is_float32(rows):
            return model.encode(rows, batch_size, verbose=bool(self.verbose))
        codes = np.empty((len(rows), model.levels), np.int32)
        step = max(1, _BLOCK // model.dim)
        for low in range(0, len(rows), step):
            codes[low : low + step] = model.encode(to_float32(rows[low : low + step], low), batch_size, False, low)
        return codes

    def decode(self, codes: npt.ArrayLike) -> FloatMatrix:
        """Return the embeddings that codes stand for: what the decoder makes of the sum of their code vectors.

        Parameters
        ----------
        codes : array-like of shape (n_samples, n_levels), integers
            Codes of `encode`.

        Returns
        -------
        X : ndarray of shape (n_samples, in_dim), dtype float32
            Approximate embeddings.

        Raises
        ------
        NotFittedError
            Before `fit` or `load`.
        ShapeMismatchError
            If `codes` is not 2-D or not n_levels wide.
        CodeError
            If a code is out of range; it is a ValueError and an IndexError.
        """
        model = self._model()
        return model.decode(as_codes(codes, model.levels))

    def residual_space(
        self, X: Any, *, device: str | None = None, batch_size: int | None = None
    ) -> tuple[FloatMatrix, list[FloatMatrix]]:
        """Return the latents of embeddings, and the codebooks, for resolvers that choose codes anew.

        Parameters
        ----------
        X : array-like of shape (n_samples, in_dim)
            Embeddings.
        device : str, default=None
            Where to work (None: the argument of the constructor).
        batch_size : int, default=None
            Not used.

        Returns
        -------
        latents : ndarray of shape (n_samples, e_dim), dtype float32
            What the encoder makes of `X`.
        codebooks : list of ndarray of shape (num_emb_list[l], e_dim), dtype float32
            The code vectors of each level.

        Raises
        ------
        NotFittedError
            Before `fit` or `load`.
        ShapeMismatchError
            If `X` is empty, not 2-D, or of another number of columns than in `fit`.
        ValueError
            If `X` holds NaN or infinity.
        """
        check_device(self.device if device is None else device)
        model, weights = self._model(), self._fitted()
        rows = as_matrix(X, model.dim, "RQVAE")
        books = [weights[f"rq.vq_layers.{level}.embedding.weight"] for level in range(model.levels)]
        x = rows if is_float32(rows) else to_float32(rows)
        return model.latents(x, books[0].shape[1]), books

    def plot_history(self) -> Figure:
        """Draw what `history_` says: losses, collisions and use of codes by epoch. Needs the extra ``[plot]``.

        Returns
        -------
        figure : matplotlib.figure.Figure
            Three plots side by side, with a line where the kept epoch is; ``figure.savefig(path)`` writes them.

        Raises
        ------
        NotFittedError
            Before `fit`; a loaded model has no history.
        ImportError
            Without matplotlib.
        """
        if "history_" not in self.__dict__:
            raise NotFittedError("There is no history: this RQVAE was not fitted, or it was loaded. Call fit() first.")
        from .._history_picture import plot_history

        return plot_history(self.history_, self.kept_epoch_)

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of the model's tensors under the names that PyTorch gives them.

        Returns
        -------
        state : dict of str to ndarray
            ``encoder.mlp_layers.{i}.weight`` and so on, where i counts dropouts, linear layers, batch norms and ReLUs;
            ``rq.vq_layers.{level}.embedding.weight``; ``decoder.mlp_layers.{i}.weight``. After an RQ-KMeans+ start the
            encoder's names begin with ``encoder.mlp.``. With `normalize_input` there are ``normalizer.mean`` and
            ``normalizer.scale``: a network without them, as that of semantic-id 0.2.5, wants
            ``(X - mean) / scale`` and decodes to such.

        Raises
        ------
        NotFittedError
            Before `fit` or `load`.
        """
        return {name: array.copy() for name, array in self._fitted().items()}

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike]) -> RQVAE:
        """Take the tensors of another model of the same `in_dim`, `layers`, `e_dim`, `num_emb_list` and `bn`.

        Whether there is a normalizer, and an encoder that adds to the embeddings (RQ-KMeans+), their names tell.

        Parameters
        ----------
        state : mapping of str to array-like
            As `state_dict` returns it; tensors of PyTorch will do.

        Returns
        -------
        self : RQVAE
            The model, fitted.

        Raises
        ------
        ValueError
            If a tensor is missing, is one too many, or has another shape, naming it, or holds NaN or infinity.
        """
        weights = _check_state(self._settings(), {name: np.asarray(array) for name, array in state.items()})
        self.__dict__.update(_weights=weights, n_features_in_=int(self.in_dim), D_=int(self.in_dim))
        for name in ("history_", "kept_epoch_"):
            self.__dict__.pop(name, None)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a directory: metadata.json and model.safetensors.

        Parameters
        ----------
        path : str or path-like
            The directory; a model that is there is replaced as a whole.

        Raises
        ------
        NotFittedError
            Before `fit` or `load`.
        OSError
            If it cannot be written; what was there before stays.
        """
        weights = self._fitted()
        from .. import _rqvae_files  # hashes and more: only for those who save or load

        settings = self._settings()
        seed = self.random_state if isinstance(self.random_state, (int, np.integer)) else None
        kept = {name: settings[name] for name in _SAVED}
        kept |= {"loss_reduction": settings["loss_reduction"], "random_state": None if seed is None else int(seed)}
        _rqvae_files.save(path, kept, weights)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str = "cpu") -> RQVAE:
        """Read a model that `save` wrote, or semantic-id 0.2.5.

        Parameters
        ----------
        path : str or path-like
            The directory.
        device : str, default="cpu"
            The model's `device`.

        Returns
        -------
        model : RQVAE
            The trained model.

        Raises
        ------
        FileNotFoundError
            If there is no model.
        ModelFileError
            If a file is truncated, altered or foreign, or of a newer version; it is a ValueError.
        ValueError
            If it is a model of another type.
        """
        from .. import _rqvae_files as files

        check_device(device)
        size, number = files.is_size, files.is_number
        wanted = {
            "in_dim": size,
            "num_emb_list": lambda v: files.is_sizes(v) and len(v) > 0,
            "e_dim": size,
            "layers": files.is_sizes,
            "dropout_prob": number,
            "bn": lambda v: isinstance(v, bool),
            "loss_type": lambda v: v in ("mse", "l1"),
            "quant_loss_weight": number,
            "beta": number,
            "kmeans_init": lambda v: isinstance(v, bool),
            "kmeans_iters": size,
            "sk_epsilons": lambda v: v is None or (isinstance(v, list) and all(number(e) for e in v)),
            "sk_iters": size,
        }
        meta, state = files.load(path, wanted)
        ours = {name: meta[name] for name in ("loss_reduction", "random_state") if name in meta}  # 0.2.5 has neither
        model = cls(**{name: meta[name] for name in _SAVED}, **ours, device=device)
        try:
            model.load_state_dict(state)
        except ValueError as e:
            raise ModelFileError(f"{os.fsdecode(path)}: not a valid model: {e}") from e
        scale = state.get(_native_rqvae.NORMALIZER_SCALE)
        if scale is not None:
            model.normalize_input = "all" if (scale == scale[0]).all() else "columns"
        return model

    def _fitted(self) -> dict[str, npt.NDArray[Any]]:
        weights: dict[str, npt.NDArray[Any]] | None = self.__dict__.get("_weights")
        if weights is None:
            raise NotFittedError("Model is not fitted yet: this RQVAE has no weights. Call fit() or load() first.")
        return weights

    def _model(self) -> _native_rqvae.Autoencoder:
        """Return the model inside the library, made anew when the weights are not those it was made of."""
        weights = self._fitted()
        try:
            model, made_of = self._native_model
            if made_of is weights:
                return model
        except AttributeError:  # none yet
            pass
        model = _native_rqvae.Autoencoder(_shape_of(self._settings(), weights), weights)
        self._native_model = (model, weights)
        return model

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __sklearn_is_fitted__(self) -> bool:
        return "_weights" in self.__dict__

    def _described(self) -> tuple[str, list[Level]]:
        if "_weights" not in self.__dict__:
            return "not fitted yet", []
        state = f"of {self.in_dim:,} columns, {self.e_dim:,} in the latents"
        history = self.__dict__.get("history_")
        if history is None:  # loaded
            return state, [Level(size) for size in self.n_clusters]
        kept = self.kept_epoch_
        error = "squared" if self.loss_type == "mse" else "absolute"
        state += (
            f", {len(history['loss'])} epochs, number {kept + 1} kept, mean {error} error {history['error'][kept]:.4g}"
        )
        uses = zip(self.n_clusters, history["utilization"][kept], history["perplexity"][kept], strict=True)
        return f"fitted, {state}", [Level(size, round(used * size), perplexity) for size, used, perplexity in uses]


class _Watch:
    """Warns, once, when a level begins to use few of its vectors, and writes a line every few epochs."""

    def __init__(self, settings: Mapping[str, Any], rows: int, lines: int) -> None:
        self._most = [min(1.0, rows / size) for size in settings["num_emb_list"]]  # that can be used
        self._best = [0.0] * len(self._most)
        self._settings, self._lines, self._warned = settings, lines, False

    def __call__(self, i: int, epoch: _native_rqvae.Epoch) -> None:
        last = i == self._settings["epochs"] - 1
        if self._lines and (i % self._lines == self._lines - 1 or last):
            self._line(i, epoch)
        for level, used in enumerate(epoch.utilization):
            share = used / self._most[level]
            self._best[level] = max(self._best[level], share)
            if not self._warned and share < 0.5 and (last or share < 0.5 * self._best[level]):
                self._warned = True
                warnings.warn(self._advice(i, level, used), CollapseWarning, stacklevel=6)

    def _line(self, i: int, epoch: _native_rqvae.Epoch) -> None:
        from tqdm.auto import tqdm  # takes its time to import

        levels = zip(epoch.utilization, epoch.perplexity, strict=True)
        use = " ".join(f"{100 * used:.0f}%/{perplexity:.0f}" for used, perplexity in levels)
        tqdm.write(
            f"epoch {i + 1}/{self._settings['epochs']}: loss {epoch.loss:.6g}, reconstruction {epoch.recon_loss:.6g}, "
            f"error {epoch.error:.6g}, collisions {epoch.collision_rate:.4f}, use/perplexity {use}, lr {epoch.lr:.3g}",
            file=sys.stderr,
        )

    def _advice(self, i: int, level: int, used: float) -> str:
        s = self._settings
        if not s["kmeans_init"] and not s["plus"]:
            remedy = "kmeans_init=True begins with code vectors where the latents are"
        elif not (s["sk_epsilons"] and s["sk_epsilons"][level] > 0):
            remedy = f"sk_epsilons={[0.01] * len(self._most)} spreads each batch over all code vectors"
            remedy += "" if s["restart_dead"] else ", restart_dead=True brings unused ones back"
        else:
            remedy = f"a larger number than {s['sk_epsilons'][level]} in sk_epsilons spreads batches more evenly"
        size = s["num_emb_list"][level]
        return f"epoch {i + 1}: level {level} uses {100 * used:.0f} % of its {size} code vectors; {remedy}"


def _sizes(name: str, values: Any, least: int) -> list[int]:
    if not isinstance(values, (Sequence, np.ndarray)) or isinstance(values, (str, bytes)) or len(values) < least:
        raise ValueError(f"{name}={values!r}: want a list of sizes")
    return [check_int(f"{name}[{i}]", v, 1, 1 << 24) for i, v in enumerate(np.asarray(values).tolist())]


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name}={value!r}: want True or False")
    return bool(value)


def _read_books(path: str | os.PathLike[str], settings: Mapping[str, Any]) -> list[FloatMatrix]:
    """Read codebooks to begin with."""
    if settings["e_dim"] != settings["in_dim"]:
        raise ValueError(
            f"e_dim={settings['e_dim']} and in_dim={settings['in_dim']}: with pretrained_codebook_path "
            "want e_dim=in_dim, as the encoder adds to the embeddings"
        )
    with np.load(os.fspath(path), allow_pickle=False) as file:
        names = [f"codebook_{i}" for i in range(len(file.files))]
        if sorted(names) != sorted(file.files):
            raise ValueError(
                f"{os.fspath(path)} holds {file.files}: want codebook_0, codebook_1 and so on, as RQKMeans.save writes"
            )
        books = [np.ascontiguousarray(file[name], np.float32) for name in names]
    wanted = [(size, settings["e_dim"]) for size in settings["num_emb_list"]]
    if [b.shape for b in books] != wanted:
        raise ValueError(f"{os.fspath(path)} holds codebooks of shapes {[b.shape for b in books]}: want {wanted}")
    return books


def _with_counts(weights: Mapping[str, npt.NDArray[Any]], batches: int) -> dict[str, npt.NDArray[Any]]:
    """Return the weights with the batches that each batch norm has seen, which PyTorch keeps beside them."""
    all_of_them: dict[str, npt.NDArray[Any]] = {}
    for name, array in weights.items():
        all_of_them[name] = array
        if name.endswith("running_var"):
            all_of_them[name.replace("running_var", "num_batches_tracked")] = np.array(batches, np.int64)
    return all_of_them


def _shape_of(settings: Mapping[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
    plus = any(name.startswith("encoder.mlp.") for name in weights)
    norm = "columns" if _native_rqvae.NORMALIZER_SCALE in weights else ""  # or "all": the model is of the same shape
    return {name: settings[name] for name in _SHAPE} | {"plus": plus, "normalize_input": norm}


def _check_state(settings: Mapping[str, Any], state: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Return tensors of float32 in the library's order, or raise an error that names the first that does not fit."""
    tensors = dict(_native_rqvae.tensors(_shape_of(settings, state)))
    counts = {n.replace("running_var", "num_batches_tracked") for n in tensors if n.endswith("running_var")}
    for name in state:
        if name not in tensors and name not in counts:
            raise ValueError(
                f"{name!r} is no tensor of this model: its settings say otherwise, or it is of another program"
            )
    weights = {}
    for name, shape in tensors.items():
        if name not in state:
            raise ValueError(f"tensor {name!r} is missing")
        array = np.ascontiguousarray(state[name], np.float32)
        if array.shape != shape:
            raise ShapeMismatchError(f"tensor {name!r} has shape {array.shape}, want {shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"tensor {name!r} holds NaN or Inf")
        if name == _native_rqvae.NORMALIZER_SCALE and not (array > 0).all():
            raise ValueError(f"tensor {name!r} holds {array.min()}: want numbers above 0")
        weights[name] = array.copy()
    counted = {name: int(state[name]) for name in counts if name in state}
    return _with_counts(weights, max(counted.values(), default=0))
