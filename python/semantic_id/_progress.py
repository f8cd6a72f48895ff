"""A tqdm bar over a native call, in terminals and notebooks alike."""

from typing import Any


class Progress:
    """Shows how far a call is, as its control block tells.

    Parameters
    ----------
    title : str
        What is being done.
    unit : str
        What is counted.
    """

    def __init__(self, title: str, unit: str) -> None:
        self._title = title
        self._unit = unit
        self._bar: Any = None

    def show(self, level: int, levels: int, done: int, total: int) -> None:
        """Show `done` of at most `total` steps at `level` of `levels`."""
        if self._bar is None:
            from tqdm.auto import tqdm

            self._bar = tqdm(desc=self._title, unit=f" {self._unit}", leave=False)
        if self._unit == "iterations":  # of each level: one that converges early leaves the rest of its share undone
            self._bar.set_description(f"{self._title} level {level + 1}/{levels}", refresh=False)
            level_start, self._bar.total = level * total, levels * total
        else:
            level_start, self._bar.total = 0, total
        self._bar.n = level_start + done
        self._bar.refresh()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
