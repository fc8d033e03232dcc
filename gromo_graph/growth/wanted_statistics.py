"""The statistics that candidates ask for, before a pass over the data."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gromo_graph.graph import Bridge
from gromo_graph.growth.curvature import Names
from gromo_graph.growth.observe import Observation
from gromo_graph.growth.process_sums import Processes
from gromo_graph.growth.source_statistics import (
    form_of,
)
from gromo_graph.modules.growing_module import GrowingModule, LinkedGroup
from gromo_graph.statistics.running_mean import TensorStatistic


class Counter(Protocol):
    """Statistics beyond those of modules, counted batch by batch."""

    @property
    def sources(self) -> Sequence[str]:
        """Nodes whose values are needed."""

    @property
    def targets(self) -> Sequence[str]:
        """Nodes at which gradients are needed."""

    @property
    def outputs(self) -> Sequence[str]:
        """Nodes at whose values gradients are needed."""

    @property
    def layers(self) -> Sequence[GrowingModule]:
        """Layers whose inputs are needed."""

    def update(self, seen: Observation) -> None:
        """Count a batch."""

    def statistics(self) -> Sequence[TensorStatistic]:
        """All that was counted."""

    def of_gradients(self) -> Sequence[TensorStatistic]:
        """The `statistics` that are linear in the gradients."""

    def share(self, processes: Processes) -> None:
        """Add what the other processes have counted beside the statistics."""

    def entries(self) -> Mapping[Hashable, int]:
        """The number of entries that the statistics will have, from sizes alone; equal keys are one statistic."""


@dataclass(frozen=True)
class Wanted:
    """The statistics that candidates are solved from.

    Attributes:
        groups: what may widen: all moments of its growth. read: what may get narrower: S of its consumers.
        inputs: layers that may read fewer features: their S.
        bridges: new paths that one layer, or two with new neurons between, could take.
        projected: targets of paths for which the layers that enter them today are solved too.
        counters: statistics of the candidates' own.
        curved: layers or sums whose curvature is wanted, those with a common one together.
    """

    groups: tuple[LinkedGroup, ...] = ()
    read: tuple[LinkedGroup, ...] = ()
    inputs: tuple[GrowingModule, ...] = ()
    bridges: tuple[Bridge, ...] = ()
    projected: tuple[str, ...] = ()
    counters: tuple[Counter, ...] = ()
    curved: tuple[Names, ...] = ()

    @staticmethod
    def union(parts: Iterable[Wanted]) -> Wanted:
        """All that is wanted, bridges and targets each once."""
        parts = list(parts)
        bridges = {(form_of(each), each.target): each for part in parts for each in part.bridges}
        return Wanted(
            tuple(group for part in parts for group in part.groups),
            tuple(group for part in parts for group in part.read),
            tuple(layer for part in parts for layer in part.inputs),
            tuple(bridges.values()),
            tuple(dict.fromkeys(target for part in parts for target in part.projected)),
            tuple(counter for part in parts for counter in part.counters),
            tuple(dict.fromkeys(names for part in parts for names in part.curved)),
        )
