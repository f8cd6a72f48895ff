"""Embeddings from files, also from those that memory cannot hold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from ._tables import open_embeddings

__all__ = ["open_rows"]


def open_rows(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    column: str | None = None,
    key: str | None = None,
) -> npt.NDArray[Any]:
    """Return the embeddings of files as one array, which may be larger than memory, for `fit` and `encode`.

    A .npy file is mapped as it lies. Other files are read once, a block at a time, and put together as float32: in
    memory or, from 256 MiB on, in a temporary file that is mapped and takes up disk space for as long as the array
    lives. The variable TMPDIR says in which directory.

    Parameters
    ----------
    path : str, path-like, or sequence of them
        A file that ends in .npy, .npz, .parquet, .csv or .jsonl; a directory of .parquet files, taken in the order of
        their names; or several, one after the other. Parquet takes pyarrow.
    column : str, default=None
        The column that holds the vectors (None: the one named embedding, embeddings or vector, or else the only one of
        lists, or else all, a number in each).
    key : str, default=None
        The array of a .npz to read (None: the only one).

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        A `numpy.memmap` of the file's own type for .npy; else float32.

    Raises
    ------
    ValueError
        If a file is not what its name says, or holds NaN, infinity, nulls or rows of unequal length; the message names
        the file and the row.
    OSError
        If a file cannot be read, or the temporary one not be written.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from semantic_id import RQKMeans
    >>> from semantic_id.io import open_rows
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     np.save(f"{directory}/items.npy", np.random.default_rng(0).normal(size=(100, 16)))
    ...     X = open_rows(f"{directory}/items.npy")
    ...     RQKMeans(n_levels=3, n_clusters=10, random_state=0).fit_encode(X).shape
    (100, 3)
    """
    paths = [path] if isinstance(path, (str, os.PathLike)) else path
    return open_embeddings([os.fspath(each) for each in paths], column=column, key=key).matrix()
