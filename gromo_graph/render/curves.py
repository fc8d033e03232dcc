"""The curves of a run: what was measured and how large the network was over the epochs, with the growth steps, and the
held-out measures against the size of the network.

One source for every plotter: the report draws these curves as SVG, `Run.plot` draws them with matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from gromo_graph.records import GrowthEvent
from gromo_graph.records.journal import Epoch
from gromo_graph.records.sizes import Size
from gromo_graph.render.drawing.text import shortened
from gromo_graph.render.highlights import decision_words

_LABEL_EMS = 5.5  # what there is room for beside a plot
Role = Literal["train", "validation", "size", "run"]
"""The meaning of a curve, which decides its colour; of several runs each has its own."""


@dataclass(frozen=True)
class Curve:
    """One quantity over the epochs, or against another one.

    Attributes:
        name: shown beside the curve; empty if the title of the plot says it.
        role: decides the colour.
        values: pairs of epoch and value; a value may be missing or not finite.
        stairs: the value holds until the next epoch.
        dots: whether every value is marked, with an open circle but for those in `settled`.
        settled: the places across of values that are marked with a full circle.
        number: of the run, from 1, in the role `run`; else 0.
    """

    name: str
    role: Role
    values: tuple[tuple[float, float | None], ...]
    stairs: bool = False
    dots: bool = False
    settled: frozenset[float] = frozenset()
    number: int = 0

    @property
    def points(self) -> tuple[tuple[float, float], ...]:
        """The values that can be drawn.

        >>> Curve("loss", "train", ((1, 0.5), (2, None), (3, float("nan")))).points
        ((1, 0.5),)
        """
        return tuple((epoch, value) for epoch, value in self.values if value is not None and isfinite(value))


@dataclass(frozen=True)
class GrowthMark:
    """A growth step among the curves: its place among the epochs, its words, and whether it took neurons out."""

    epoch: float
    words: str
    is_pruning: bool = False


@dataclass(frozen=True)
class Plot:
    """Curves that share their axes.

    Attributes:
        title: the quantity.
        curves: those that have points.
        marks: the growth steps that were applied.
        from_zero: the axis of values begins at 0.
        across: the quantity of the other axis.
        powers: the other axis has a scale of powers of 10; its values are above 0.
    """

    title: str
    curves: tuple[Curve, ...]
    marks: tuple[GrowthMark, ...] = ()
    from_zero: bool = False
    across: str = "epoch"
    powers: bool = False

    @property
    def words(self) -> str:
        """The plot in words.

        >>> Plot("loss", ()).words, Plot("loss", (), across="parameters").words
        ('loss over the epochs', 'loss against parameters')
        """
        over_epochs = self.across == "epoch"
        return f"{self.title} over the epochs" if over_epochs else f"{self.title} against {self.across}"


def plots_of(epochs: Sequence[Epoch], events: Sequence[GrowthEvent]) -> tuple[Plot, ...]:
    """A plot for each measure that any epoch has, and one for the number of parameters; none without an epoch."""
    if not epochs:
        return ()
    applied = [event for event in events if event.decision is not None]
    marks = tuple(
        GrowthMark(
            event.place, f"step {event.step}: {decision_words(decision)}", is_pruning=decision.is_pruning
        )
        for event in applied
        if (decision := event.decision) is not None
    )
    measures = dict.fromkeys(name for epoch in epochs for name in (*epoch.train, *epoch.validation))
    plots = [
        Plot(measure, _curves_of(measure, epochs), marks, from_zero=measure == "loss") for measure in measures
    ]
    stairs = (Curve("", "size", _parameters(epochs, applied), stairs=True),)
    plots.append(Plot("parameters", stairs, marks, from_zero=True))
    return tuple(plot for plot in plots if plot.curves)


def _parameters(epochs: Sequence[Epoch], applied: Sequence[GrowthEvent]) -> tuple[tuple[float, int], ...]:
    """The parameters before any growth, after each step whose place is known, and at the end of each epoch."""
    first = applied[0].parameters_before if applied else epochs[0].parameters
    grown = {event.epochs_done: event.parameters for event in applied if event.epochs_done is not None}
    ends = {float(epoch.epoch): epoch.parameters for epoch in epochs}
    return tuple(sorted(({0.0: first} | grown | ends).items()))


def size_plots_of(sizes: Mapping[str, Sequence[Size]]) -> tuple[Plot, ...]:
    """Held-out loss and accuracy against parameters and multiply-adds; none without a measure.

    Args:
        sizes: of one run or several, by their names. The name of a single run stands beside no curve.
    """
    named = len(sizes) > 1
    plots = []
    for measure in ("loss", "accuracy"):
        for cost, across in (("parameters", "parameters"), ("madds", "multiply-adds")):
            curves = tuple(
                _size_curve(rows, measure, cost, name=_label(run) if named else "", number=number * named)
                for number, (run, rows) in enumerate(sizes.items(), start=1)
            )
            title = f"held-out {measure}"
            plots.append(
                Plot(title, tuple(curve for curve in curves if curve.points), across=across, powers=True)
            )
    return tuple(plot for plot in plots if plot.curves)


def _label(run: str) -> str:
    """The name of a run as it fits beside a curve: the last part of its path."""
    return shortened(run.rstrip("/").rpartition("/")[2], _LABEL_EMS)


def _size_curve(sizes: Sequence[Size], measure: str, cost: str, *, name: str, number: int) -> Curve:
    """One measure of the sizes of a run in the order of its steps, as it may come back to a size.

    Args:
        number: of the run; 0 if it is the only one.
    """
    values = tuple((int(getattr(size, cost)), getattr(size, measure)) for size in sizes)
    settled = frozenset(int(getattr(size, cost)) for size in sizes if size.to_the_end)
    role: Role = "run" if number else "validation"
    return Curve(name, role, values, dots=True, settled=settled, number=number)


def _curves_of(measure: str, epochs: Sequence[Epoch]) -> tuple[Curve, ...]:
    found = (
        Curve("train", "train", tuple((epoch.epoch, epoch.train.get(measure)) for epoch in epochs)),
        Curve(
            "validation",
            "validation",
            tuple((epoch.epoch, epoch.validation.get(measure)) for epoch in epochs),
        ),
    )
    return tuple(curve for curve in found if curve.points)
