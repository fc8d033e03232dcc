"""The progress of a run after an epoch, for whoever watches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from gromo_graph.network import GrowingNetwork
from gromo_graph.records import GrowthEvent
from gromo_graph.run.speed import Speed
from gromo_graph.spec import Spec


@dataclass(frozen=True)
class Progress:
    """The progress of a run; given to `on_progress` after each epoch.

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


OnProgress = Callable[[Progress], None]


@runtime_checkable
class Watcher(Protocol):
    """An `on_progress` that also follows the work between two calls."""

    def __call__(self, progress: Progress) -> None:
        """An epoch is over."""

    def doing(self, words: str) -> None:
        """The work of this moment: "batch 12 of 90" of an epoch, or "statistics 3 of 12 batches" of a growth step."""
