"""Neurons that could be taken out: of each group those that are missed least, with the consumers refitted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from gromo_graph.errors import GrowthError
from gromo_graph.graph import Graph, WidthGroup, obstacle
from gromo_graph.growth.candidates.proposals import Pruning, neurons_at_once
from gromo_graph.growth.changes import with_narrowing_cost
from gromo_graph.growth.observe import Observation
from gromo_graph.growth.process_sums import Processes
from gromo_graph.modules.group import LinkedGroup
from gromo_graph.modules.removing import Removal, least_missed, without
from gromo_graph.modules.surgery import layer_of_matrix
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Growth

# Neurons are taken out while no more than this share of what their readers make of the group is lost.
_HARDLY_MISSED = 0.01


def prune_proposals(graph: Graph, policy: Growth) -> list[Pruning]:
    """One proposal for each width group, in document order, not solved yet."""
    return [_proposal(graph, group, policy) for group in graph.groups]


def _proposal(graph: Graph, group: WidthGroup, policy: Growth) -> Pruning:
    proposal = Pruning("prune", group.target, group=group, planned_for=graph)
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
    if group.matches:
        return f"what `{group.matches[0]}` compares has no readers that could make up for it"
    if group.unit > 1:
        return f"a group norm or the heads of an attention hold {group.unit} features together"
    return f"the layer norm `{group.jumps[0]}` sees all features at once" if group.jumps else None


def solved(network: GrowingNetwork, proposal: Pruning, group: LinkedGroup, policy: Growth) -> Pruning:
    """The proposal with its neurons, from the statistics of the consumers.

    As many as are hardly missed; where the policy says what a smaller network is worth, as many as it takes at once.
    """
    try:
        removal = least_missed(group, proposal.neurons)
        without(group, removal.order, removal.changes[-1])  # whether every operation can lose features
    except GrowthError as error:
        return proposal.left_out(str(error))
    hardly = sum(error <= _HARDLY_MISSED for error in removal.errors)
    count = proposal.neurons if policy.when.worth is not None else hardly
    if count == 0:
        return proposal.left_out(f"without one neuron, {lost(removal, 1)}")
    found = replace(proposal, neurons=count, removal=removal, note=lost(removal, count))
    return with_narrowing_cost(network, found)


def lost(removal: Removal, count: int) -> str:
    """What is lost without so many neurons, in words."""
    return f"{removal.errors[count - 1]:.2%} of what its readers make of it is lost"


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
            change = self.proposal.removal.changes[self.proposal.neurons][consumer.name]
            moved = layer_of_matrix(consumer, change)(consumer.input)
            self.slope -= float((moved * seen.gradients[consumer.name]).sum())

    def share(self, processes: Processes) -> None:
        """Add what the other processes have counted."""
        (self.slope,) = processes.totals(self.slope)

    def measured(self, samples: int) -> Pruning:
        """The proposal with its slope."""
        slope = self.slope / samples
        return replace(self.proposal, slope=slope, predicted=slope)
