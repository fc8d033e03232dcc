"""The curves of several runs in common plots: over the epochs, over the work of training, and against the size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from gromo_graph.records import Journal, sizes_of
from gromo_graph.render.curves import Curve, Plot, size_plots_of

_UNITS = ("", ", thousands", ", millions", ", billions", ", trillions")
_MOST = 10_000  # of a unit, beyond which the next one is easier to read


@dataclass(frozen=True)
class ComparedRun:
    """A run among others.

    Attributes:
        label: a short name that no other has. journal: of the run. is_over: whether it has come to its end.
    """

    label: str
    journal: Journal
    is_over: bool

    @property
    def training_work(self) -> tuple[int, ...]:
        """Multiply-adds of the forward passes of all training samples up to the end of each epoch.

        An epoch counts with the size of the network at its end; the passes of growth are not counted. Empty if the
        number of samples is not known, as of loaders without a length.
        """
        samples = self.journal.header.data.get("train")
        if not isinstance(samples, int):
            return ()
        return tuple(accumulate(epoch.madds * samples for epoch in self.journal.epochs))


def training_plots_of(runs: Sequence[ComparedRun]) -> tuple[Plot, ...]:
    """Each held-out measure over the epochs, and the loss over the multiply-adds of the training."""
    epochs = [epoch for run in runs for epoch in run.journal.epochs]
    plots = [
        _over_epochs(runs, measure) for measure in dict.fromkeys(m for e in epochs for m in e.validation)
    ]
    plots.insert(1, _over_work(runs))
    return tuple(plot for plot in plots if plot.curves)


def size_plots_of_runs(runs: Sequence[ComparedRun]) -> tuple[Plot, ...]:
    """Held-out loss and accuracy of each run at every size that its network had."""
    sizes = {
        str(number): sizes_of(run.journal.epochs, run.journal.events, is_over=run.is_over)
        for number, run in enumerate(runs, start=1)
    }
    return size_plots_of(sizes)


def _over_epochs(runs: Sequence[ComparedRun], measure: str) -> Plot:
    curves = (
        _curve(number, ((epoch.epoch, epoch.validation.get(measure)) for epoch in run.journal.epochs))
        for number, run in enumerate(runs, start=1)
    )
    return Plot(f"held-out {measure}", tuple(curve for curve in curves if curve.points))


def _over_work(runs: Sequence[ComparedRun]) -> Plot:
    most = max((run.training_work[-1] for run in runs if run.training_work), default=0)
    power = next((power for power in range(len(_UNITS)) if most < _MOST * 1000**power), len(_UNITS) - 1)
    curves = (
        _curve(
            number,
            (
                (work / 1000**power, epoch.validation.get("loss"))
                for work, epoch in zip(run.training_work, run.journal.epochs, strict=False)
            ),
        )
        for number, run in enumerate(runs, start=1)
    )
    across = f"multiply-adds of training{_UNITS[power]}"
    return Plot("held-out loss", tuple(curve for curve in curves if curve.points), across=across)


def _curve(number: int, values: Iterable[tuple[float, float | None]]) -> Curve:
    return Curve(str(number), "run", tuple(values), number=number)
