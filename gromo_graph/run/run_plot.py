"""The curves of a run as a matplotlib figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gromo_graph.errors import RunError
from gromo_graph.records import GrowthEvent
from gromo_graph.records.journal import Epoch
from gromo_graph.render.curves import plots_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"train": "#7f8b99", "validation": "#1f63b5", "size": "#1f63b5"}
_GROWN, _REMOVED = "#00734d", "#a34700"


def plot_run(title: str, epochs: Sequence[Epoch], events: Sequence[GrowthEvent]) -> Figure:
    """Every measure and the number of parameters over the epochs; growth steps are vertical lines.

    Raises:
        RunError: matplotlib is not installed, or no epoch is over.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise RunError("matplotlib is missing: pip install 'gromo_graph[plot]'") from error
    plots = plots_of(epochs, events)
    if not plots:
        raise RunError("there is nothing to plot: no epoch is over")
    figure, axes = pyplot.subplots(
        len(plots), sharex=True, squeeze=False, figsize=(7.0, 2.2 * len(plots)), layout="constrained"
    )
    for plot, axis in zip(plots, axes[:, 0], strict=True):
        for curve in plot.curves:
            x, y = zip(*curve.points, strict=True)
            axis.plot(
                x,
                y,
                color=_COLOURS[curve.role],
                label=curve.name,
                marker="." if len(x) < 2 else "",
                drawstyle="steps-post" if curve.stairs else "default",
            )
        axis.set_ylabel(plot.title)
        if plot.from_zero:
            axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
        named = set()
        for mark in plot.marks:
            name, color = ("pruning step", _REMOVED) if mark.is_pruning else ("growth step", _GROWN)
            label = None if name in named else name
            axis.axvline(mark.epoch, color=color, linewidth=0.8, linestyle=":", zorder=0, label=label)
            named.add(name)
    axes[0, 0].legend(frameon=False)
    axes[-1, 0].set_xlabel("epoch")
    # A dollar sign would begin a formula.
    figure.suptitle(title.replace("$", r"\$"), x=0.01, ha="left", fontweight="bold")
    return figure
