"""Which proposal comes first, when growth is due, and when it is over."""

from __future__ import annotations

from collections.abc import Sequence

from gromo_graph.graph import Graph, obstacle
from gromo_graph.growth.candidates.base import Applicable
from gromo_graph.growth.candidates.budget import affordable
from gromo_graph.growth.candidates.propose import path_places
from gromo_graph.growth.candidates.prune import Pruning
from gromo_graph.growth.candidates.widen import Widening
from gromo_graph.spec.settings import Growth

# Groups this close to the narrowest count as equally narrow; among them the slope decides.
_NEAR_TIE = 1.25
# A relative rise of the loss within this is rounding.
_ROUNDING = 1e-6
RULES = {
    "balanced": "steepest of the narrowest layers",
    "slope": "steepest",
    "slope_per_parameter": "steepest per parameter",
    "slope_per_madd": "steepest per multiply-add",
    "realised": "lowered the held-out loss most per parameter of those tried",
}
"""What each `select` means, in the words of a reason."""


def ranked(candidates: Sequence[Applicable], policy: Growth) -> list[Applicable]:
    """The order in which candidates are tried.

    Neurons are taken out if nothing grows: then the budget has room again.
    """
    prunings = [each for each in candidates if isinstance(each, Pruning)]
    growing = [each for each in candidates if not isinstance(each, Pruning)]
    return [*_in_order(growing, policy.select), *sorted(prunings, key=lambda pruning: pruning.missed)]


def _in_order(candidates: Sequence[Applicable], select: str) -> list[Applicable]:
    if select == "balanced":
        return _balanced(candidates)

    def cost(candidate: Applicable) -> int:
        if select in ("slope", "realised"):
            return 1
        return max(
            1, candidate.delta_parameters if select == "slope_per_parameter" else candidate.delta_madds
        )

    def key(candidate: Applicable) -> tuple[bool, float]:
        slope = candidate.slope
        # What has no slope comes last: whether it is worth anything only a trial tells.
        return slope is None, 0.0 if slope is None else -slope / cost(candidate)

    return sorted(candidates, key=key)


def _balanced(candidates: Sequence[Applicable]) -> list[Applicable]:
    """Groups below their minimum first, then the narrowest relative to their target ratio; slope among near-ties.

    New paths have no width to go by: those come before the first group that bring more per parameter than it.
    """
    wide = [each for each in candidates if isinstance(each, Widening)]
    others = [each for each in candidates if not isinstance(each, Widening)]
    paths = sorted(others, key=slope_per_parameter, reverse=True)
    if not wide:
        return paths
    narrowest = min(relative_width(each) for each in wide)

    def key(candidate: Widening) -> tuple[bool, float, float]:
        width = relative_width(candidate)
        tied = width <= _NEAR_TIE * narrowest
        return not _below_minimum(candidate), narrowest if tied else width, -(candidate.slope or 0.0)

    wide.sort(key=key)
    least = slope_per_parameter(wide[0])
    better = [path for path in paths if slope_per_parameter(path) > least]
    return [*better, *wide, *paths[len(better) :]]


def slope_per_parameter(proposal: Applicable) -> float:
    """What it brings to first order for what it costs."""
    return (proposal.slope or 0.0) / max(1, proposal.delta_parameters)


def relative_width(proposal: Widening) -> float:
    """Features over the target ratio."""
    return proposal.group.features / proposal.group.grow.ratio


def _below_minimum(proposal: Widening) -> bool:
    minimum = proposal.group.grow.min
    return minimum is not None and proposal.group.features < minimum


def why_over(
    graph: Graph, policy: Growth, *, applied: int, epoch: int, epochs: int, seconds: float
) -> str | None:
    """The reason why no further growth step is tried, or None while growth goes on."""
    stop, limit = policy.stop, policy.when.until * epochs
    if stop.steps is not None and applied >= stop.steps:
        return f"{applied} growth steps applied: `growth.stop.steps` is {stop.steps}"
    if epoch > limit:
        if limit < policy.when.every:
            return (
                f"no growth step was due: `growth.when.every` is {policy.when.every} and growth ends after "
                f"{limit:g} of {epochs} epochs (`growth.when.until` is {policy.when.until:g}): train longer, or "
                "change one of them"
            )
        return f"growth ends after {limit:g} of {epochs} epochs: `growth.when.until` is {policy.when.until:g}"
    if stop.seconds is not None and seconds >= stop.seconds:
        return f"{seconds:.1f} seconds have passed: `growth.stop.seconds` is {stop.seconds:g}"
    return budget_reached(graph, policy)


def goal_reached(error: float, policy: Growth) -> str | None:
    """Said where the held-out accuracy is enough."""
    goal = policy.stop.accuracy
    if goal is None or 1.0 - error < goal:
        return None
    return f"held-out accuracy {1.0 - error:.4g}: `growth.stop.accuracy` is {goal:g}"


def gained_little(before: float, after: float, policy: Growth) -> str | None:
    """Said where the last step lowered the held-out loss so little that no further one is tried."""
    least = policy.stop.improvement
    if least is None or before - after >= least * abs(before):
        return None
    share = (before - after) / abs(before) if before else 0.0
    return f"the last step lowered the held-out loss by {share:.2%}: `growth.stop.improvement` is {least:g}"


def not_worth(graph: Graph, proposal: Applicable, before: float, after: float, policy: Growth) -> str | None:
    """Said where the held-out loss would fall too little for what it costs, or rise too much for what it saves."""
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
    """Said where a budget leaves room for not even one feature in any group that may grow, nor for a new path."""
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
