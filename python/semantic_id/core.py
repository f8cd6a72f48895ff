"""The base class of encoders, the check of embeddings, and ids from codes and back."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _native
from ._arrays import CodeMatrix, FloatMatrix, as_codes, as_matrix, check_finite, is_float32, to_float32
from .exceptions import CodeError

__all__ = ["BaseSemanticEncoder", "codes_to_ids", "ids_to_codes"]


def _validate_embeddings(X: Any, expected_dim: int | None = None) -> FloatMatrix:
    """Return `X` as C-ordered float32 (n_samples, n_features), itself when it already is that.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        An array of any float or integer type, nested lists, a DLPack tensor, an Arrow column of lists, a pandas or
        Polars frame.
    expected_dim : int, default=None
        The n_features wanted (None: any).

    Returns
    -------
    X : ndarray of shape (n_samples, n_features), dtype float32
        All finite.

    Raises
    ------
    ShapeMismatchError
        If `X` is not 2-D, is empty, or has another n_features.
    ValueError
        If `X` holds NaN or infinity, naming the first such row, or anything but real numbers.

    Examples
    --------
    >>> from semantic_id.core import _validate_embeddings
    >>> _validate_embeddings([[1, 2], [3, 4]])
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    array = as_matrix(X, expected_dim)
    if not is_float32(array):
        return to_float32(array)
    check_finite(array)
    return array


def codes_to_ids(
    codes: npt.ArrayLike,
    *,
    sep: str = "-",
    fmt: str = "plain",
    formatter: Callable[[npt.NDArray[Any]], str] | None = None,
) -> list[str]:
    """Write each row of codes as an id.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels), integers
        The codes, coarse level first.
    sep : str, default="-"
        What stands between the codes of a plain id.
    fmt : {"plain", "token"}, default="plain"
        "3-9-1", or "<a_3><b_9><c_1>" for language models; level 27 starts again at a.
    formatter : callable, default=None
        Gets each row, shape (n_levels,), and returns its id; `sep` and `fmt` are then unused.

    Returns
    -------
    ids : list of str
        One id per row.

    Raises
    ------
    ShapeMismatchError
        If `codes` is not 2-D.
    ValueError
        If `fmt` is unknown.

    See Also
    --------
    ids_to_codes : The way back.

    Examples
    --------
    >>> from semantic_id.core import codes_to_ids
    >>> codes_to_ids([[3, 9, 1], [0, 5, 7]])
    ['3-9-1', '0-5-7']
    >>> codes_to_ids([[3, 9, 1]], fmt="token")
    ['<a_3><b_9><c_1>']
    """
    if formatter is not None:
        return _format_each(as_codes(codes), formatter)
    _check_format(fmt)
    return _native.format_codes(as_codes(codes), fmt, sep)


def ids_to_codes(ids: Iterable[str], *, sep: str = "-", fmt: str = "plain") -> CodeMatrix:
    """Read back the codes of ids that `codes_to_ids` wrote.

    Parameters
    ----------
    ids : iterable of str
        Ids of equally many codes.
    sep : str, default="-"
        What stands between the codes of a plain id; not empty and without digits, or the ids could not be read.
    fmt : {"plain", "token"}, default="plain"
        How the ids were written.

    Returns
    -------
    codes : ndarray of shape (n_samples, n_levels), dtype int32
        The codes; of shape (0, 0) without ids.

    Raises
    ------
    ValueError
        If `sep` or `fmt` cannot be used, or an id is not of that form or of another length than the first, naming it.

    Examples
    --------
    >>> from semantic_id import ids_to_codes
    >>> ids_to_codes(["3-9-1", "0-5-7"])
    array([[3, 9, 1],
           [0, 5, 7]], dtype=int32)
    """
    _check_format(fmt)
    if fmt == "plain" and (not sep or re.search(r"\d", sep)):
        raise ValueError(f"sep={sep!r}: want a separator that is not empty and has no digits")
    rows: list[list[int]] = []
    for i, text in enumerate(ids):
        row = _read_token(text) if fmt == "token" else _read_plain(text, sep)
        if row is None:
            how = "" if fmt == "token" else f" with sep={sep!r}"
            raise ValueError(f"{text!r} at position {i} is not a {fmt} id{how}")
        if rows and len(row) != len(rows[0]):
            raise ValueError(f"{text!r} at position {i} has {len(row)} codes, the first id has {len(rows[0])}")
        if max(row) >= 2**31:
            raise CodeError(f"code out of range: {text!r} at position {i}, codes are below 2**31")
        rows.append(row)
    return np.array(rows, dtype=np.int32) if rows else np.empty((0, 0), np.int32)


def _read_plain(text: str, sep: str) -> list[int] | None:
    parts = text.split(sep)
    digits = "".join(parts)
    if "" in parts or not (digits.isascii() and digits.isdigit()):
        return None
    return [int(part) for part in parts]


