"""Which proposal comes first, when growth is due, and when it is over."""

from __future__ import annotations

from collections.abc import Sequence

from gromo_graph.graph import Graph, obstacle
from gromo_graph.growth.candidates import Proposal, affordable
from gromo_graph.spec.settings import Growth

# Groups this close to the narrowest count as equally narrow; among them the slope decides.
_NEAR_TIE = 1.25
RULES = {
    "balanced": "steepest of the narrowest layers (widths within 25 %)",
    "slope": "steepest",
    "slope_per_parameter": "steepest per parameter",
    "slope_per_madd": "steepest per multiply-add",
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
        if select == "slope":
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


def why_over(graph: Graph, policy: Growth, *, applied: int, epoch: int, epochs: int) -> str | None:
    """The reason why no further growth step is tried, or None while growth goes on."""
    stop, limit = policy.stop, policy.when.until * epochs
    if stop.steps is not None and applied >= stop.steps:
        return f"{applied} growth steps applied: `growth.stop.steps` is {stop.steps}"
    if epoch > limit:
        return f"growth ends after {limit:g} of {epochs} epochs: `growth.when.until` is {policy.when.until:g}"
    return budget_reached(graph, policy)


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
