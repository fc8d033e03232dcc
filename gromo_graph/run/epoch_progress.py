"""The progress of a run after an epoch, for whoever watches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from gromo_graph.amounts import amount
from gromo_graph.network import GrowingNetwork
from gromo_graph.records import GrowthEvent
from gromo_graph.run.speed import Speed
from gromo_graph.spec import Spec

_MOST_NODES = 12


@dataclass(frozen=True)
class Progress:
    """The progress of a run; given to `on_progress` after each epoch. Printed, it is one line: `on_progress=print`.

    Attributes:
        epoch, epochs: done, and in all.
        train, validation: loss and accuracy.
        parameters: of the network now.
        features: width of each node that may grow.
        events: the growth steps of this epoch, none or one as a rule.
        specs: the network after each of them.
        reason: why growth is over, or None.
        speed: seconds of this epoch, samples a second, and seconds that are left.
    """

    epoch: int
    epochs: int
    train: Mapping[str, Any]
    validation: Mapping[str, Any]
    parameters: int
    features: Mapping[str, int]
    events: tuple[GrowthEvent, ...]
    specs: tuple[Spec, ...]
    reason: str | None
    speed: Speed

    @staticmethod
    def of(
        network: GrowingNetwork,
        *,
        epoch: int,
        train: Mapping[str, Any],
        validation: Mapping[str, Any],
        events: tuple[GrowthEvent, ...],
        specs: tuple[Spec, ...],
        reason: str | None,
        speed: Speed,
    ) -> Progress:
        """The progress of a network as it is now; the arguments are those of the attributes."""
        graph = network.graph
        growing = [name for group in graph.groups if group.reason is None for name in group.producers]
        return Progress(
            epoch=epoch,
            epochs=network.spec.train.epochs,
            train=train,
            validation=validation,
            parameters=graph.parameter_count,
            features={name: graph.features(name) for name in growing},
            events=events,
            specs=specs,
            reason=reason,
            speed=speed,
        )

    def __str__(self) -> str:
        """One epoch in a line."""
        parts = [
            f"training {measures(self.train)}",
            f"validation {measures(self.validation)}",
            amount(self.parameters, "parameter"),
            widths(self.features),
            pace(self),
        ]
        return f"epoch {self.epoch}/{self.epochs}: " + "; ".join(filter(None, parts))


OnProgress = Callable[[Progress], None]


@runtime_checkable
class Watcher(Protocol):
    """An `on_progress` that also follows the work between two calls."""

    def __call__(self, progress: Progress) -> None:
        """An epoch is over."""

    def doing(self, words: str) -> None:
        """The work of this moment: "batch 12 of 90" of an epoch, or "statistics 3 of 12 batches" of a growth step."""


@runtime_checkable
class BudgetWatcher(Protocol):
    """An `on_progress` that is also told the budget that the data set."""

    def __call__(self, progress: Progress) -> None:
        """An epoch is over."""

    def budget(self, words: str) -> None:
        """The budget, before the training: "900 parameters, 10 for each of 90 training samples (...)"."""


def widths(features: Mapping[str, int]) -> str:
    """Features of the nodes that may grow; of very many only the first.

    >>> widths({"hidden1": 8, "hidden2": 6})
    'hidden1 8, hidden2 6'
    """
    shown = [f"{name} {width}" for name, width in list(features.items())[:_MOST_NODES]]
    more = len(features) - len(shown)
    return ", ".join(shown) + (f", … and {more} more" if more else "")


def measures(values: Mapping[str, Any]) -> str:
    """Loss and, if there is one, accuracy.

    >>> measures({"loss": 0.25, "accuracy": 0.9})
    'loss 0.2500, accuracy 90.00 %'
    """
    accuracy = values.get("accuracy")
    return f"loss {values['loss']:.4f}" + (
        "" if accuracy is None else f", accuracy {accuracy:.2%}".replace("%", " %")
    )


def duration(seconds: float) -> str:
    """A time as people say it.

    >>> duration(0.4), duration(75), duration(7500)
    ('under 1 s', '1 min 15 s', '2 h 5 min')
    """
    whole = round(seconds)
    if whole < 1:
        return "under 1 s"
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def pace(progress: Progress) -> str:
    """Samples per second and the remaining time; nothing at the end."""
    speed, words = progress.speed, []
    if progress.epoch == progress.epochs:
        return ""
    if speed.samples_per_second is not None:
        words.append(f"{int(float(f'{speed.samples_per_second:.3g}')):,} samples/s")
    return ", ".join([*words, f"{duration(speed.seconds_left)} left"])
