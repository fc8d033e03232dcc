"""The curves of a run as a matplotlib figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gromo_graph.errors import RunError
from gromo_graph.records import GrowthEvent
from gromo_graph.records.journal import Epoch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TRAIN, _VALIDATION, _GROWN = "#7f8b99", "#1f63b5", "#00734d"


def plot_run(title: str, epochs: Sequence[Epoch], events: Sequence[GrowthEvent]) -> Figure:
    """Loss, accuracy where there is one, and parameters over the epochs; growth steps are vertical lines.

    Raises:
        RunError: matplotlib is not installed, or no epoch is over.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise RunError("matplotlib is missing: pip install 'gromo_graph[plot]'") from error
    if not epochs:
        raise RunError("there is nothing to plot: no epoch is over")
    measures = [name for name in ("loss", "accuracy") if any(name in epoch.validation for epoch in epochs)]
    figure, axes = pyplot.subplots(
        len(measures) + 1, sharex=True, figsize=(7.0, 2.2 * (len(measures) + 1)), layout="constrained"
    )
    *upper, lowest = axes
    for measure, axis in zip(measures, upper, strict=True):
        for part, colour in (("train", _TRAIN), ("validation", _VALIDATION)):
            _line(axis, [(e.epoch, getattr(e, part).get(measure)) for e in epochs], part, colour)
        axis.set_ylabel(measure)
    applied = [event for event in events if event.decision is not None]
    first = applied[0].parameters_before if applied else epochs[0].parameters
    sizes = [(0, first), *((epoch.epoch, epoch.parameters) for epoch in epochs)]
    lowest.step(*zip(*sizes, strict=True), where="post", color=_VALIDATION)
    lowest.set(ylabel="parameters", xlabel="epoch")
    lowest.set_ylim(bottom=0)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        for number, event in enumerate(applied):
            label = "growth step" if number == 0 else None
            axis.axvline(event.epoch, color=_GROWN, linewidth=0.8, linestyle=":", zorder=0, label=label)
    upper[0].legend(frameon=False)
    figure.suptitle(title.replace("$", r"\$"), x=0.01, ha="left", fontweight="bold")  # no formula
    return figure


def _line(axis: Any, points: Sequence[tuple[int, float | None]], label: str, colour: str) -> None:
    known = [(epoch, value) for epoch, value in points if value is not None]
    axis.plot(*zip(*known, strict=True), color=colour, label=label, marker="." if len(known) < 2 else "")
