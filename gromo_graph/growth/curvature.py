"""The curvature of the loss at the outputs of layers, counted in the pass of the statistics (docs/maths.md, "Natural
gradient").
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gromo_graph.algebra import accumulation_dtype
from gromo_graph.algebra.output_whitening import OutputWhitening, output_whitening
from gromo_graph.growth.observe import Observation
from gromo_graph.growth.process_sums import Processes
from gromo_graph.growth.source_statistics import image_of
from gromo_graph.modules.growing_module import GrowingModule, LinkedGroup
from gromo_graph.network import GrowingNetwork
from gromo_graph.statistics.cross_moments import readings_of, window_of
from gromo_graph.statistics.running_mean import TensorStatistic

Names = tuple[str, ...]
"""Layers or sums whose outputs stand at the same positions, and so have a curvature together."""

NO_CURVATURE = "no curvature reaches its outputs"
"""A place at which nothing can be found by natural gradient, in words."""


@dataclass
class CurvatureStatistics:
    """G of some outputs: summed over positions in each sample, and divided by their number.

    Attributes:
        names: whose outputs. size: how many they are. empirical: from the gradients of the data themselves.
        outputs: of the names those that stand for the values of nodes.
    """

    names: Names
    size: int
    empirical: bool = False
    outputs: Sequence[str] = ()
    statistic: TensorStatistic = field(default_factory=lambda: TensorStatistic("G of outputs"))

    @property
    def sources(self) -> Sequence[str]:
        """Nodes whose values are needed: none."""
        return ()

    @property
    def targets(self) -> Names:
        """Layers and sums at which gradients are needed."""
        return () if self.outputs else self.names

    @property
    def layers(self) -> Sequence[GrowingModule]:
        """Layers whose inputs are needed: none."""
        return ()

    @torch.no_grad()
    def update(self, seen: Observation) -> None:
        """Count a batch."""
        images = [torch.cat([image_of(g[name]) for name in self.names], dim=1) for g in seen.draws]
        like = next(iter(seen.gradients.values()))
        total = like.new_zeros(self.size, self.size, dtype=accumulation_dtype(like.dtype))
        for image in images:
            rows = image.movedim(1, 0).flatten(1).to(total)
            total += rows @ rows.T / image[0, 0].numel()
        self.statistic.update(total, seen.samples)

    def value(self, per_weight: float) -> Tensor:
        """G, (outputs, outputs).

        Args:
            per_weight: samples by what they count in the mean loss: the square of a gradient takes it twice.
        """
        found = self.statistic()
        return found * per_weight if self.empirical else found

    def statistics(self) -> list[TensorStatistic]:
        """G."""
        return [self.statistic]

    def of_gradients(self) -> list[TensorStatistic]:
        """G, which is linear in the loss."""
        return [self.statistic]

    def share(self, processes: Processes) -> None:
        """There is nothing beside the statistics."""
        return

    def entries(self) -> Mapping[Hashable, int]:
        """The number of entries that the statistics will have."""
        return {self.names: self.size**2}


@dataclass(frozen=True)
class _Reads:
    """The columns of N of one consumer.

    Attributes:
        name: of the consumer. columns: (outputs, readings) in N. form: equal for consumers that read in the same way.
    """

    name: str
    columns: Tensor
    form: Hashable


def _reads(network: GrowingNetwork, group: LinkedGroup) -> list[_Reads]:
    """The consumers of a group in the order of the columns of N."""
    found, start = [], 0
    for consumer, places in group.reads.items():
        out, parts = consumer.pre_activations, []
        readings = [readings_of(consumer, group, place) for place in places]
        for reading in readings:
            parts.append(start + torch.arange(out * reading).reshape(out, reading))
            start += out * reading
        positions = network.graph.shapes[consumer.name][1:]
        form = (window_of(consumer, group), tuple(readings), tuple(positions))
        found.append(_Reads(consumer.name, torch.cat(parts, dim=1), form))
    return found


def _aligned(network: GrowingNetwork, group: LinkedGroup) -> list[list[_Reads]]:
    """Consumers that read at the same positions: their outputs are coupled, and those of others are not."""
    by_form: dict[Hashable, list[_Reads]] = {}
    for each in _reads(network, group):
        by_form.setdefault(each.form, []).append(each)
    return list(by_form.values())


def curved(network: GrowingNetwork, group: LinkedGroup) -> tuple[Names, ...]:
    """The sets of consumers of a group whose curvature is wanted."""
    return tuple(tuple(each.name for each in reads) for reads in _aligned(network, group))


def whitening_of_group(
    network: GrowingNetwork, group: LinkedGroup, curvatures: Mapping[Names, Tensor], damping: float
) -> OutputWhitening | None:
    """G^(−1/2) of all consumers of a group; None if no curvature reaches them."""
    parts = []
    for reads in _aligned(network, group):
        matrix = curvatures[tuple(each.name for each in reads)]
        columns = torch.cat([each.columns for each in reads]).to(matrix.device)
        parts.append((columns, matrix))
    return _whitening(parts, damping)


def whitening_of_target(curvature: Tensor, damping: float) -> OutputWhitening | None:
    """G^(−1/2) of the outputs of one layer or sum; None if no curvature reaches them."""
    columns = torch.arange(len(curvature), device=curvature.device)[:, None]
    return _whitening([(columns, curvature)], damping)


def _whitening(parts: Sequence[tuple[Tensor, Tensor]], damping: float) -> OutputWhitening | None:
    if not any(bool(matrix.diagonal().sum() > 0.0) for _, matrix in parts):
        return None
    return output_whitening(parts, damping=damping)
