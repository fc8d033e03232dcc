"""What is gathered for new paths: how the value of one node would be read, and what the gradients have to do with that.

All paths that begin at one node and read it with one kernel share S; the gradients of all their targets stand side by
side, so that M is one product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from gromo_graph.algebra import (
    Patches,
    Tangent,
    measured_image,
    patch_cross_moment,
    summed_cross_moment,
    summed_second_moment,
)
from gromo_graph.graph import AddPath, Bridge, Graph, Middle, new_node, path_cost
from gromo_graph.growth.candidates.proposals import FirstWeights, NewPath
from gromo_graph.growth.observe import Observation
from gromo_graph.layers import LayerAdapter, adapter_for
from gromo_graph.layers.build import build_layer
from gromo_graph.modules.capture import stored_rows
from gromo_graph.modules.measured import MeasuredModule
from gromo_graph.modules.statistic import SharedMoment, TensorStatistic
from gromo_graph.spec.kinds import Node


@dataclass
class Reading:
    """One node as layers of one form would read it.

    Attributes:
        source: the node.
        layer: such a layer, with a bias and a single output; its weights mean nothing.
        shared: a layer of the network that reads the node like that and counts S already, or None.
        bridges: the paths that begin here.
        entering: the layers that enter a target today and are added up without more, by target; to project gradients.
        reusable: whether S follows from the value of the node alone.
        input_moment, m, cross: E[b bᵀ]; E[b gᵀ] of all targets side by side; E[b b_pᵀ] with what those layers read.
    """

    source: str
    layer: torch.nn.Module
    shared: MeasuredModule | None
    bridges: list[Bridge] = field(default_factory=list)
    entering: dict[str, tuple[MeasuredModule, ...]] = field(default_factory=dict)
    input_moment: SharedMoment = field(default_factory=lambda: SharedMoment("S of a new path"))
    m: TensorStatistic = field(default_factory=lambda: TensorStatistic("M of a new path"))
    cross: dict[MeasuredModule, TensorStatistic] = field(default_factory=dict)
    rows: int = 0
    reusable: ClassVar[bool] = True

    @property
    def sources(self) -> tuple[str, ...]:
        """The nodes whose values are needed."""
        return (self.source,)

    @property
    def adapter(self) -> LayerAdapter:
        """What knows how such layers read."""
        return adapter_for(self.layer)

    def patches(self, seen: Observation) -> Patches:
        """The rows that such a layer reads of a batch."""
        return self.adapter.patches(self.layer, seen.values[self.source])

    def own(self, paths: Sequence[NewPath]) -> list[NewPath]:
        """Those of some paths that begin here."""
        ends = {(bridge.source, bridge.target) for bridge in self.bridges}
        return [
            p for p in paths if p.place is None and p.bridge and (p.bridge.source, p.bridge.target) in ends
        ]

    def between(self, middle: Middle, tangent: Tangent) -> tuple[Middle, Tangent]:
        """What stands between the layers of a path, and its activation near 0.

        Args:
            middle, tangent: those of new nodes.
        """
        return middle, tangent

    def value(self, layer: torch.nn.Module, seen: Observation) -> Tensor:
        """What a layer that reads so gives for a batch, as it arrives where the path goes on."""
        result: Tensor = layer(seen.values[self.source])
        return result

    def completed(
        self, proposal: NewPath, middle: Middle, sides: tuple[FirstWeights, FirstWeights]
    ) -> NewPath:
        """A proposal of new neurons with their edit and their weights.

        Args:
            middle: what the node between is like. sides: weights before and behind it.
        """
        assert proposal.planned_for is not None
        assert proposal.bridge is not None
        path = new_node(proposal.planned_for, proposal.bridge, middle, len(sides[0].weight))
        return with_path(replace(proposal, weights=sides), path)

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
    def update(self, seen: Observation, *, project: bool) -> None:
        """Count a batch."""
        patches = self.patches(seen)
        if self.shared is None:
            self.input_moment.update_once(object(), lambda: (summed_second_moment(patches), seen.samples))
        gradients = [image_of(seen.gradients[bridge.target]) for bridge in self.bridges]
        image = gradients[0] if len(gradients) == 1 else torch.cat(gradients, dim=1)
        self.m.update(summed_cross_moment(patches, Patches(image, grid=patches.grid)), seen.samples)
        self.rows += seen.samples * patches.grid[0] * patches.grid[1]
        if project:
            for layer in dict.fromkeys(each for layers in self.entering.values() for each in layers):
                statistic = self.cross.setdefault(layer, TensorStatistic(f"C of {layer.name}"))
                statistic.update(patch_cross_moment(patches, stored_rows(layer)), seen.samples)

    def second_moment(self) -> Tensor:
        """S, the constant last."""
        return (self.input_moment.statistic if self.shared is None else self.shared.tensor_s)()

    def by_target(self) -> dict[str, Tensor]:
        """M of each target, (columns, out)."""
        sizes = [bridge.reader.features for bridge in self.bridges if bridge.reader is not None]
        return dict(
            zip([bridge.target for bridge in self.bridges], self.m().split(sizes, dim=1), strict=True)
        )

    def statistics(self) -> list[TensorStatistic]:
        """All that was counted here."""
        own = [self.input_moment.statistic] if self.shared is None else []
        return [*own, self.m, *self.cross.values()]


def with_path(proposal: NewPath, path: AddPath) -> NewPath:
    """The proposal with an edit and its cost."""
    assert proposal.planned_for is not None
    cost = path_cost(proposal.planned_for, path)
    return replace(proposal, path=path, delta_parameters=cost.parameters, delta_madds=cost.madds)


def image_of(gradient: Tensor) -> Tensor:
    """A gradient at a target as an image (n, out, height, width)."""
    sizes = gradient.shape[2:]
    return measured_image(gradient.reshape(*gradient.shape[:2], *(1,) * (2 - len(sizes)), *sizes))


def readings_of(
    graph: Graph,
    bridges: Sequence[Bridge],
    entering: Mapping[str, tuple[MeasuredModule, ...]],
    measured: Sequence[MeasuredModule],
    like: Tensor,
) -> list[Reading]:
    """The readings that serve these bridges, each once.

    Args:
        graph: of the network. entering: the layers that enter each target.
        measured: layers whose statistics are gathered in the same pass: their S need not be formed again.
        like: a parameter of the network.
    """
    direct: dict[tuple[str, object], MeasuredModule] = {}
    for module in measured:
        (source,) = graph.sources(module.name)
        direct.setdefault((source, module.adapter.moment_key(module.layer)), module)
    found: dict[tuple[str, Node], Reading] = {}
    for bridge in bridges:
        assert bridge.reader is not None
        node = bridge.reader.model_copy(update={"features": 1, "bias": True})
        reading = found.get((bridge.source, node))
        if reading is None:
            layer = build_layer(node, [graph.shapes[bridge.source]]).to(like)
            shared = direct.get((bridge.source, adapter_for(layer).moment_key(layer)))
            reading = found[bridge.source, node] = Reading(bridge.source, layer, shared)
        reading.bridges.append(bridge)
        reading.entering[bridge.target] = entering[bridge.target]
    return list(found.values())
