"""The picture of an RQVAE's training; needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_history(history: Mapping[str, Sequence[Any]], kept: int) -> Figure:
    """Draw losses, collisions and use of codes by epoch, and a line where the kept epoch is."""
    try:
        from matplotlib.figure import Figure  # not pyplot, which would keep the figure and choose a window system
    except ImportError as error:
        raise ImportError("plot_history needs matplotlib: pip install 'semantic-id[plot]'") from error
    epochs = range(1, len(history["loss"]) + 1)
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    losses, collisions, use = figure.subplots(1, 3)
    for name, label in (("loss", "loss"), ("recon_loss", "of reconstruction"), ("error", "error of codes")):
        losses.plot(epochs, history[name], label=label)
    losses.set_yscale("log")
    losses.set_title("training")
    collisions.plot(epochs, history["collision_rate"])
    collisions.set_ylim(0)
    collisions.set_title("collision rate")
    for level, shares in enumerate(zip(*history["utilization"], strict=True)):
        use.plot(epochs, shares, label=f"level {level}")
    use.set_ylim(0, 1.02)
    use.set_title("share of the codes in use")
    for axes in (losses, collisions, use):
        axes.axvline(kept + 1, color="gray", linestyle=":", label="kept epoch" if axes is losses else None)
        axes.set_xlabel("epoch")
    losses.legend()
    use.legend()
    return figure