def _read_token(text: str) -> list[int] | None:
    """Read "<a_3><b_9>"; the letters must be those of the levels."""
    row = []
    end = 0
    for level, token in enumerate(_TOKEN.finditer(text)):
        if token.start() != end or token[1] != chr(ord("a") + level % 26):
            return None
        row.append(int(token[2]))
        end = token.end()
    return row if row and end == len(text) else None


_TOKEN = re.compile(r"<([a-z])_([0-9]+)>")


def _check_format(fmt: str) -> None:
    if fmt not in ("plain", "token"):
        raise ValueError(f"fmt={fmt!r}: want 'plain' or 'token', or pass a formatter")


def _format_each(codes: CodeMatrix, formatter: Callable[[npt.NDArray[Any]], str]) -> list[str]:
    ids = []
    for i, row in enumerate(codes):
        text = formatter(row)
        if not isinstance(text, str):
            raise TypeError(f"formatter returned {text!r} for row {i}: want a string")
        ids.append(text)
    return ids


class BaseSemanticEncoder(ABC):
    """What the engine asks of an encoder: embeddings to codes, codes to ids, and files.

    Derive from it to use a quantizer of your own with `SemanticIdEngine`.
    """

    @abstractmethod
    def fit(self, X: Any, *, device: str = "cpu") -> BaseSemanticEncoder:
        """Learn from embeddings and return self.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.
        device : str, default="cpu"
            Where to work.
        """

    @abstractmethod
    def encode(self, X: Any, *, device: str = "cpu", batch_size: int | None = None) -> npt.NDArray[np.int32]:
        """Return the codes of embeddings, int32 (n_samples, n_levels).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.
        device : str, default="cpu"
            Where to work.
        batch_size : int, default=None
            Rows worked on at once.
        """

    def decode(self, codes: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return the approximate embeddings of codes, float32 (n_samples, n_features), where the encoder can.

        Parameters
        ----------
        codes : array-like of shape (n_samples, n_levels)
            Codes of `encode`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not decode")

    def residual_space(
        self, X: Any, *, device: str = "cpu", batch_size: int | None = None
    ) -> tuple[FloatMatrix, list[FloatMatrix]]:
        """Return what the codes of embeddings are codes of, for resolvers that choose codes anew.

        The squared error of a code is the squared distance of its row of `latents` to the sum of the centroids that it
        names, one of each codebook. An encoder that has `codebooks_` and quantizes embeddings as they are need not
        override this.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.
        device : str, default="cpu"
            Where to work.
        batch_size : int, default=None
            Rows worked on at once.

        Returns
        -------
        latents : ndarray of shape (n_samples, d), dtype float32
            What is quantized: embeddings, or what an encoder makes of them.
        codebooks : list of ndarray of shape (n_clusters[l], d), dtype float32
            The centroids of each level.

        Raises
        ------
        NotImplementedError
            If the encoder does not say.
        """
        codebooks = getattr(self, "codebooks_", None)
        if codebooks is None or getattr(self, "metric", "l2") != "l2":
            raise NotImplementedError(
                f"{type(self).__name__} does not say what its codes are codes of: give it a method "
                "residual_space(X, *, device, batch_size) that returns latents and codebooks"
            )
        return _validate_embeddings(X), [np.ascontiguousarray(b, np.float32) for b in codebooks]

    def semantic_id(
        self,
        codes: npt.ArrayLike,
        *,
        sep: str = "-",
        fmt: str = "plain",
        formatter: Callable[[npt.NDArray[Any]], str] | None = None,
    ) -> list[str]:
        """Write each row of codes as an id.

        Parameters
        ----------
        codes : array-like of shape (n_samples, n_levels)
            Codes of `encode`.
        sep : str, default="-"
            What stands between the codes of a plain id.
        fmt : {"plain", "token"}, default="plain"
            "3-9-1" or "<a_3><b_9><c_1>".
        formatter : callable, default=None
            Gets each row and returns its id; `sep` and `fmt` are then unused.

        Returns
        -------
        ids : list of str
            One id per row.

        See Also
        --------
        codes_to_ids : The same without an encoder.
        """
        return codes_to_ids(codes, sep=sep, fmt=fmt, formatter=formatter)

    @abstractmethod
    def save(self, path: str) -> None:
        """Write the encoder to a directory.

        Parameters
        ----------
        path : str
            The directory.
        """

    @classmethod
    @abstractmethod
    def load(cls, path: str, *, device: str = "cpu") -> BaseSemanticEncoder:
        """Read an encoder that `save` wrote.

        Parameters
        ----------
        path : str
            The directory.
        device : str, default="cpu"
            Where to work.
        """
