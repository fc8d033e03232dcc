"""What could grow: one candidate for each width group, with its cost, or the reason why it is left out."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

from torch import Tensor

from gromo_graph.graph import Graph, WidthGroup, obstacle, widening_cost
from gromo_graph.records import Candidate
from gromo_graph.spec.settings import Growth, Stop


@dataclass(frozen=True)
class NewNeurons:
    """The weights of a widening, before they are scaled.

    Attributes:
        alpha_weight: (k, fan_in of the producer). alpha_bias: (k,) or None.
        omega: (fan_out of the consumer, k).
        singular_values: (k,), zeros for neurons that were drawn at random.
        resting_value: of the new channel at s = 0, behind the activation; the consumer's bias takes it back.
    """

    alpha_weight: Tensor
    alpha_bias: Tensor | None
    omega: Tensor
    singular_values: Tensor
    resting_value: float = 0.0


@dataclass(frozen=True)
class Proposal(Candidate):
    """A candidate with what is needed to apply it.

    Attributes:
        group: what would widen.
        weights: the new neurons, best first; None where it was left out.
        delta: (fan_out, fan_in) of the consumer's optimal delta where the policy applies it.
        drawn: its neurons are random with zero fan-out: they change nothing yet, so there is no step size to search.
        rescue: it revives a dead layer and goes first.
        note: how it was solved, where that is out of the ordinary.
    """

    group: WidthGroup | None = field(default=None, compare=False, repr=False)
    weights: NewNeurons | None = field(default=None, compare=False, repr=False)
    delta: Tensor | None = field(default=None, compare=False, repr=False)
    drawn: bool = False
    rescue: bool = False
    note: str = ""

    def plain(self) -> Candidate:
        """The numbers alone."""
        return Candidate(**{f.name: getattr(self, f.name) for f in fields(Candidate)})


def neurons_at_once(policy: Growth, group: WidthGroup) -> int:
    """How many neurons a step adds to a group: its own `step`, the policy's, or 8 (4 for small budgets)."""
    if group.grow.step is not None:
        return group.grow.step
    if policy.neurons.per_step is not None:
        return policy.neurons.per_step
    small = policy.stop.parameters is not None and policy.stop.parameters < 1500
    return 4 if small else 8


def widen_proposals(graph: Graph, policy: Growth) -> list[Proposal]:
    """One proposal for each width group, in document order, not solved yet."""
    return [_proposal(graph, group, policy) for group in graph.groups]


def _proposal(graph: Graph, group: WidthGroup, policy: Growth) -> Proposal:
    proposal = Proposal("widen", group.target, group=group)
    reason = obstacle(graph, group)
    if reason is not None:
        return replace(proposal, reason=reason)
    if group.grow.max is not None and group.features >= group.grow.max:
        return replace(proposal, reason=f"it is {group.features} wide: `grow.max` is {group.grow.max}")
    wanted = neurons_at_once(policy, group)
    if group.grow.max is not None:
        wanted = min(wanted, group.grow.max - group.features)
    neurons = affordable(graph, group, wanted, policy.stop)
    if neurons == 0:
        return replace(proposal, reason="one more feature would pass the budget")
    return with_cost(graph, replace(proposal, neurons=neurons))


def affordable(graph: Graph, group: WidthGroup, wanted: int, stop: Stop) -> int:
    """The largest number of neurons up to `wanted` that stays within the budgets."""

    def fits(neurons: int) -> bool:
        cost = widening_cost(graph, group, neurons)
        return (stop.parameters is None or graph.parameter_count + cost.parameters <= stop.parameters) and (
            stop.madds is None or graph.multiply_adds + cost.madds <= stop.madds
        )

    return next((neurons for neurons in range(wanted, 0, -1) if fits(neurons)), 0)


def with_cost(graph: Graph, proposal: Proposal) -> Proposal:
    """The proposal with the cost of its neurons."""
    assert proposal.group is not None
    cost = widening_cost(graph, proposal.group, proposal.neurons)
    return replace(proposal, delta_parameters=cost.parameters, delta_madds=cost.madds)
