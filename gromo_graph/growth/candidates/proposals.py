"""What could be done: candidates with what is needed to do it, their costs, or the reason why they are left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Self

from torch import Tensor

from gromo_graph.graph import AddPath, Bridge, Graph, HeadPlace, WidthGroup, obstacle, widening_cost
from gromo_graph.graph.costs import Cost
from gromo_graph.modules.neurons import GroupNeurons
from gromo_graph.modules.removing import Removal
from gromo_graph.records import Candidate
from gromo_graph.spec.settings import Growth, Stop


@dataclass(frozen=True)
class Proposal(Candidate):
    """A candidate with what is needed to apply it.

    Attributes:
        planned_for: the graph that it was planned for.
    """

    planned_for: Graph | None = field(default=None, compare=False, repr=False)

    def plain(self) -> Candidate:
        """The numbers alone."""
        return Candidate(**{f.name: getattr(self, f.name) for f in fields(Candidate)})

    def left_out(self, reason: str) -> Self:
        """The same, not to be applied."""
        return replace(
            self,
            neurons=0,
            predicted=None,
            slope=None,
            reason=reason,
            delta_parameters=0,
            delta_madds=0,
        )

    @property
    def rescue(self) -> bool:
        """Whether it revives a dead layer and goes first."""
        return False


@dataclass(frozen=True)
class Widening(Proposal):
    """New neurons in a width group.

    Attributes:
        group: what would widen. weights: the new neurons, best first; None while they have not been found.
        deltas: (out, columns) of the optimal delta of each consumer, where the policy applies it.
        drawn: the neurons change nothing yet (random ones, or those of GradMax): there is no step size to search.
        revives: they revive a dead layer.
    """

    group: WidthGroup | None = field(default=None, compare=False, repr=False)
    weights: GroupNeurons | None = field(default=None, compare=False, repr=False)
    deltas: Mapping[str, Tensor] = field(default_factory=dict, compare=False, repr=False)
    drawn: bool = False
    revives: bool = False

    @property
    def rescue(self) -> bool:
        """Whether it revives a dead layer."""
        return self.revives

    @property
    def widened(self) -> WidthGroup:
        """What would widen."""
        assert self.group is not None
        return self.group


@dataclass(frozen=True)
class FirstWeights:
    """The weights of a new layer: at step size γ they are γ to some power times these."""

    weight: Tensor
    bias: Tensor | None
    power: float


@dataclass(frozen=True)
class NewPath(Proposal):
    """A new layer, two with new neurons between, or a head of attention, from one node into the sum of another.

    Attributes:
        bridge: from where to where. path: the edit. place: where a head is to stand.
        weights: of each new layer in the order of the path: −δ of an edge; of new neurons both sides.
        deltas: (out, columns) of the optimal delta of each layer that enters the sum, where the policy applies it.
    """

    bridge: Bridge | None = field(default=None, compare=False, repr=False)
    path: AddPath | None = field(default=None, compare=False, repr=False)
    place: HeadPlace | None = field(default=None, compare=False, repr=False)
    weights: tuple[FirstWeights, ...] = field(default=(), compare=False, repr=False)
    deltas: Mapping[str, Tensor] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Pruning(Proposal):
    """Fewer neurons in a width group, and the consumers refitted to what is left.

    Attributes:
        group: what would get narrower.
        removal: the neurons, the one that is missed least first, and the refitted weights; None while they have not
            been found.
    """

    group: WidthGroup | None = field(default=None, compare=False, repr=False)
    removal: Removal | None = field(default=None, compare=False, repr=False)

    @property
    def narrowed(self) -> WidthGroup:
        """What would get narrower."""
        assert self.group is not None
        return self.group


def neurons_at_once(policy: Growth, group: WidthGroup | None) -> int:
    """How many neurons a step adds to a group, or gives to a new node, at the most.

    The group's own `step`; else the smaller of what the policy says, in neurons and as a share of the width; else 8 (4
    for small budgets).
    """
    if group is not None and group.grow.step is not None:
        return group.grow.step
    neurons = policy.neurons
    shared = []
    if neurons.share is not None and group is not None:
        shared = [max(1, round(neurons.share * group.features))]
    if neurons.per_step is not None or shared:
        return min([*shared, *([] if neurons.per_step is None else [neurons.per_step])])
    small = policy.stop.parameters is not None and policy.stop.parameters < 1500
    return 4 if small else 8


def groups_at_once(policy: Growth, graph: Graph) -> int:
    """How many width groups a step may grow: what the policy says, or one for each three that may grow at all."""
    if policy.groups is not None:
        return policy.groups
    able = sum(obstacle(graph, group, policy) is None for group in graph.groups)
    return max(1, math.ceil(able / 3))


def widen_proposals(graph: Graph, policy: Growth) -> list[Widening]:
    """One proposal for each width group, in document order, not solved yet."""
    return [_proposal(graph, group, policy) for group in graph.groups]


def _proposal(graph: Graph, group: WidthGroup, policy: Growth) -> Widening:
    proposal = Widening("widen", group.target, planned_for=graph, group=group)
    reason = obstacle(graph, group, policy)
    if reason is not None:
        return replace(proposal, reason=reason)
    if group.grow.max is not None and group.features >= group.grow.max:
        return replace(proposal, reason=f"it is {group.features} wide: `grow.max` is {group.grow.max}")
    wanted = max(neurons_at_once(policy, group), group.unit)
    if group.grow.max is not None:
        wanted = min(wanted, group.grow.max - group.features)
    if group.matches:
        most = _most_matched(graph, group)
        if group.features >= most:
            each = most // group.unit
            return replace(
                proposal, reason=f"{each} features of a head can match whatever the layers read of a position"
            )
        wanted = min(wanted, most - group.features)
    neurons = affordable(graph, group, wanted, policy.stop)
    if neurons == 0:
        return replace(proposal, reason=_why_none(group, wanted))
    return with_cost(graph, replace(proposal, neurons=neurons))


def _most_matched(graph: Graph, group: WidthGroup) -> int:
    """Features of query and key beyond which there are no products that they do not give already.

    Those of a head are a bilinear form of what the two layers read at a position, of no higher rank than they have
    columns.
    """
    columns = [graph.parameters(name) // graph.features(name) for name in group.producers]
    return group.unit * min(columns)


def _why_none(group: WidthGroup, wanted: int) -> str:
    if group.unit > wanted:
        return f"it grows by {group.unit} at once (group norm, heads): `grow.max` is {group.grow.max}"
    features = "one more feature" if group.unit == 1 else f"{group.unit} more features"
    return f"{features} would pass the budget"


def affordable(graph: Graph, group: WidthGroup, wanted: int, stop: Stop) -> int:
    """The largest number of neurons up to `wanted` that stays within the budgets, in whole units of the group."""
    most = wanted - wanted % group.unit
    counts = range(most, 0, -group.unit)
    return next((n for n in counts if within(graph, widening_cost(graph, group, n), stop)), 0)


def within(graph: Graph, cost: Cost, stop: Stop) -> bool:
    """Whether the network would stay within the budgets."""
    return (stop.parameters is None or graph.parameter_count + cost.parameters <= stop.parameters) and (
        stop.madds is None or graph.multiply_adds + cost.madds <= stop.madds
    )


def with_cost(graph: Graph, proposal: Widening) -> Widening:
    """The proposal with the cost of its neurons."""
    cost = widening_cost(graph, proposal.widened, proposal.neurons)
    return replace(proposal, delta_parameters=cost.parameters, delta_madds=cost.madds)
