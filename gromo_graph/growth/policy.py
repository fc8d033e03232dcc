"""Which proposal comes first, when growth is due, and when it is over."""

from __future__ import annotations

from collections.abc import Sequence

from gromo_graph.graph import Graph, obstacle
from gromo_graph.growth.candidates import Proposal, affordable
from gromo_graph.spec.settings import Growth

# Groups this close to the narrowest count as equally narrow; among them the slope decides.
_NEAR_TIE = 1.25
RULES = {
    "balanced": "steepest of the narrowest layers",
    "slope": "steepest",
    "slope_per_parameter": "steepest per parameter",
    "slope_per_madd": "steepest per multiply-add",
    "realised": "lowered the held-out loss most per parameter of those tried",
}
"""What each `select` means, in the words of a reason."""


def ranked(proposals: Sequence[Proposal], policy: Growth) -> list[Proposal]:
    """Those that can be applied in the order in which they are tried, then those that were left out."""
    able = [proposal for proposal in proposals if proposal.reason is None]
    left_out = [proposal for proposal in proposals if proposal.reason is not None]
    return [*_in_order(able, policy.select), *left_out]


def _in_order(proposals: Sequence[Proposal], select: str) -> list[Proposal]:
    if select == "balanced":
        return _balanced(proposals)

    def cost(proposal: Proposal) -> int:
        if select in ("slope", "realised"):
            return 1
        return proposal.delta_parameters if select == "slope_per_parameter" else proposal.delta_madds

    def key(proposal: Proposal) -> tuple[bool, float]:
        slope = proposal.slope
        # What has no slope comes last: whether it is worth anything only a trial tells.
        return slope is None, 0.0 if slope is None else -slope / cost(proposal)

    return sorted(proposals, key=key)


def _balanced(proposals: Sequence[Proposal]) -> list[Proposal]:
    """Below their minimum first, then the narrowest relative to their target ratio; slope among near-ties."""
    if not proposals:
        return []
    narrowest = min(relative_width(proposal) for proposal in proposals)

    def key(proposal: Proposal) -> tuple[bool, float, float]:
        width = relative_width(proposal)
        tied = width <= _NEAR_TIE * narrowest
        return not _below_minimum(proposal), narrowest if tied else width, -(proposal.slope or 0.0)

    return sorted(proposals, key=key)


def relative_width(proposal: Proposal) -> float:
    """Features over the target ratio."""
    assert proposal.group is not None
    return proposal.group.features / proposal.group.grow.ratio


def _below_minimum(proposal: Proposal) -> bool:
    assert proposal.group is not None
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


def not_worth(graph: Graph, proposal: Proposal, before: float, after: float, policy: Growth) -> str | None:
    """Said where the held-out loss would fall too little for what the step costs."""
    least = policy.when.worth
    if least is None or before == 0.0:
        return None
    gain = (before - after) / abs(before)
    cost = proposal.delta_parameters / max(1, graph.parameter_count)
    if gain >= least * cost:
        return None
    return f"{gain:.2%} less loss for {cost:.2%} more parameters: `growth.when.worth` is {least:g}"


def budget_reached(graph: Graph, policy: Growth) -> str | None:
    """Said where a budget leaves room for not even one feature in any group that may grow."""
    stop = policy.stop
    free = [group for group in graph.groups if obstacle(graph, group, policy) is None]
    if (stop.parameters is None and stop.madds is None) or not free:
        return None
    if any(affordable(graph, group, 1, stop) for group in free):
        return None
    parts = []
    if stop.parameters is not None:
        parts.append(f"{graph.parameter_count:,} of {stop.parameters:,} parameters")
    if stop.madds is not None:
        parts.append(f"{graph.multiply_adds:,} of {stop.madds:,} multiply-adds")
    return f"budget reached: {', '.join(parts)}, and one more feature would pass it"
