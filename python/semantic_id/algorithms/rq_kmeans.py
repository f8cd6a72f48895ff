"""Residual k-means: one codebook per level, each fitted to what the levels before left over."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _native
from .._arrays import CodeMatrix, FloatMatrix, as_codes, as_matrix, as_weights, check_finite, is_float32, to_float32
from .._devices import check_device
from .._estimator import Estimator
from .._html import Level
from .._large import float32_rows, is_large
from .._params import check_choice, check_float, check_int, check_seed
from ..exceptions import ConvergenceWarning, NotFittedError, ShapeMismatchError

__all__ = ["Certificate", "RQKMeans"]

_log = logging.getLogger("semantic_id")
_SAVED = ("n_levels", "n_clusters", "metric", "implementation", "max_iter", "tol", "random_state", "n_init")
_OF_TRAINING = ("n_samples_fit", "quantization_mse")
_MAX_BEAM = 4096
_BLOCK = 1 << 23  # values converted at a time when `encode` gets anything but C-ordered float32: 32 MiB


class Certificate(NamedTuple):
    """The proof that no balanced codes of a level have a lower error than those found, with the codebook as it is.

    Attributes
    ----------
    primal : float
        Sum of the squared distances between what the levels before left over and the centroids of the codes.
    dual : float
        No balanced codes of the level have a smaller sum than this, by the prices of the centroids.
    gap : float
        Their difference as a share of `primal`: at most 1e-9, what rounding leaves.
    """

    primal: float
    dual: float
    gap: float


class RQKMeans(Estimator):
    """Residual k-means quantizer: embeddings to a few small integers each, coarse to fine.

    Level 0 is a k-means codebook of the embeddings, each further level one of what the levels before left over, so that
    embeddings which share their first codes are alike (Chen, Guan, Wang, Sensors 10(12), 2010).

    Parameters
    ----------
    n_levels : int, default=4
        Codes per embedding.
    n_clusters : int or sequence of int, default=256
        Centroids per level, or one number for each level. The attribute is always the list.
    metric : {"l2", "cosine"}, default="l2"
        "cosine" divides each embedding by its norm first; `decode` then gives points near the unit sphere.
    implementation : {"kmeans", "constrained"}, default="kmeans"
        "constrained" makes clusters whose sizes differ by at most one, on every level, and of all such assignments of
        the rows to the centroids takes one of the least squared error. The codes that `fit_encode` returns are
        balanced so; `encode` takes the nearest centroids, unless asked for ``balanced=True``.
    max_iter : int, default=100
        Most iterations over all rows per level. With fewer than 128 rows a cluster single rows are moved first, and the
        last iteration is Lloyd's; with more all are Lloyd's.
    tol : float, default=1e-4
        A level has converged when the summed squared shift of its centroids is at most `tol` times the mean variance
        of the columns, or when an iteration lowers the inertia by at most a fifth of `tol` of it. 0: when no code
        changes.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState, default=None
        Equal integers give equal codebooks and codes on any number of threads and any CPU. None differs from run to
        run.
    verbose : bool or int, default=False
        Show a progress bar.
    n_init : int, default=None
        Runs per level, of which the best is kept (None: one, which ends lower than the best of ten k-means++ and Lloyd
        do).

    Attributes
    ----------
    codebooks_ : list of ndarray of shape (n_clusters[l], n_features), dtype float32
        The centroids of each level; read-only, assign other arrays to change them.
    D_ : int
        Columns of the embeddings.
    n_features_in_ : int
        The same, by scikit-learn's name.
    inertia_ : ndarray of shape (n_levels,), dtype float64
        Sum of the squared distances that each level leaves, weighted by `sample_weight`.
    n_iter_ : ndarray of shape (n_levels,), dtype int64
        Iterations over all rows of each level.
    certificate_ : list of Certificate
        Only after `fit` with "constrained": for each level the proof that its codes are the best balanced ones.
    n_samples_fit_ : int
        Rows of the fit; kept in saved models, as the next.
    quantization_mse_ : float
        Mean squared difference per element, weighted by `sample_weight`, that all levels leave of those rows.
    cluster_sizes_ : list of ndarray of shape (n_clusters[l],), dtype int64
        How many of those rows have each code of a level; not kept in saved models.
    refine_history_ : ndarray of shape (n_kept,), dtype float64
        Only after `refine`: the weighted sum of the squared distances between embeddings and their decoded codes,
        before it, after its first phase, and after each update that it kept. It never rises.

    See Also
    --------
    ids_to_codes : Codes of the ids that `semantic_id` wrote.

    Examples
    --------
    >>> import numpy as np
    >>> from semantic_id import RQKMeans
    >>> corners = np.array([[0, 0], [0, 1], [8, 0], [8, 1]], dtype=np.float32)
    >>> model = RQKMeans(n_levels=2, n_clusters=2, random_state=0).fit(corners)
    >>> codes = model.encode(corners)
    >>> np.array_equal(model.decode(codes), corners)
    True
    >>> len(set(model.semantic_id(codes)))
    4
    """

    __slots__ = (
        "_native_model",
    )  # the quantizer inside the library and the codebooks it was made of; never copied or saved

    n_levels: int
    metric: str
    implementation: str
    max_iter: int
    tol: float
    random_state: Any
    verbose: bool | int
    n_init: int | None
    codebooks_: list[FloatMatrix]
    D_: int
    n_features_in_: int
    inertia_: npt.NDArray[np.float64]
    n_iter_: npt.NDArray[np.int64]
    certificate_: list[Certificate]
    n_samples_fit_: int
    quantization_mse_: float
    cluster_sizes_: list[npt.NDArray[np.int64]]
    refine_history_: npt.NDArray[np.float64]
    _native_model: tuple[_native.Quantizer, list[FloatMatrix], str]

    def __init__(
        self,
        n_levels: int = 4,
        n_clusters: int | Sequence[int] | npt.NDArray[np.integer[Any]] = 256,
        metric: str = "l2",
        implementation: str = "kmeans",
        max_iter: int = 100,
        tol: float = 1e-4,
        random_state: Any = None,
        verbose: bool | int = False,
        n_init: int | None = None,
    ) -> None:
        self.n_levels = n_levels
        self.n_clusters = n_clusters
        self.metric = metric
        self.implementation = implementation
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.n_init = n_init
        if _is_list(n_clusters) and isinstance(n_levels, (int, np.integer)) and len(self.n_clusters) != n_levels:
            raise ValueError(f"len(n_clusters) {len(self.n_clusters)} must match n_levels {n_levels}")

    @property
    def n_clusters(self) -> Any:
        """Centroids of each level, as a list. `get_params` gives back what was passed."""
        value = self.__dict__["n_clusters"]
        if _is_list(value):
            return list(value)
        return [value] * int(self.n_levels) if isinstance(self.n_levels, (int, np.integer)) else [value]

    @n_clusters.setter
    def n_clusters(self, value: Any) -> None:
        self.__dict__["n_clusters"] = value  # under its own name, where get_params and scikit-learn's clone look

    def fit(
        self, X: Any, y: Any = None, *, device: str = "cpu", sample_weight: npt.ArrayLike | None = None
    ) -> RQKMeans:
        """Learn the codebooks of all levels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings; copied only if not C-ordered float32. An array that is mapped from a file, as by
            ``numpy.load(path, mmap_mode="r")`` or `semantic_id.io.open_rows`, may be larger than memory: from 256 MiB
            on it is read anew whenever it is needed, and neither copied nor kept; the model is the same.
        y : object
            Not used; scikit-learn's pipelines pass it.
        device : str, default="cpu"
            Where to work.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each embedding counts (None: all the same); 0 leaves it out. With "constrained" a row counts one,
            so the weights must be equal.

        Returns
        -------
        self : RQKMeans
            The fitted model.

        Raises
        ------
        ShapeMismatchError
            If `X` is empty or not 2-D.
        ValueError
            If `X` holds NaN or infinity, or a row of zeros under "cosine", or a parameter or weights cannot be used.

        Warns
        -----
        ConvergenceWarning
            If a level used up `max_iter`, or met fewer distinct rows than clusters, or has equal centroids because
            copies of a row fill several balanced clusters.

        Examples
        --------
        >>> import numpy as np
        >>> from semantic_id import RQKMeans
        >>> X = np.random.default_rng(0).normal(size=(100, 16))
        >>> RQKMeans(n_levels=3, n_clusters=10, random_state=0).fit(X)
        RQKMeans(n_levels=3, n_clusters=10, random_state=0)
        """
        self._fit(X, device, sample_weight)
        return self

    def fit_encode(
        self, X: Any, y: Any = None, *, device: str = "cpu", sample_weight: npt.ArrayLike | None = None
    ) -> CodeMatrix:
        """Learn the codebooks and return the codes of the training embeddings.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in `fit`.
        y : object
            Not used.
        device : str, default="cpu"
            As in `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            As in `fit`.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_levels), dtype int32
            What `encode` gives for `X`, without working it out again; with "constrained" the balanced codes of the
            fit instead, each code of a level as often as any other, or once more.

        Examples
        --------
        >>> import numpy as np
        >>> from semantic_id import RQKMeans
        >>> X = np.random.default_rng(0).normal(size=(100, 16))
        >>> RQKMeans(n_levels=3, n_clusters=10, random_state=0).fit_encode(X).shape
        (100, 3)
        >>> codes = RQKMeans(2, 8, implementation="constrained", random_state=0).fit_encode(X)
        >>> sorted(np.bincount(codes[:, 0]).tolist())
        [12, 12, 12, 12, 13, 13, 13, 13]
        """
        return self._fit(X, device, sample_weight)

    def _fit(self, X: Any, device: str, sample_weight: npt.ArrayLike | None) -> CodeMatrix:
        check_device(device)
        rows = as_matrix(X)
        n, dim = rows.shape
        clusters = self._check_clusters(n)
        metric = check_choice("metric", self.metric, _native.METRICS)
        implementation = check_choice("implementation", self.implementation, ("kmeans", "constrained"))
        max_iter = check_int("max_iter", self.max_iter, 1)
        tol = check_float("tol", self.tol, 0)
        restarts = 1 if self.n_init is None else check_int("n_init", self.n_init, 1)
        weights = as_weights(sample_weight, n)
        balanced = implementation == "constrained"
        if balanced and weights is not None and (weights != weights[0]).any():
            raise ValueError(
                "sample_weight holds unequal weights, and a row counts one with implementation='constrained': "
                "leave sample_weight out, or use implementation='kmeans'"
            )
        large = is_large(rows)
        x = float32_rows(rows)
        fitted = _native.fit_rqkmeans(
            x,
            None if balanced else weights,
            clusters=clusters,
            metric=metric,
            max_iter=max_iter,
            tol=tol,
            restarts=restarts,
            seed=check_seed(self.random_state),
            balanced=balanced,
            recompute=large,
            verbose=bool(self.verbose),
        )
        self._warn(fitted.flags, clusters, max_iter, balanced)
        _log.info(
            "fitted %s to %d rows of %d columns: iterations %s, inertia %s", self, n, dim, fitted.n_iter, fitted.inertia
        )
        inertia = fitted.inertia if weights is None or not balanced else fitted.inertia * weights[0]
        learned = {"codebooks_": _freeze(fitted.codebooks), "D_": dim, "n_features_in_": dim}
        learned |= {"inertia_": inertia, "n_iter_": fitted.n_iter, "n_samples_fit_": n}
        learned["quantization_mse_"] = _per_element(inertia, weights, x.shape)
        learned["cluster_sizes_"] = _sizes(fitted.codes, clusters)
        if balanced:
            learned["certificate_"] = _certificates(fitted.certificates)
        self.__dict__.update(learned)  # in one step, so that Ctrl-C leaves the old model or the new one
        self.__dict__.pop("refine_history_", None)
        if not balanced:
            self.__dict__.pop("certificate_", None)
        return fitted.codes

    def refine(
        self,
        X: Any,
        *,
        beam_size: int = 1,
        max_iter: int = 30,
        tol: float = 1e-4,
        device: str = "cpu",
        sample_weight: npt.ArrayLike | None = None,
    ) -> RQKMeans:
        """Lower the error of the codes that `encode` finds with `beam_size`, by fitting all codebooks to each other.

        `fit` fits each level to what the levels before leave over. This alternates between encoding `X` and moving
        the centroids of all levels, given the codes, to where the squared error is least: block coordinate descent on
        the joint least-squares problem (Barnes, Rizvi, Nasrabadi, IEEE Trans. Image Process. 5(2), 1996). At first it
        encodes perturbed embeddings, less and less so, which leads out of the local optimum in which `fit` ends; then
        it keeps an update only if the error falls. The model never becomes worse on `X`.

        On sentence embeddings with 3 levels of 256 clusters the error falls by 2 to 6 %. The first code stays a coarse
        clustering: level 0 alone leaves 2 to 7 % more than after `fit`. Collisions become somewhat fewer or more. Codes
        change, also the first ones, so refine before any are handed out.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings, best those given to `fit`.
        beam_size : int, default=1
            The one that `encode` will be called with.
        max_iter : int, default=30
            Most encodings of `X`, which take most of the time.
        tol : float, default=1e-4
            Stop when an update lowers the error by this share or less.
        device : str, default="cpu"
            Where to work.
        sample_weight : array-like of shape (n_samples,), default=None
            As in `fit`.

        Returns
        -------
        self : RQKMeans
            The refined model, with `codebooks_`, `inertia_` and `refine_history_` set anew.

        Raises
        ------
        NotFittedError
            Before `fit` or `load`.
        ShapeMismatchError
            If `X` is empty, not 2-D, or of another n_features than in `fit`.
        ValueError
            If `X` holds NaN or infinity, or a row of zeros under "cosine", or a parameter cannot be used.

        Examples
        --------
        >>> import numpy as np
        >>> from semantic_id import RQKMeans
        >>> X = np.random.default_rng(0).normal(size=(500, 16))
        >>> model = RQKMeans(n_levels=3, n_clusters=10, random_state=0).fit(X)
        >>> model = model.refine(X, beam_size=4)
        >>> bool(model.refine_history_[-1] < model.refine_history_[0])
        True
        >>> codes = model.encode(X, beam_size=4)
        """
        check_device(device)
        quantizer = self._quantizer()
        rows = as_matrix(X, quantizer.dim, "RQKMeans")
        beam_size = check_int("beam_size", beam_size, 1, _MAX_BEAM)
        max_iter = check_int("max_iter", max_iter, 1)
        tol = check_float("tol", tol, 0)
        weights = as_weights(sample_weight, len(rows))
        x = float32_rows(rows)
        refined = quantizer.refine(
            x,
            weights,
            sizes=[len(b) for b in self.codebooks_],
            beam_size=beam_size,
            max_iter=max_iter,
            tol=tol,
            seed=check_seed(self.random_state),
            verbose=bool(self.verbose),
        )
        _log.info("refined %s on %d rows: errors %s", self, len(x), refined.errors)
        learned = {"codebooks_": _freeze(refined.codebooks), "inertia_": refined.inertia, "n_samples_fit_": len(x)}
        learned["quantization_mse_"] = _per_element(refined.errors, weights, x.shape)
        self.__dict__.update(learned | {"refine_history_": refined.errors})
        for name in ("certificate_", "cluster_sizes_"):  # of other codebooks
            self.__dict__.pop(name, None)
        self.cluster_sizes_ = _sizes(
            self.encode(x, device=device, beam_size=beam_size), [len(b) for b in self.codebooks_]
        )
        return self

    def _check_clusters(self, rows: int) -> list[int]:
        levels = check_int("n_levels", self.n_levels, 1, 4096)
        sizes = self.n_clusters
        if len(sizes) != levels:
            raise ValueError(f"len(n_clusters) {len(sizes)} must match n_levels {levels}")
        limit = f"n_samples={rows}"
        if not _is_list(self.__dict__["n_clusters"]):
            check_int("n_clusters", sizes[0], 1, rows, limit)
        return [check_int(f"n_clusters[{level}]", k, 1, rows, limit) for level, k in enumerate(sizes)]

    def _warn(self, flags: npt.NDArray[np.int64], clusters: list[int], max_iter: int, balanced: bool) -> None:
        for level, flag in enumerate(flags.tolist()):
            if flag & _native.NOT_DISTINCT:
                why = "copies of a row fill several of" if balanced else "fewer distinct rows than"
                warnings.warn(
                    f"level {level}: {why} n_clusters={clusters[level]}, some centroids are equal",
                    ConvergenceWarning,
                    stacklevel=4,
                )
            if flag & _native.NOT_CONVERGED:
                warnings.warn(
                    f"level {level} did not converge within max_iter={max_iter}; raise max_iter or tol",
                    ConvergenceWarning,
                    stacklevel=4,
                )

    def encode(
        self, X: Any, *, device: str = "cpu", batch_size: int | None = None, balanced: bool = False, beam_size: int = 1
    ) -> CodeMatrix:
        """Map each embedding to one code per level, coarse level first.

        Level l takes the centroid nearest to what levels 0..l-1 left over, the lowest of equally near ones. With
        `beam_size` B, each level keeps the B best of all continuations of the codes kept so far, and the best one left
        at the end is the code: mostly of lower error. Its first code need not name the nearest centroid of level 0.

        With ``balanced=True`` the codes of each level name all its centroids equally often, to within one, and of all
        such codes have the least squared error. The code of an embedding then depends on the others in `X`: balance a
        batch that stays together, such as a new catalogue.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings on the scale of those given to `fit`; copied only if not C-ordered float32, and then in blocks.
        device : str, default="cpu"
            Where to work.
        batch_size : int, default=None
            Rows worked on at once (None: a good number). Bounds memory; the codes stay the same.
        balanced : bool, default=False
            Spread the embeddings evenly over the centroids of each level, with either implementation. `batch_size`
            does nothing then, and `beam_size` must be 1.
        beam_size : int, default=1
            Candidates kept at each level, up to 4096. Encode all items of an application with one size: another gives
            other codes. `refine` fits the codebooks to it.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_levels), dtype int32
            ``0 <= codes[i, l] < n_clusters[l]``.

        Raises
        ------
        NotFittedError
            Before `fit` or `load`.
        ShapeMismatchError
            If `X` is empty, not 2-D, or of another n_features than in `fit`.
        ValueError
            If `X` holds NaN or infinity, or a row of zeros under "cosine", or `beam_size` cannot be used.

        Examples
        --------
        >>> import numpy as np
        >>> from semantic_id import RQKMeans
        >>> X = np.random.default_rng(0).normal(size=(100, 16))
        >>> model = RQKMeans(n_levels=3, n_clusters=10, random_state=0).fit(X)
        >>> model.encode(X[:5]).shape
        (5, 3)
        >>> np.bincount(model.encode(X, balanced=True)[:, 0]).tolist()
        [10, 10, 10, 10, 10, 10, 10, 10, 10, 10]
        >>> greedy, beam = model.encode(X), model.encode(X, beam_size=8)
        >>> bool(((X - model.decode(beam)) ** 2).sum() < ((X - model.decode(greedy)) ** 2).sum())
        True
        """
        if device != "cpu":
            check_device(device)
        if batch_size is not None:
            batch_size = check_int("batch_size", batch_size, 1)
        if beam_size != 1:
            beam_size = check_int("beam_size", beam_size, 1, _MAX_BEAM)
        quantizer = self._quantizer()
        rows = as_matrix(X, quantizer.dim, "RQKMeans")
        if balanced:
            return self._encode_balanced(quantizer, rows, beam_size)
        if is_float32(rows):
            return quantizer.encode(rows, batch_size, verbose=bool(self.verbose), beam_size=beam_size)
        codes = np.empty((len(rows), quantizer.levels), np.int32)
        step = batch_size or max(1, _BLOCK // quantizer.dim)
        blocks: Iterable[int] = range(0, len(rows), step)
        if self.verbose and len(rows) > step:
            from tqdm.auto import tqdm  # takes its time to import

            blocks = tqdm(blocks, desc="encode", unit=" blocks")
        for low in blocks:
            block = to_float32(rows[low : low + step], low)
            codes[low : low + step] = quantizer.encode(block, batch_size, False, low, beam_size)
        return codes

    def _encode_balanced(self, quantizer: _native.Quantizer, rows: npt.NDArray[Any], beam_size: int) -> CodeMatrix:
        if beam_size != 1:
            raise ValueError(f"beam_size={beam_size} with balanced=True: want 1, there is no beam for balanced codes")
        large = is_large(rows)
        x = float32_rows(rows)
        codes, certificates = quantizer.encode_balanced(x, large, bool(self.verbose))
        _log.info("balanced the codes of %d rows: %s", len(x), _certificates(certificates))
        return codes

    def decode(self, codes: npt.ArrayLike) -> FloatMatrix:
        """Return the embeddings that codes stand for: the sum of the centroids they name.

        Parameters
        ----------
        codes : array-like of shape (n_samples, n_levels), integers
            Codes of `encode`.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), dtype float32
            Approximate embeddings; under "cosine" of norm about 1.

        Raises
        ------
        NotFittedError
            Before `fit` or `load`.
        ShapeMismatchError
            If `codes` is not 2-D or not n_levels wide.
        CodeError
            If a code is out of range; it is a ValueError and an IndexError.

        Examples
        --------
        >>> import numpy as np
        >>> from semantic_id import RQKMeans
        >>> X = np.random.default_rng(0).normal(size=(100, 16))
        >>> model = RQKMeans(n_levels=3, n_clusters=10, random_state=0).fit(X)
        >>> model.decode([[0, 0, 0]]).shape
        (1, 16)
        """
        quantizer = self._quantizer()
        return quantizer.decode(as_codes(codes, quantizer.levels))

    def residual_space(
        self, X: Any, *, device: str = "cpu", batch_size: int | None = None
    ) -> tuple[FloatMatrix, list[FloatMatrix]]:
        """Return what is quantized, and the codebooks, for resolvers that choose codes anew.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.
        device : str, default="cpu"
            Where to work.
        batch_size : int, default=None
            Not used.

        Returns
        -------
        latents : ndarray of shape (n_samples, n_features), dtype float32
            `X`; under "cosine" with rows divided by their norms.
        codebooks : list of ndarray of shape (n_clusters[l], n_features), dtype float32
            `codebooks_`.

        Raises
        ------
        NotFittedError
            Before `fit` or `load`.
        ShapeMismatchError
            If `X` is empty, not 2-D, or of another n_features than in `fit`.
        ValueError
            If `X` holds NaN or infinity, or a row of zeros under "cosine".
        """
        check_device(device)
        quantizer = self._quantizer()
        rows = as_matrix(X, quantizer.dim, "RQKMeans")
        x = rows if is_float32(rows) else to_float32(rows)
        if self.metric == "l2":
            if x is rows:
                check_finite(x)
        else:
            x = quantizer.latents(x)
        return x, [np.ascontiguousarray(b, np.float32) for b in self.codebooks_]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a directory: metadata.json and codebooks.npz.

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
        codebooks = [np.asarray(b, np.float32) for b in self._codebooks()]
        from .. import _files  # zip, hashes and more: only for those who save or load

        known = {name: self.__dict__[f"{name}_"] for name in _OF_TRAINING if f"{name}_" in self.__dict__}
        _files.save_rq_kmeans(path, self.get_params() | known, codebooks)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str = "cpu") -> RQKMeans:
        """Read a model that `save` wrote, or semantic-id 0.2.5.

        Parameters
        ----------
        path : str or path-like
            The directory.
        device : str, default="cpu"
            Where to work.

        Returns
        -------
        model : RQKMeans
            The fitted model.

        Raises
        ------
        FileNotFoundError
            If there is no model.
        ModelFileError
            If a file is truncated, altered or foreign, or of a newer version; it is a ValueError.
        ValueError
            If it is a model of another type.
        """
        from .. import _files

        check_device(device)
        meta, codebooks = _files.load_model(path, "RQKMeans")
        model = cls(**{name: meta[name] for name in _SAVED})
        model.codebooks_ = _freeze(codebooks)
        model.D_ = model.n_features_in_ = int(codebooks[0].shape[1])
        for name in _OF_TRAINING:
            if name in meta:
                setattr(model, f"{name}_", meta[name])
        return model

    def _codebooks(self) -> list[FloatMatrix]:
        books: list[FloatMatrix] = self.__dict__.get("codebooks_", [])
        if not books:
            raise NotFittedError("Model is not fitted yet: this RQKMeans has no codebooks. Call fit() or load() first.")
        return books

    def _quantizer(self) -> _native.Quantizer:
        """Return the model inside the library, made anew when codebooks or metric are not those it was made of."""
        books = self._codebooks()
        try:
            quantizer, made_of, metric = self._native_model
            if metric == self.metric and len(books) == len(made_of):
                for book, source in zip(books, made_of):  # noqa: B905 - equally long
                    if book is not source or book.flags.writeable:
                        break
                else:
                    return quantizer
        except AttributeError:  # none yet
            pass
        if len({np.shape(b)[1:] for b in books}) != 1 or np.ndim(books[0]) != 2:
            raise ShapeMismatchError(
                f"codebooks_ have shapes {[np.shape(b) for b in books]}: want (n_clusters, n_features), one n_features"
            )
        quantizer = _native.Quantizer(books, check_choice("metric", self.metric, _native.METRICS))
        if all(_is_frozen(b) for b in books):
            self._native_model = (quantizer, list(books), self.metric)
        return quantizer

    def __getstate__(self) -> tuple[dict[str, Any], list[bool]]:
        books = self.__dict__.get("codebooks_", [])
        return self.__dict__.copy(), [isinstance(b, np.ndarray) and not b.flags.writeable for b in books]

    def __setstate__(self, state: tuple[dict[str, Any], list[bool]]) -> None:
        values, frozen = state
        self.__dict__.update(values)
        for book, was_frozen in zip(self.__dict__.get("codebooks_", []), frozen, strict=True):
            if was_frozen:
                book.flags.writeable = False  # neither pickle nor deepcopy keeps that

    def __sklearn_is_fitted__(self) -> bool:
        return bool(self.__dict__.get("codebooks_"))

    def _described(self) -> tuple[str, list[Level]]:
        books = self.__dict__.get("codebooks_", [])
        if not books:
            return "not fitted yet", []
        state = f"of {books[0].shape[1]:,} columns"
        if "n_samples_fit_" in self.__dict__:
            state = f"fitted to {self.n_samples_fit_:,} rows {state}, mean squared error {self.quantization_mse_:.4g}"
        sizes = self.__dict__.get("cluster_sizes_")
        if sizes is None or [len(s) for s in sizes] != [len(b) for b in books]:  # or codebooks were assigned
            return state, [Level(len(b)) for b in books]
        return state, [Level(len(s), int(np.count_nonzero(s)), _perplexity(s)) for s in sizes]


def _is_list(n_clusters: Any) -> bool:
    return isinstance(n_clusters, (Sequence, np.ndarray)) and not isinstance(n_clusters, str)


def _certificates(numbers: npt.NDArray[np.float64]) -> list[Certificate]:
    return [Certificate(*level) for level in numbers.tolist()]


def _per_element(errors: npt.NDArray[np.float64], weights: npt.NDArray[Any] | None, shape: tuple[int, int]) -> float:
    """Return the last of some weighted sums of squared distances per row and column."""
    return float(errors[-1]) / ((shape[0] if weights is None else float(weights.sum())) * shape[1])


def _perplexity(sizes: npt.NDArray[np.int64]) -> float:
    shares = sizes[sizes > 0] / sizes.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _sizes(codes: CodeMatrix, clusters: Sequence[int]) -> list[npt.NDArray[np.int64]]:
    return [np.bincount(codes[:, level], minlength=k) for level, k in enumerate(clusters)]


def _freeze(codebooks: list[FloatMatrix]) -> list[FloatMatrix]:
    for book in codebooks:
        book.flags.writeable = False
    return codebooks


def _is_frozen(array: Any) -> bool:
    """Tell whether nothing changes the array unless somebody makes it writeable first."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return True
