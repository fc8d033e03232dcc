"""When growth is over: goals that are reached, budgets, and candidates that are not worth their cost."""

from __future__ import annotations

from gromo_graph.graph import Graph, obstacle
from gromo_graph.growth.candidates.base import Applicable
from gromo_graph.growth.candidates.budget import affordable
from gromo_graph.growth.candidates.propose import path_places
from gromo_graph.spec.settings import Growth

# A relative rise of the loss within this is rounding.
_ROUNDING = 1e-6


def goal_reached(error: float, policy: Growth) -> str | None:
    """The reason if the held-out accuracy is enough, else None."""
    goal = policy.stop.accuracy
    if goal is None or 1.0 - error < goal:
        return None
    return f"held-out accuracy {1.0 - error:.4g}: `growth.stop.accuracy` is {goal:g}"


def gained_little(before: float, after: float, policy: Growth) -> str | None:
    """The reason if the last step lowered the held-out loss so little that no further one is tried, else None."""
    least = policy.stop.improvement
    if least is None or before - after >= least * abs(before):
        return None
    share = (before - after) / abs(before) if before else 0.0
    return f"the last step lowered the held-out loss by {share:.2%}: `growth.stop.improvement` is {least:g}"


def not_worth(graph: Graph, proposal: Applicable, before: float, after: float, policy: Growth) -> str | None:
    """The reason if the held-out loss would fall too little for the cost, or rise too much, else None."""
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
    """The reason if a budget leaves no room for one feature of any group, nor for a new path, else None."""
    stop = policy.stop
    if (stop.parameters is None and stop.madds is None) or "prune" in policy.actions:
        return None
    able = [group for group in graph.groups if obstacle(graph, group, policy) is None]
    free = able if "widen" in policy.actions else []
    if any(affordable(graph, group, max(1, group.unit), stop) for group in free):
        return None
    places = list(path_places(graph, policy))
    if any(place.is_feasible(graph, policy) for place in places) or not (free or places):
        return None
    parts, over = [], False
    if stop.parameters is not None:
        parts.append(f"{graph.parameter_count:,} of {stop.parameters:,} parameters")
        over |= graph.parameter_count > stop.parameters
    if stop.madds is not None:
        parts.append(f"{graph.multiply_adds:,} of {stop.madds:,} multiply-adds")
        over |= graph.multiply_adds > stop.madds
    if over:
        return (
            f"over budget as it is: {', '.join(parts)}; raise `growth.stop`, or let `prune` take neurons out"
        )
    return f"budget reached: {', '.join(parts)}, and one more feature would pass it"
