"""The end of growth: goals that are reached, budgets, and candidates that are not worth their cost."""

from __future__ import annotations

from collections.abc import Sequence

from gromo_graph.graph import Graph, WidthGroup, obstacle
from gromo_graph.graph.growth_goals import over_budget, used_budgets
from gromo_graph.growth.candidates.budget import affordable
from gromo_graph.growth.candidates.propose import path_places
from gromo_graph.growth.candidates.stages import Applicable
from gromo_graph.growth.pace import growing_groups
from gromo_graph.spec.settings import Growth

# A budget that is used up to this share counts as used.
_USED = 0.95
# A relative rise of the loss within this is rounding.
_ROUNDING = 1e-6


def goal_reached(error: float, policy: Growth) -> str | None:
    """Words if the held-out accuracy is enough, else None."""
    goal = policy.stop.accuracy
    if goal is None or 1.0 - error < goal:
        return None
    return f"held-out accuracy {1.0 - error:.4g}: `growth.stop.accuracy` is {goal:g}"


def too_slow(milliseconds: float, policy: Growth) -> str | None:
    """Words if a forward pass takes as long as it may, else None."""
    most = policy.stop.milliseconds
    if most is None or milliseconds < most:
        return None
    return f"a forward pass of one sample takes {milliseconds:.3g} ms: `growth.stop.milliseconds` is {most:g}"


def gained_little(before: float, after: float, policy: Growth) -> str | None:
    """Words if the last step lowered the held-out loss so little that no further one is tried, else None."""
    least = policy.stop.improvement
    if least is None or before - after >= least * abs(before):
        return None
    share = (before - after) / abs(before) if before else 0.0
    return f"the last step lowered the held-out loss by {share:.2%}: `growth.stop.improvement` is {least:g}"


def not_worth(graph: Graph, proposal: Applicable, before: float, after: float, policy: Growth) -> str | None:
    """Words if the held-out loss would fall too little for the cost, or rise too much, else None."""
    least = policy.when.worth
    cost = proposal.delta_parameters / max(1, graph.parameter_count)
    if least is None or before == 0.0:
        rises = after - before > _ROUNDING * abs(before)
        return (
            f"the held-out loss would rise from {before:.6g} to {after:.6g}" if cost < 0.0 and rises else None
        )
    gain = (before - after) / abs(before)
    if gain >= least * cost:
        return None
    if cost < 0.0:
        return f"{-gain:.2%} more loss for {-cost:.2%} fewer parameters: `growth.when.worth` is {least:g}"
    return f"{gain:.2%} less loss for {cost:.2%} more parameters: `growth.when.worth` is {least:g}"


def budget_reached(graph: Graph, policy: Growth) -> str | None:
    """Words if a budget leaves no room for one feature of any group, nor for a new path, else None."""
    stop = policy.stop
    if (stop.parameters is None and stop.madds is None) or "prune" in policy.actions:
        return None
    if can_grow(graph, policy) or not (growing_groups(graph, policy) or any(path_places(graph, policy))):
        return None
    used = ", ".join(used_budgets(graph, policy.stop, policy.beyond))
    return over_budget(graph, policy) or f"budget reached: {used}, and one more feature would pass it"


def can_grow(graph: Graph, policy: Growth) -> bool:
    """True if some group or path has room within the budgets."""
    free = growing_groups(graph, policy)
    return any(affordable(graph, group, max(1, group.unit), policy.stop) for group in free) or any(
        place.is_feasible(graph, policy) for place in path_places(graph, policy)
    )


def goal_missed(graph: Graph, policy: Growth, word: str | None) -> str:
    """Said behind a reason if growth ends with less than 95 % of a budget used, or without one below a target.

    Args:
        word: the setting that ended growth; None if to raise a setting is no remedy.
    """
    able = [group for group in graph.groups if obstacle(graph, group, policy) is None]
    missed = _unused(graph, policy) if policy.stop.is_budget else _below_target(able)
    if policy.counts_epochs or missed is None:
        return ""
    if word is None:
        return f"; {missed}"
    if able and all(group.grow.max is not None and group.features >= group.grow.max for group in able):
        word = "grow.max"
    elif any(group.grow.step is not None for group in able):
        word = "grow.step"
    elif policy.neurons.per_step is not None:
        word = "growth.neurons.per_step"
    elif policy.neurons.share is not None:
        word = "growth.neurons.share"
    return f"; {missed}: raise `{word}`"


def _unused(graph: Graph, policy: Growth) -> str | None:
    """The used share of the written budgets in words, if it is little of all of them."""
    stop = policy.stop
    shares = [
        now * policy.beyond / budget
        for now, budget in ((graph.parameter_count, stop.parameters), (graph.multiply_adds, stop.madds))
        if budget is not None
    ]
    return f"budget {max(shares):.0%} used" if shares and max(shares) < _USED else None


def _below_target(groups: Sequence[WidthGroup]) -> str | None:
    """The first group that is narrower than its target."""
    for group in groups:
        target = group.grow.target
        if target is not None and group.features < target:
            return f"`{group.target}` has {group.features} of {target} features"
    return None
