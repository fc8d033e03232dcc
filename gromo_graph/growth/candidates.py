"""What could grow: one candidate for each width group, with its cost, or the reason why it is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from torch import Tensor

from gromo_graph.graph import Graph, WidthGroup, obstacle, widening_cost
from gromo_graph.modules.neurons import GroupNeurons
from gromo_graph.records import Candidate
from gromo_graph.spec.settings import Growth, Stop


@dataclass(frozen=True)
class Proposal(Candidate):
    """A candidate with what is needed to apply it.

    Attributes:
        group: what would widen.
        weights: the new neurons, best first; None where it was left out.
        deltas: (out, columns) of the optimal delta of each consumer, where the policy applies it.
        drawn: its neurons change nothing yet (random ones, or those of GradMax), so there is no step size to search.
        rescue: it revives a dead layer and goes first.
        note: how it was solved, where that is out of the ordinary.
    """

    group: WidthGroup | None = field(default=None, compare=False, repr=False)
    weights: GroupNeurons | None = field(default=None, compare=False, repr=False)
    deltas: Mapping[str, Tensor] = field(default_factory=dict, compare=False, repr=False)
    drawn: bool = False
    rescue: bool = False
    note: str = ""

    def plain(self) -> Candidate:
        """The numbers alone."""
        return Candidate(**{f.name: getattr(self, f.name) for f in fields(Candidate)})

    def left_out(self, reason: str) -> Proposal:
        """The same, not to be applied."""
        return replace(
            self,
            neurons=0,
            weights=None,
            predicted=None,
            slope=None,
            reason=reason,
            delta_parameters=0,
            delta_madds=0,
        )


def neurons_at_once(policy: Growth, group: WidthGroup) -> int:
    """How many neurons a step adds to a group at the most.

    Its own `step`; else the smaller of what the policy says, in neurons and as a share of the width; else 8 (4 for
    small budgets).
    """
    if group.grow.step is not None:
        return group.grow.step
    neurons = policy.neurons
    shared = [] if neurons.share is None else [max(1, round(neurons.share * group.features))]
    if neurons.per_step is not None or shared:
        return min([*shared, *([] if neurons.per_step is None else [neurons.per_step])])
    small = policy.stop.parameters is not None and policy.stop.parameters < 1500
    return 4 if small else 8


def widen_proposals(graph: Graph, policy: Growth) -> list[Proposal]:
    """One proposal for each width group, in document order, not solved yet."""
    return [_proposal(graph, group, policy) for group in graph.groups]


def _proposal(graph: Graph, group: WidthGroup, policy: Growth) -> Proposal:
    proposal = Proposal("widen", group.target, group=group)
    reason = obstacle(graph, group, policy)
    if reason is not None:
        return replace(proposal, reason=reason)
    if group.grow.max is not None and group.features >= group.grow.max:
        return replace(proposal, reason=f"it is {group.features} wide: `grow.max` is {group.grow.max}")
    wanted = max(neurons_at_once(policy, group), group.unit)
    if group.grow.max is not None:
        wanted = min(wanted, group.grow.max - group.features)
    neurons = affordable(graph, group, wanted, policy.stop)
    if neurons == 0:
        return replace(proposal, reason=_why_none(group, wanted))
    return with_cost(graph, replace(proposal, neurons=neurons))


def _why_none(group: WidthGroup, wanted: int) -> str:
    if group.unit > wanted:
        return f"a group norm in it grows by whole groups of {group.unit}: `grow.max` is {group.grow.max}"
    features = "one more feature" if group.unit == 1 else f"{group.unit} more features"
    return f"{features} would pass the budget"


def affordable(graph: Graph, group: WidthGroup, wanted: int, stop: Stop) -> int:
    """The largest number of neurons up to `wanted` that stays within the budgets, in whole units of the group."""

    def fits(neurons: int) -> bool:
        cost = widening_cost(graph, group, neurons)
        return (stop.parameters is None or graph.parameter_count + cost.parameters <= stop.parameters) and (
            stop.madds is None or graph.multiply_adds + cost.madds <= stop.madds
        )

    most = wanted - wanted % group.unit
    return next((neurons for neurons in range(most, 0, -group.unit) if fits(neurons)), 0)


def with_cost(graph: Graph, proposal: Proposal) -> Proposal:
    """The proposal with the cost of its neurons."""
    assert proposal.group is not None
    cost = widening_cost(graph, proposal.group, proposal.neurons)
    return replace(proposal, delta_parameters=cost.parameters, delta_madds=cost.madds)
