"""The demo: semantic ids of scikit-learn's 1,797 handwritten digits, and a picture of what they hold.

The pixels themselves are the embeddings, so that what a prefix has in common can be seen.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import RQKMeans
from ._id_files import id_writer, replacing
from ._tables import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

# A tree that fits a page: twelve shapes for ten digits, two variants of each, four of each of those.
CLUSTERS = (12, 2, 4)


@dataclass(frozen=True)
class Prefix:
    """The images whose ids start alike."""

    codes: tuple[int, ...]
    digits: tuple[int, ...]  # how many images of 0, of 1, ... of 9

    @property
    def count(self) -> int:
        return sum(self.digits)

    @property
    def purity(self) -> float:
        """The share of the most common digit."""
        return max(self.digits) / self.count


def run(out: str, *, seed: int = 0) -> None:
    """Fit the digits, print what the ids hold, and write ids, model and picture into directory `out`.

    Parameters
    ----------
    out : str
        A directory, made if need be. Files of an earlier run are replaced.
    seed : int, default=0
        The model's random state.

    Raises
    ------
    DataError
        If scikit-learn or matplotlib is missing, or `out` is a file.
    """
    images, labels = _digits()
    from ._demo_picture import draw

    if os.path.lexists(out) and not os.path.isdir(out):
        raise DataError(f"{out}: is a file, and the demo writes a directory; choose another name by --out")
    os.makedirs(out, exist_ok=True)

    x = images.reshape(len(images), -1)
    model = RQKMeans(n_levels=len(CLUSTERS), n_clusters=list(CLUSTERS), n_init=10, random_state=seed).fit(x)
    codes = model.encode(x)
    ids = model.semantic_id(codes)
    _print(x, codes, labels, ids)

    model.save(os.path.join(out, "model"))
    with id_writer(os.path.join(out, "ids.csv"), len(CLUSTERS)) as writer:
        writer.write(range(len(ids)), ids, codes)
    picture = draw(images, labels, codes, CLUSTERS)
    with replacing(os.path.join(out, "digits.png")) as path, open(path, "wb") as file:
        file.write(picture)
    print(f"\nIn {out}: digits.png (the tree of these ids), ids.csv (the id of every image), model/")


def prefixes(codes: NDArray[np.int32], labels: NDArray[np.int64], depth: int) -> list[Prefix]:
    """Group the images by their first `depth` codes, in the order of the codes."""
    found, group = np.unique(codes[:, :depth], axis=0, return_inverse=True)
    digits = np.zeros((len(found), 10), np.int64)
    np.add.at(digits, (group.reshape(-1), labels), 1)
    return [Prefix(tuple(row), tuple(counts)) for row, counts in zip(found.tolist(), digits.tolist(), strict=True)]


def purity(groups: Sequence[Prefix]) -> float:
    """Return the share of images that show the most common digit of their prefix."""
    return sum(max(group.digits) for group in groups) / sum(group.count for group in groups)


def variance_left(x: NDArray[np.float32], codes: NDArray[np.int32], depth: int) -> float:
    """Return the share of the variance of `x` that is within the prefixes of `depth` codes, not between them."""
    _, group = np.unique(codes[:, :depth], axis=0, return_inverse=True)
    group = group.reshape(-1)
    sums = np.zeros((group.max() + 1, x.shape[1]))
    np.add.at(sums, group, x)
    means = sums / np.bincount(group)[:, None]
    return float(((x - means[group]) ** 2).sum() / ((x - x.mean(axis=0, dtype=np.float64)) ** 2).sum())


def _digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    try:
        import matplotlib  # noqa: F401  (needed later: better to fail before the work than after)
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(f"the demo needs {error.name}: pip install 'semantic-id[demo]'") from error
    data: Any = load_digits()
    return data.images.astype(np.float32), data.target.astype(np.int64)


def _print(x: NDArray[np.float32], codes: NDArray[np.int32], labels: NDArray[np.int64], ids: Sequence[str]) -> None:
    print(f"{len(ids):,} handwritten digits of 8 x 8 pixels, ids of {codes.shape[1]} codes.\n")
    print("prefix  images  most are  digits in it")
    for first in prefixes(codes, labels, 1):
        print(_line(first))
        for second in prefixes(codes, labels, 2):
            if second.codes[0] == first.codes[0]:
                print(_line(second))

    print("\nThe longer the shared prefix, the more alike the images:")
    print("codes shared  prefixes  variance left  image shows the digit most common in its prefix")
    for depth in range(codes.shape[1] + 1):
        groups = prefixes(codes, labels, depth)
        print(
            f"{depth:12}  {len(groups):8}  {100 * variance_left(x, codes, depth):11.1f} %  {100 * purity(groups):.1f} %"
        )

    print("\nThe first ten images and their ids:")
    print("  digit  " + "".join(f"{digit:>8}" for digit in labels[:10].tolist()))
    print("  id     " + "".join(f"{each:>8}" for each in ids[:10]))


def _line(prefix: Prefix) -> str:
    order = sorted(range(10), key=lambda digit: (-prefix.digits[digit], digit))
    shown = [f"{digit}: {prefix.digits[digit]}" for digit in order if prefix.digits[digit]]
    rest = sum(prefix.digits[digit] for digit in order[5:])
    held = ", ".join(shown[:5]) + (f", others: {rest}" if rest else "")
    name = "  " * (len(prefix.codes) - 1) + "-".join(map(str, prefix.codes))
    return f"{name:6}  {prefix.count:6}  {order[0]} {100 * prefix.purity:4.0f} %  {held}"
