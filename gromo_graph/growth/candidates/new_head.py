"""A new head of attention: what it compares is drawn, what it passes on is solved for.

The query and the key of a new head matter at second order alone, for the head gives nothing yet: they are drawn like
first weights and have no step size. Its value and the layer behind are new neurons between what is read and the sum,
which see what they read as the head mixes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gromo_graph.algebra import IDENTITY_TANGENT, Patches, patch_matrix
from gromo_graph.graph import (
    AddPath,
    Bridge,
    Graph,
    HeadPlace,
    NoBridge,
    head_name,
    new_head,
    path_cost,
    with_inputs,
)
from gromo_graph.growth.candidates.budget import within
from gromo_graph.growth.candidates.paths import FirstWeights, NeuronsProspect
from gromo_graph.growth.candidates.stages import InfeasibleError
from gromo_graph.growth.observe import Observation
from gromo_graph.growth.process_sums import Processes
from gromo_graph.growth.source_statistics import SourceStatistics, entering_layers
from gromo_graph.growth.statistics_pass import Gathered
from gromo_graph.growth.wanted_statistics import Wanted
from gromo_graph.layers import adapter_for, build_module
from gromo_graph.layers.attention import Attend
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.kinds import Attention
from gromo_graph.spec.settings import Growth


def head_target(graph: Graph, place: HeadPlace | NoBridge) -> str:
    """The name of a new head as a candidate."""
    pair = place if isinstance(place, NoBridge) else place.bridge
    return "->".join((pair.source, head_name(graph), pair.target))


def feasible_head(
    graph: Graph, policy: Growth, place: HeadPlace | NoBridge
) -> tuple[HeadPlace, int, AddPath]:
    """The number of features that a new head could have, within the budgets, and the edit.

    Raises:
        InfeasibleError: it does not fit there, or one feature would pass the budget.
    """
    if isinstance(place, NoBridge):
        raise InfeasibleError(place.reason)
    node = graph.spec.nodes[place.attention]
    assert isinstance(node, Attention)
    compared = graph.features(place.query) // node.heads
    for features in range(graph.features(place.value) // node.heads, 0, -1):
        path = new_head(graph, place, features, min(features, compared))
        if within(graph, path_cost(graph, path), policy.stop):
            return place, features, path
    raise InfeasibleError("a head of one feature would pass the budget")


@dataclass
class HeadStatistics(SourceStatistics):
    """The statistics of one node as the value of a new head would read it, mixed as that head mixes.

    Attributes:
        read: the nodes that query, key and value read. query, key: the layers. attend: what compares them.
    """

    read: tuple[str, str, str] = field(kw_only=True)
    query: torch.nn.Module = field(kw_only=True)
    key: torch.nn.Module = field(kw_only=True)
    attend: Attend = field(kw_only=True)

    @property
    def sources(self) -> tuple[str, ...]:
        """The nodes that query, key and value read."""
        return self.read

    def mixed(self, values: Tensor, seen: Observation) -> Tensor:
        """Channels (n, channels, ...) as the head mixes them, at the positions of the query."""
        query, key = (
            layer(seen.values[name])
            for layer, name in zip((self.query, self.key), self.read[:2], strict=True)
        )
        shares = self.attend.weights(query, key)[:, 0].to(values)
        return self.attend.averaged(values, shares, query)

    def patches(self, seen: Observation) -> Patches:
        """The rows of the value's layer, mixed; a constant stays one, for shares add up to 1."""
        rows = super().patches(seen)
        image = self.mixed(patch_matrix(rows), seen)
        image = image if image.dim() == 4 else image[:, :, None, :]
        return Patches(image, grid=(image.shape[2], image.shape[3]))

    def value(self, layer: torch.nn.Module, seen: Observation) -> Tensor:
        """The output of a layer of the value, mixed."""
        return self.mixed(super().value(layer, seen), seen)


class HeadProspect(NeuronsProspect):
    """A head that could be added.

    Attributes:
        place: where. statistics: what its value would read, mixed; before `draw` it has no more than their sizes.
        compared: first weights of query and key.
    """

    kind = "new_head"
    feasible = staticmethod(feasible_head)
    tangent, shifts = IDENTITY_TANGENT, False  # the value of a head has no activation

    def __init__(self, network: GrowingNetwork, policy: Growth, place: HeadPlace | NoBridge) -> None:
        there, features, path = feasible_head(network.graph, policy, place)
        super().__init__(network, policy, head_target(network.graph, place), features, there.bridge)
        self.place = there
        self.statistics = _head_statistics(network, path, there.bridge)
        self.compared: tuple[FirstWeights, ...] = ()

    def draw(self, generator: torch.Generator | None, processes: Processes) -> None:
        """First weights of query and key, drawn on the CPU by the first process for all."""
        layers = self.statistics.query, self.statistics.key
        self.compared = processes.shared(tuple(_drawn(layer, generator) for layer in layers))
        for layer, first in zip(layers, self.compared, strict=True):
            layer.load_state_dict({"weight": first.weight, "bias": first.bias})

    def wanted(self) -> Wanted:
        """The moments of its source, mixed, and of the layers at its target."""
        return Wanted(projected=(self.bridge.target,), counters=(self.statistics,), curved=self.curved())

    def source(self, gathered: Gathered) -> SourceStatistics:
        """The statistics of its own."""
        return self.statistics

    def completed(self, sides: tuple[FirstWeights, FirstWeights]) -> tuple[AddPath, tuple[FirstWeights, ...]]:
        """The layers of query and key as they were drawn, the value, and the layer behind the head."""
        widths = len(sides[0].weight), len(self.compared[0].weight)
        return new_head(self.network.graph, self.place, *widths), (*self.compared, *sides)


def _drawn(layer: torch.nn.Module, generator: torch.Generator | None) -> FirstWeights:
    """First weights of a query or a key: inputs of variance 1 give products that tell positions apart."""
    weight = layer.get_parameter("weight")
    bound = math.sqrt(3.0 / weight[0].numel())
    values = torch.empty(weight.shape).uniform_(-bound, bound, generator=generator)
    return FirstWeights(values, torch.zeros(layer.get_parameter("bias").shape), 0.0)


def _head_statistics(network: GrowingNetwork, path: AddPath, bridge: Bridge) -> HeadStatistics:
    """The statistics of a new head, still empty; its query and key have no weights yet."""
    like = next(network.parameters())
    nodes = list(with_inputs(network.graph, path))
    query, key = (build_module(node, inputs).to(like) for _, node, inputs in nodes[:2])
    (attend,) = (build_module(n, inputs).to(like) for _, n, inputs in nodes if isinstance(n, Attention))
    assert isinstance(attend, Attend)
    _, value, inputs = nodes[2]
    layer = build_module(value.model_copy(update={"features": 1, "bias": True}), inputs).to(like)
    adapter_for(layer)
    read, to_key, to_value = (node.sources[0] for _, node, _ in nodes[:3])
    return HeadStatistics(
        bridge.source,
        layer,
        bridges=[bridge],
        entering={bridge.target: entering_layers(network, bridge.target)},
        read=(read, to_key, to_value),
        query=query,
        key=key,
        attend=attend,
    )
