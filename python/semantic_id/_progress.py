"""A tqdm bar over a native call, in terminals and notebooks alike."""

from tqdm.auto import tqdm


class Progress:
    """Shows how far a call is, as its control block tells.

    Parameters
    ----------
    title : str
        What is being done.
    unit : str
        What is counted.
    by_level : bool
        Whether steps are counted anew at each level, which may end before its last step.
    """

    def __init__(self, title: str, unit: str, by_level: bool) -> None:
        self._by_level = by_level
        self._title = title
        self._level = -1
        self._bar = tqdm(desc=title, unit=f" {unit}", unit_scale=not by_level)

    def show(self, level: int, levels: int, done: int, total: int) -> None:
        """Show `done` of at most `total` steps, at `level` of `levels`."""
        if total == 0:  # the call has not begun to count
            return
        if self._by_level:
            done, total = level * total + done, levels * total
            if level != self._level:
                self._bar.set_description(f"{self._title} level {level + 1}/{levels}", refresh=False)
                self._level = level
        self._bar.total = total
        self._bar.update(max(0, done - self._bar.n))

    def close(self, finished: bool) -> None:
        """Leave the bar as it is, or full when the call has finished."""
        if finished and self._bar.total is not None:
            self._bar.update(self._bar.total - self._bar.n)
        self._bar.close()
