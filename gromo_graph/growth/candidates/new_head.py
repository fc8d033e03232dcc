"""New heads of attention: what they compare is drawn, what they pass on is solved for.

The query and the key of a new head matter at second order alone, for the head gives nothing yet: they are drawn like
first weights and have no step size. Its value and the layer behind are new neurons between what is read and the sum,
which see what they read as the head mixes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from gromo_graph.algebra import IDENTITY_TANGENT, Patches, Tangent, patch_matrix
from gromo_graph.graph import Graph, Middle, new_head, with_inputs
from gromo_graph.growth.candidates.proposals import FirstWeights, NewPath
from gromo_graph.growth.observe import Observation
from gromo_graph.growth.source_statistics import Reading, with_path
from gromo_graph.layers import adapter_for
from gromo_graph.layers.attention import Attend
from gromo_graph.layers.build import build_layer, build_operation
from gromo_graph.modules.measured import MeasuredModule
from gromo_graph.spec.kinds import Attention


@dataclass
class HeadReading(Reading):
    """One node as the value of a new head would read it, mixed as that head mixes.

    Attributes:
        proposal: what it is about. query, key: its layers. attend: what compares them.
    """

    proposal: NewPath = field(kw_only=True)
    query: torch.nn.Module = field(kw_only=True)
    key: torch.nn.Module = field(kw_only=True)
    attend: Attend = field(kw_only=True)
    reusable: ClassVar[bool] = False

    @property
    def sources(self) -> tuple[str, ...]:
        """What query, key and value read."""
        assert self.proposal.path is not None
        return tuple(node.sources[0] for _, node in self.proposal.path.nodes[:3])

    def own(self, paths: Sequence[NewPath]) -> list[NewPath]:
        """The head itself: what it compares has been drawn for it."""
        return [self.proposal]

    def between(self, middle: Middle, tangent: Tangent) -> tuple[Middle, Tangent]:
        """The value of a head has no activation."""
        return Middle("", "identity", shifts=False), IDENTITY_TANGENT

    def mixed(self, values: Tensor, seen: Observation) -> Tensor:
        """Channels (n, channels, ...) as the head mixes them, at the positions of the query."""
        query, key = (
            layer(seen.values[name])
            for layer, name in zip((self.query, self.key), self.sources[:2], strict=True)
        )
        shares = self.attend.weights(query, key)[:, 0].to(values)
        mixed = values.flatten(2) @ shares.transpose(1, 2)
        return mixed.reshape(*values.shape[:2], *query.shape[2:])

    def patches(self, seen: Observation) -> Patches:
        """The rows of the value's layer, mixed; a constant stays one, for shares add up to 1."""
        rows = super().patches(seen)
        image = self.mixed(patch_matrix(rows), seen)
        image = image if image.dim() == 4 else image[:, :, None, :]
        return Patches(image, grid=(image.shape[2], image.shape[3]))

    def value(self, layer: torch.nn.Module, seen: Observation) -> Tensor:
        """What a layer of the value gives, mixed."""
        return self.mixed(super().value(layer, seen), seen)

    def completed(
        self, proposal: NewPath, middle: Middle, sides: tuple[FirstWeights, FirstWeights]
    ) -> NewPath:
        """The proposal with the weights of all layers of the head; query and key as they were drawn."""
        assert proposal.planned_for is not None
        assert proposal.place is not None
        drawn = self.proposal.weights
        path = new_head(proposal.planned_for, proposal.place, len(sides[0].weight), len(drawn[0].weight))
        return with_path(replace(proposal, weights=(*drawn, *sides)), path)


def drawn_head(proposal: NewPath, generator: torch.Generator | None) -> NewPath:
    """The proposal with first weights of query and key, on the CPU.

    Inputs of variance 1 give queries and keys of variance 1, so that products tell positions apart.
    """
    assert proposal.planned_for is not None
    assert proposal.path is not None
    drawn = []
    for _, node, inputs in list(with_inputs(proposal.planned_for, proposal.path))[:2]:
        layer = build_layer(node, inputs)
        assert isinstance(layer.weight, Tensor)
        assert isinstance(layer.bias, Tensor)
        bound = math.sqrt(3.0 / layer.weight[0].numel())
        weight = torch.empty_like(layer.weight).uniform_(-bound, bound, generator=generator)
        drawn.append(FirstWeights(weight.detach(), torch.zeros_like(layer.bias).detach(), 0.0))
    return replace(proposal, weights=tuple(drawn))


def head_reading(
    graph: Graph, proposal: NewPath, entering: Mapping[str, tuple[MeasuredModule, ...]], like: Tensor
) -> HeadReading:
    """The reading of a new head; where nothing has been drawn for it, to know its sizes alone.

    Args:
        graph: of the network. proposal: what it is about. entering: the layers that enter each target.
        like: a parameter of the network.
    """
    assert proposal.path is not None
    assert proposal.bridge is not None
    assert proposal.bridge.reader is not None
    nodes = list(with_inputs(graph, proposal.path))
    compared = [build_layer(node, inputs).to(like) for _, node, inputs in nodes[:2]]
    for layer, first in zip(compared, proposal.weights, strict=False):
        layer.load_state_dict({"weight": first.weight, "bias": first.bias})
    (attend,) = (build_operation(n, inputs) for _, n, inputs in nodes if isinstance(n, Attention))
    assert isinstance(attend, Attend)
    _, value, inputs = nodes[2]
    layer = build_layer(value.model_copy(update={"features": 1, "bias": True}), inputs).to(like)
    adapter_for(layer)
    return HeadReading(
        proposal.bridge.source,
        layer,
        None,
        [proposal.bridge],
        {proposal.bridge.target: entering[proposal.bridge.target]},
        proposal=proposal,
        query=compared[0],
        key=compared[1],
        attend=attend,
    )
