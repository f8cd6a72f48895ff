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
    levels : int
        Levels that count their steps anew, each of which may end before its last step.
    steps : int
        The most steps of a level.
    """

    def __init__(self, title: str, unit: str, levels: int, steps: int) -> None:
        self._title = title
        self._levels = levels
        self._steps = steps
        self._level = -1
        self._bar = tqdm(desc=title, unit=f" {unit}", total=levels * steps, unit_scale=levels == 1)

    def show(self, level: int, done: int) -> None:
        """Show `done` steps at `level`."""
        if self._levels > 1 and level != self._level:
            self._level = level
            self._bar.set_description(f"{self._title} level {level + 1}/{self._levels}", refresh=False)
        self._bar.update(max(0, level * self._steps + done - self._bar.n))

    def close(self, finished: bool) -> None:
        """Leave the bar as it is, or full when the call has finished."""
        if finished:
            self._bar.update(self._bar.total - self._bar.n)
        self._bar.close()
