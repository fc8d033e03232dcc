"""Pruning a width group: the neurons that are missed least are taken out, and the consumers refitted without them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch

from gromo_graph.amounts import amount
from gromo_graph.errors import GrowthError
from gromo_graph.graph import WidthGroup, obstacle, widening_cost
from gromo_graph.growth.candidates.budget import neurons_at_once
from gromo_graph.growth.candidates.slope_scores import total
from gromo_graph.growth.candidates.stages import (
    InfeasibleError,
    LeftOut,
    OfGroup,
    Prospect,
    Solved,
    Sums,
)
from gromo_graph.growth.observe import Observation, Watched
from gromo_graph.growth.statistics_pass import Gathered
from gromo_graph.growth.wanted_statistics import Wanted
from gromo_graph.modules.extensions import layer_of_matrix
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.draft import Draft, narrowed_draft
from gromo_graph.network.linked_groups import linked_group
from gromo_graph.spec.settings import Growth
from gromo_graph.surgery.prune import Removal, least_missed, reader_of, without

# Neurons are taken out while no more than this share of what their readers make of the group is lost.
_HARDLY_MISSED = 0.01


@dataclass(frozen=True)
class Pruning(OfGroup):
    """Fewer neurons in a width group, and the consumers refitted to what is left.

    Attributes:
        removal: the neurons, the one that is missed least first, and the refitted weights.
    """

    removal: Removal = field(kw_only=True, compare=False, repr=False)

    @property
    def missed(self) -> float:
        """The share of what the consumers make of the group that is lost without the neurons."""
        return self.removal.errors[self.neurons - 1]

    @property
    def whole(self) -> str | None:
        """There is no part of taking neurons out."""
        return "neurons are taken out as a whole"

    def draft(self, network: GrowingNetwork, policy: Growth) -> Draft:
        """Layers and norms without the neurons."""
        channels, changes = self.removal.order[: self.neurons], self.removal.changes[self.neurons]
        return narrowed_draft(network, self.group, channels, changes)

    def smaller(self) -> Pruning | None:
        """Half as many neurons, in whole units of the group."""
        count = self.neurons // 2
        count -= count % self.group.unit
        if count == 0:
            return None
        cost = widening_cost(self.planned_for, self.group, -count)
        return replace(self, neurons=count, delta_parameters=cost.parameters, delta_madds=cost.madds)


class PruneProspect(Prospect[Removal]):
    """A width group that may get narrower.

    Attributes:
        group: which one. linked: its modules. taken: its features that some node takes by their numbers.
    """

    kind = "prune"

    def __init__(self, network: GrowingNetwork, policy: Growth, group: WidthGroup) -> None:
        reason = obstacle(network.graph, group, policy) or _why_whole(group)
        if reason is not None:
            raise InfeasibleError(reason)
        taken = frozenset().union(*(each.taken(network.spec) for each in group.selections))
        least = max(1, group.grow.min or 1, len(taken))
        count = min(neurons_at_once(policy, group), group.features - least)
        if count < 1:
            raise InfeasibleError(f"it is {group.features} wide, the least it may be")
        super().__init__(network, policy, group.target, count)
        self.group, self.taken = group, taken
        self.linked = linked_group(network, group)

    def wanted(self) -> Wanted:
        """S of the consumers."""
        return Wanted(read=(self.linked,))

    def solve(self, gathered: Gathered) -> Removal:
        """The neurons that are missed least."""
        readers = [reader_of(self.linked, layer, layer.tensor_s()) for layer in self.linked.consumers]
        return least_missed(readers, self.neurons, self.taken)

    def judged(
        self, solution: Removal, gathered: Gathered, generator: torch.Generator | None
    ) -> Solved | LeftOut:
        """Remove neurons that are hardly missed, or as many as are wanted if the policy sets `when.worth`."""
        try:
            without(self.linked, solution.order, solution.changes[-1])
        except GrowthError as error:  # an operation cannot lose features
            return self.left_out(str(error))
        if gathered.unreached.issuperset(self.group.consumers):
            return self.left_out("the loss does not depend on it, which says nothing of its worth")
        hardly = sum(error <= _HARDLY_MISSED for error in solution.errors)
        count = self.neurons if self.policy.when.worth is not None else hardly
        if count == 0:
            return self.left_out(f"without one neuron, {lost(solution, 1)}")
        return SolvedPruning(self, solution, count)


def _why_whole(group: WidthGroup) -> str | None:
    """Say why single neurons cannot be removed."""
    if group.parts:
        return "groups that are tied to one width are not pruned"
    if group.matches:
        return f"what `{group.matches[0]}` compares has no readers that could make up for it"
    if group.unit > 1:
        return f"a group norm or the heads of an attention hold {amount(group.unit, 'feature')} together"
    return f"the norm `{group.jumps[0]}` sees all features at once" if group.jumps else None


def lost(removal: Removal, count: int) -> str:
    """The error of taking so many neurons out, in words."""
    return f"{removal.errors[count - 1]:.2%} of what its readers make of it is lost"


@dataclass(frozen=True)
class SolvedPruning(Solved):
    """Neurons that can be taken out.

    Attributes:
        count: how many of those in the removal.
    """

    prospect: PruneProspect
    removal: Removal
    count: int

    @property
    def watched(self) -> Watched:
        """The consumers."""
        return Watched(self.prospect.linked.consumers, parameters=False)

    def batch_slopes(self, seen: Observation) -> Sums:
        """The slope of the loss on the way to the refitted weights, by consumer."""
        changes = self.removal.changes[self.count]
        return {
            consumer.name: -total(
                layer_of_matrix(consumer, changes[consumer.name])(consumer.input)
                * seen.gradients[consumer.name]
            )
            for consumer in self.prospect.linked.consumers
        }

    def measured(self, slopes: Sums) -> Pruning:
        """The candidate with its slope; what it saves are negative costs."""
        prospect, slope = self.prospect, sum(float(value) for value in slopes.values())
        cost = widening_cost(prospect.network.graph, prospect.group, -self.count)
        note = lost(self.removal, self.count)
        facts = prospect.facts(self.count, cost, slope=slope, predicted=slope, note=note)
        return Pruning(**facts, group=prospect.group, removal=self.removal)
