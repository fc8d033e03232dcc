"""Neurons that could be taken out: of each group those that are missed least, with the consumers refitted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from gromo_graph.errors import GrowthError
from gromo_graph.graph import Graph, WidthGroup, obstacle
from gromo_graph.growth.candidates import Pruning, neurons_at_once
from gromo_graph.growth.changes import with_narrowing_cost
from gromo_graph.growth.observe import Observation
from gromo_graph.modules.group import LinkedGroup
from gromo_graph.modules.removing import least_missed, without
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Growth


def prune_proposals(graph: Graph, policy: Growth) -> list[Pruning]:
    """One proposal for each width group, in document order, not solved yet."""
    return [_proposal(graph, group, policy) for group in graph.groups]


def _proposal(graph: Graph, group: WidthGroup, policy: Growth) -> Pruning:
    proposal = Pruning("prune", group.target, group=group)
    reason = obstacle(graph, group, policy) or _why_whole(group)
    if reason is not None:
        return replace(proposal, reason=reason)
    least = max(1, group.grow.min or 1)
    count = min(neurons_at_once(policy, group), group.features - least)
    if count < 1:
        return replace(proposal, reason=f"it is {group.features} wide, the least it may be")
    return replace(proposal, neurons=count)


def _why_whole(group: WidthGroup) -> str | None:
    """Why single neurons cannot be taken out."""
    if group.parts:
        return "groups that are tied to one width are not pruned"
    if group.unit > 1:
        return f"a group norm in it holds {group.unit} features together"
    return f"the layer norm `{group.jumps[0]}` sees all features at once" if group.jumps else None


def solved(network: GrowingNetwork, proposal: Pruning, group: LinkedGroup) -> Pruning:
    """The proposal with its neurons, from the statistics of the consumers."""
    try:
        removal = least_missed(group, proposal.neurons)
        without(group, removal.order, removal.changes[-1])  # whether every operation can lose features
    except GrowthError as error:
        left_out = proposal.left_out(str(error))
        assert isinstance(left_out, Pruning)
        return left_out
    note = f"{removal.errors[-1]:.2%} of what its readers make of it is lost"
    return with_narrowing_cost(network, replace(proposal, removal=removal, note=note))


@dataclass
class PruneSlope:
    """The slope of taking neurons out: how the loss begins to change on the way to the refitted weights.

    Attributes:
        group: whose. proposal: with its neurons.
    """

    group: LinkedGroup
    proposal: Pruning
    slope: float = 0.0

    @torch.no_grad()
    def add(self, seen: Observation) -> None:
        """Count a batch."""
        assert self.proposal.removal is not None
        for consumer in self.group.consumers:
            change = self.proposal.removal.changes[-1][consumer.name].to(consumer.weight)
            weight, bias = consumer.adapter.weight_and_bias(consumer.layer, change)
            moved = consumer.adapter.layer_of(consumer.layer, weight, bias)(consumer.input)
            self.slope -= float((moved * seen.gradients[consumer.name]).sum())

    def measured(self, samples: int) -> Pruning:
        """The proposal with its slope."""
        slope = self.slope / samples
        return replace(self.proposal, slope=slope, predicted=slope)
