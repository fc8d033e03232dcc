"""The progress of a run after an epoch, for whoever watches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gromo_graph.network import GrowingNetwork
from gromo_graph.records import GrowthEvent
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
        )


OnProgress = Callable[[Progress], None]
