"""Statistics of new paths: moments of what a layer would read of a node, and its cross moments with gradients.

All paths that begin at one node and read it by one kernel share S. The gradients of all their targets stand side by
side, so that M is one product.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from gromo_graph.algebra import (
    OptimalDelta,
    Patches,
    measured_image,
    optimal_delta,
    patch_cross_moment,
    summed_cross_moment,
    summed_second_moment,
)
from gromo_graph.graph import Bridge, Graph
from gromo_graph.graph.paths import sum_of
from gromo_graph.growth.observe import Observation
from gromo_graph.growth.process_sums import Processes
from gromo_graph.layers import LayerAdapter, adapter_for, build_module
from gromo_graph.modules.growing_module import GrowingModule
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.kinds import Layer
from gromo_graph.statistics.capture import stored_rows
from gromo_graph.statistics.running_mean import SharedMoment, TensorStatistic

Entering = Mapping[str, tuple[GrowingModule, ...]]
"""The layers that are added up at a target today, by target; their deltas project its gradient."""


@dataclass
class SourceStatistics:
    """The statistics of one node as layers of one form would read it.

    Attributes:
        source: the node.
        layer: such a layer, with a bias and a single output; its weights mean nothing.
        shared: layers of the network that read the node in the same way and count S already: at most one.
        bridges: the paths that begin here. entering: what enters their targets, if gradients are projected.
        input_moment, m, cross: E[b bᵀ]; E[b gᵀ] of all targets side by side; E[b b_pᵀ] with what the layers that enter
            the targets read.
        rows: positions that were counted, over all samples.
    """

    source: str
    layer: torch.nn.Module
    shared: Sequence[GrowingModule] = ()
    bridges: list[Bridge] = field(default_factory=list)
    entering: dict[str, tuple[GrowingModule, ...]] = field(default_factory=dict)
    input_moment: SharedMoment = field(default_factory=lambda: SharedMoment("S of a new path"))
    m: TensorStatistic = field(default_factory=lambda: TensorStatistic("M of a new path"))
    cross: dict[GrowingModule, TensorStatistic] = field(default_factory=dict)
    rows: int = 0
    _edges: dict[float, tuple[OptimalDelta, dict[str, Tensor]]] = field(default_factory=dict, repr=False)

    @property
    def sources(self) -> tuple[str, ...]:
        """The nodes whose values are needed."""
        return (self.source,)

    @property
    def targets(self) -> tuple[str, ...]:
        """The nodes at which gradients are needed."""
        return self._names

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(bridge.target for bridge in self.bridges)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Nodes at whose values gradients are needed: none."""
        return ()

    @property
    def layers(self) -> tuple[GrowingModule, ...]:
        """Layers whose inputs are needed, beyond those that enter the targets: none."""
        return ()

    @property
    def adapter(self) -> LayerAdapter[torch.nn.Module]:
        """The adapter of such layers."""
        return adapter_for(self.layer)

    @property
    def entering_layers(self) -> list[GrowingModule]:
        """The layers that enter some target, each once."""
        return list(dict.fromkeys(each for layers in self.entering.values() for each in layers))

    def patches(self, seen: Observation) -> Patches:
        """The rows that such a layer reads of a batch."""
        return self.adapter.patches(self.layer, seen.values[self.source])

    def value(self, layer: torch.nn.Module, seen: Observation) -> Tensor:
        """The output of a layer that reads so, for a batch, as it arrives where the path goes on."""
        result: Tensor = layer(seen.values[self.source])
        return result

    def weights(self, matrix: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of a layer that reads so, from rows (out, columns); without the constant there is no bias."""
        columns = self.adapter.columns(self.layer)
        if matrix.shape[1] == columns:
            return self.adapter.weight_and_bias(self.layer, matrix)
        weight, _ = self.adapter.weight_and_bias(self.layer, torch.nn.functional.pad(matrix, (0, 1)))
        return weight, None

    def layer_of(self, matrix: Tensor) -> torch.nn.Module:
        """The layer with these weights, in the dtype of the network."""
        weight, bias = self.weights(matrix.to(next(self.layer.parameters())))
        return self.adapter.layer_of(self.layer, weight, bias)

    @torch.no_grad()
    def update(self, seen: Observation) -> None:
        """Count a batch."""
        patches = self.patches(seen)
        if not self.shared:
            self.input_moment.update_once(object(), lambda: (summed_second_moment(patches), seen.samples))
        gradients = [image_of(seen.gradients[bridge.target]) for bridge in self.bridges]
        image = gradients[0] if len(gradients) == 1 else torch.cat(gradients, dim=1)
        self.m.update(summed_cross_moment(patches, Patches(image, grid=patches.grid)), seen.samples)
        self.rows += seen.samples * patches.grid[0] * patches.grid[1]
        for layer in self.entering_layers:
            statistic = self.cross.setdefault(layer, TensorStatistic(f"C of {layer.name}"))
            statistic.update(patch_cross_moment(patches, stored_rows(layer)), seen.samples)

    @cached_property
    def second_moment(self) -> Tensor:
        """S, (columns, columns), the constant last; to be read when all has been counted."""
        moment = self.shared[0].tensor_s if self.shared else self.input_moment.statistic
        return moment()

    @cached_property
    def by_target(self) -> Mapping[str, Tensor]:
        """M of each target, (columns, out); to be read when all has been counted."""
        sizes = [bridge.reader.features for bridge in self.bridges]
        return dict(zip(self._names, self.m().split(sizes, dim=1), strict=True))

    def edge(self, target: str, ridge: float) -> OptimalDelta:
        """The optimal delta of a new edge into one target, the constant left out: S is decomposed once for all.

        Raises:
            torch.linalg.LinAlgError: a decomposition does not converge.
        """
        if ridge not in self._edges:
            s = self.second_moment
            solved = optimal_delta(s[:-1, :-1], self.m()[:-1].to(s), ridge=ridge)
            sizes = [bridge.reader.features for bridge in self.bridges]
            self._edges[ridge] = solved, dict(zip(self._names, solved.delta.split(sizes), strict=True))
        solved, deltas = self._edges[ridge]
        return OptimalDelta(deltas[target], solved.decrease, solved.solver, solved.rank)

    def statistics(self) -> list[TensorStatistic]:
        """All that was counted here."""
        own = [] if self.shared else [self.input_moment.statistic]
        return [*own, self.m, *self.cross.values()]

    def of_gradients(self) -> list[TensorStatistic]:
        """M of the new paths."""
        return [self.m]

    def share(self, processes: Processes) -> None:
        """Add the rows that the other processes have counted."""
        self.rows = round(processes.totals(self.rows)[0])

    def entries(self) -> Mapping[Hashable, int]:
        """The number of entries that the statistics will have, from sizes alone."""
        columns = self.adapter.columns(self.layer)
        beside = sum(layer.adapter.columns(layer.layer) for layer in self.entering_layers)
        found: dict[Hashable, int] = {
            id(self.m): columns * sum(bridge.reader.features for bridge in self.bridges),
            id(self.cross): columns * beside,
        }
        return found if self.shared else found | {id(self.input_moment.statistic): columns**2}


def image_of(gradient: Tensor) -> Tensor:
    """A gradient at a target as an image (n, out, height, width)."""
    sizes = gradient.shape[2:]
    return measured_image(gradient.reshape(*gradient.shape[:2], *(1,) * (2 - len(sizes)), *sizes))


def form_of(bridge: Bridge) -> tuple[str, Layer]:
    """Paths of equal forms share their statistics: the node that they read, and a layer that reads it as they do."""
    return bridge.source, bridge.reader.model_copy(update={"features": 1, "bias": True})


def entering_layers(network: GrowingNetwork, target: str) -> tuple[GrowingModule, ...]:
    """The layers that are added up at a target and do nothing else: the layer itself, or those before the sum.

    Frozen layers are none of them: they do nothing about a gradient.
    """
    graph = network.graph
    layers = [target]
    if graph.units[target].role != "layer":
        layers = [name for name in graph.sources(target) if sum_of(graph, name) == target]
    modules = [network.growing(name) for name in layers]
    return tuple(module for module in modules if module.layer.weight.requires_grad)


def source_statistics(
    graph: Graph,
    bridges: Iterable[Bridge],
    entering: Entering,
    measured: Sequence[GrowingModule],
    like: Tensor,
) -> list[SourceStatistics]:
    """The statistics that serve these bridges, each once.

    Args:
        graph: of the network. entering: the layers that enter each target, if gradients are projected.
        measured: layers whose statistics are gathered in the same pass: their S need not be formed again.
        like: a parameter of the network.
    """
    direct: dict[tuple[str, object], GrowingModule] = {}
    for module in measured:
        (source,) = graph.sources(module.name)
        direct.setdefault((source, module.adapter.moment_key(module.layer)), module)
    found: dict[tuple[str, Layer], SourceStatistics] = {}
    for bridge in bridges:
        form = form_of(bridge)
        if form not in found:
            layer = build_module(form[1], [graph.shapes[bridge.source]]).to(like)
            counted = direct.get((bridge.source, adapter_for(layer).moment_key(layer)))
            found[form] = SourceStatistics(bridge.source, layer, () if counted is None else (counted,))
        found[form].bridges.append(bridge)
        if bridge.target in entering:
            found[form].entering[bridge.target] = entering[bridge.target]
    return list(found.values())
