"""Pruning: the neurons of a width group that are missed least are taken out, and the consumers refitted without them.

A single layer may also read fewer features that others go on reading (`growth.edges.prune`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from gromo_graph.amounts import amount
from gromo_graph.errors import GrowthError
from gromo_graph.graph import Cost, WidthGroup, obstacle, widening_cost
from gromo_graph.graph.chosen_features import ReadFewer, reading_cost
from gromo_graph.growth.candidates.budget import neurons_at_once
from gromo_graph.growth.candidates.slope_scores import total
from gromo_graph.growth.candidates.stages import (
    Applicable,
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
from gromo_graph.modules.growing_module import GrowingModule
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.draft import Draft, fewer_read, narrowed_draft
from gromo_graph.network.linked_groups import linked_group
from gromo_graph.spec.settings import Growth
from gromo_graph.surgery.prune import Reader, Removal, least_missed, reader_of, without

# Neurons are taken out while no more than this share of what their readers make of the group is lost.
_HARDLY_MISSED = 0.01


@dataclass(frozen=True)
class Pruning(Applicable, ABC):
    """Fewer features that some layers read, and these refitted to what is left.

    Attributes:
        removal: the features, the one that is missed least first, and the refitted weights.
    """

    removal: Removal = field(kw_only=True, compare=False, repr=False)

    @property
    def missed(self) -> float:
        """The share of what the readers make of the features that is lost without them."""
        return self.removal.errors[self.neurons - 1]

    @property
    def whole(self) -> str | None:
        """There is no part of taking neurons out."""
        return "neurons are taken out as a whole"

    @property
    def unit(self) -> int:
        """Features are taken out in multiples of this number."""
        return 1

    @abstractmethod
    def cost_of(self, count: int) -> Cost:
        """The cost of taking so many out: what it saves is negative."""

    def smaller(self) -> Pruning | None:
        """Half as many neurons, in whole units of the group."""
        count = self.neurons // 2
        count -= count % self.unit
        if count == 0:
            return None
        cost = self.cost_of(count)
        return replace(self, neurons=count, delta_parameters=cost.parameters, delta_madds=cost.madds)


@dataclass(frozen=True)
class GroupPruning(Pruning, OfGroup):
    """Fewer neurons in a width group."""

    @property
    def unit(self) -> int:
        """Neurons are removed in multiples of this, as the group widens."""
        return self.group.unit

    def cost_of(self, count: int) -> Cost:
        """Of the group with fewer neurons."""
        return widening_cost(self.planned_for, self.group, -count)

    def draft(self, network: GrowingNetwork, policy: Growth) -> Draft:
        """Layers and norms without the neurons."""
        channels, changes = self.removal.order[: self.neurons], self.removal.changes[self.neurons]
        return narrowed_draft(network, self.group, channels, changes)


@dataclass(frozen=True)
class EdgePruning(Pruning):
    """Fewer features that one layer reads; others go on reading them.

    Attributes:
        layer: its name.
    """

    layer: str = field(kw_only=True)

    @property
    def nodes(self) -> tuple[str, ...]:
        """None: no node gets narrower."""
        return ()

    @property
    def first_changed(self) -> frozenset[str]:
        """The layer."""
        return frozenset((self.layer,))

    def cost_of(self, count: int) -> Cost:
        """Of the layer with fewer inputs."""
        return reading_cost(self.planned_for, self.layer, len(self._inputs) - count)

    def draft(self, network: GrowingNetwork, policy: Growth) -> Draft:
        """The layer behind an `index_select` of the others."""
        gone = set(self.removal.order[: self.neurons])
        edit = ReadFewer(self.layer, tuple(each for each in self._inputs if each not in gone))
        return fewer_read(network, edit, self.removal.changes[self.neurons][self.layer])

    @property
    def _inputs(self) -> range:
        (shape,) = self.planned_for.input_shapes(self.layer)
        return range(shape[0])


class _RemovalProspect(Prospect[Removal], ABC):
    """Features that some layers may do without.

    Attributes:
        readers: these layers.
    """

    kind = "prune"
    readers: Sequence[GrowingModule]

    @abstractmethod
    def candidate(self, count: int, removal: Removal, note: str, slope: float) -> Pruning:
        """The candidate that takes so many of them out."""

    def judged(
        self, solution: Removal, gathered: Gathered, generator: torch.Generator | None
    ) -> Solved | LeftOut:
        """Remove neurons that are hardly missed, or as many as are wanted if the policy sets `when.worth`."""
        if gathered.unreached.issuperset(reader.name for reader in self.readers):
            return self.left_out("the loss does not depend on it, which says nothing of its worth")
        if not any(reader.weight.detach().any() for reader in self.readers):
            return self.left_out("all weights that read it are 0 so far, which says nothing of its worth")
        hardly = sum(error <= _HARDLY_MISSED for error in solution.errors)
        count = self.neurons if self.policy.when.worth is not None else hardly
        if count == 0:
            return self.left_out(f"without one neuron, {lost(solution, 1)}")
        return SolvedPruning(self, solution, count)


class EdgePruneProspect(_RemovalProspect):
    """A layer that may read fewer features of its source."""

    def __init__(self, network: GrowingNetwork, policy: Growth, layer: str) -> None:
        (source,), (shape,) = network.graph.sources(layer), network.graph.input_shapes(layer)
        count = min(neurons_at_once(policy, None), shape[0] - 1)
        if count < 1:
            raise InfeasibleError("it reads one feature alone")
        super().__init__(network, policy, f"{source}->{layer}", count)
        self.layer, self.readers, self.inputs = layer, (network.growing(layer),), shape[0]

    def wanted(self) -> Wanted:
        """S of the layer."""
        return Wanted(inputs=tuple(self.readers))

    def solve(self, gathered: Gathered) -> Removal:
        """The features that are missed least."""
        (module,) = self.readers
        s = module.tensor_s()
        columns = torch.arange(module.adapter.fan_in(module.layer), device=s.device).reshape(self.inputs, -1)
        return least_missed([Reader(module.name, module.layer, s, columns)], self.neurons)

    def candidate(self, count: int, removal: Removal, note: str, slope: float) -> EdgePruning:
        """With the cost of the layer alone."""
        cost = reading_cost(self.network.graph, self.layer, self.inputs - count)
        facts = self.facts(count, cost, slope=slope, predicted=slope, note=note)
        return EdgePruning(**facts, removal=removal, layer=self.layer)


class PruneProspect(_RemovalProspect):
    """A width group that may get narrower.

    Attributes:
        group: which one. linked: its modules. taken: its features that some node takes by their numbers.
    """

    def __init__(self, network: GrowingNetwork, policy: Growth, group: WidthGroup) -> None:
        reason = obstacle(network.graph, group, policy) or _why_whole(group)
        if reason is not None:
            raise InfeasibleError(reason)
        taken = frozenset().union(*(each.taken(network.spec) for each in group.selections))
        least = max(1, group.grow.min or 1, len(taken))
        count = min(neurons_at_once(policy, group), group.features - least)
        if count < 1:
            narrowest = "the least it may be" if group.features == least else f"and has to be {least} wide"
            raise InfeasibleError(f"it is {group.features} wide, {narrowest}")
        super().__init__(network, policy, group.target, count)
        self.group, self.taken = group, taken
        self.linked = linked_group(network, group)
        self.readers = self.linked.consumers

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
        """As of any readers, if all operations of the group can lose features."""
        try:
            without(self.linked, solution.order, solution.changes[-1])
        except GrowthError as error:  # an operation cannot lose features
            return self.left_out(str(error))
        return super().judged(solution, gathered, generator)

    def candidate(self, count: int, removal: Removal, note: str, slope: float) -> GroupPruning:
        """With the cost of the narrower group."""
        cost = widening_cost(self.network.graph, self.group, -count)
        facts = self.facts(count, cost, slope=slope, predicted=slope, note=note)
        return GroupPruning(**facts, group=self.group, removal=removal)


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

    prospect: _RemovalProspect
    removal: Removal
    count: int

    @property
    def watched(self) -> Watched:
        """The consumers."""
        return Watched(self.prospect.readers, parameters=False)

    def batch_slopes(self, seen: Observation) -> Sums:
        """The slope of the loss on the way to the refitted weights, by consumer."""
        changes = self.removal.changes[self.count]
        return {
            consumer.name: -total(
                layer_of_matrix(consumer, changes[consumer.name])(consumer.input)
                * seen.gradients[consumer.name]
            )
            for consumer in self.prospect.readers
        }

    def measured(self, slopes: Sums) -> Pruning:
        """The candidate with its slope; what it saves are negative costs."""
        slope = sum(float(value) for value in slopes.values())
        return self.prospect.candidate(self.count, self.removal, lost(self.removal, self.count), slope)
