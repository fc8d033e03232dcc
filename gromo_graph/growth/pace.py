"""How wide each group should be at a tick, so that a budget is used up when growth ends.

All groups follow one scale: a group's width over its proportion. The scale of a tick is the largest one whose network
fits into the share of the budget that is due by then. Proportions are those the author gave (`grow: {ratio: ...}`), or
those of the widths that the network began with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gromo_graph.graph import Graph, WidthGroup
from gromo_graph.graph.costs import Cost, cost_at_widths
from gromo_graph.spec.settings import Stop

# Halvings of the interval in which the scale is searched: more than any width needs.
_HALVINGS = 50


@dataclass(frozen=True)
class Share:
    """How much of what is left of a budget is due at a tick.

    Attributes:
        ticks_left: ticks that are left, this one included.
        turns: ticks that it takes until each group has had its turn, because groups that share a layer do not grow at
            one tick.
    """

    ticks_left: int
    turns: int

    @property
    def due(self) -> float:
        """The share, between 0 and 1: at its turn a group grows for the ticks until its next one."""
        return min(1.0, self.turns / max(1, self.ticks_left))


def turns_of(groups: Sequence[WidthGroup]) -> int:
    """How many ticks it takes until each group has grown once, if those of one tick share no layer."""
    waiting, turns = list(groups), 0
    while waiting:
        taken: set[str] = set()
        later = []
        for group in waiting:
            layers = {*group.producers, *group.consumers}
            if layers & taken:
                later.append(group)
            taken |= layers if not layers & taken else set()
        waiting, turns = later, turns + 1
    return max(1, turns)


def due_widths(
    graph: Graph,
    groups: Sequence[WidthGroup],
    proportions: Mapping[str, float],
    stop: Stop,
    share: Share,
) -> dict[str, int] | None:
    """The width that each group should have after this tick, by its target; None if there is no budget to go by.

    Args:
        graph: the network as it is.
        groups: those that may grow.
        proportions: of each group by its target: the width that it should have relative to the others (no unit).
        stop: the budgets, in parameters and multiply-adds.
        share: how much of what is left of them is due.

    Returns:
        Features, never fewer than now and no more than `grow.max` allows.
    """
    targeted = {group.target: group.grow.target for group in groups if group.grow.target is not None}
    if stop.parameters is None and stop.madds is None and not targeted:
        return None
    now = cost_at_widths(graph, {})
    most = _Most(_due(now.parameters, stop.parameters, share), _due(now.madds, stop.madds, share))
    free = [group for group in groups if group.grow.target is None]
    fixed = {group: _towards(group, share) for group in groups if group.grow.target is not None}

    def widths(scale: float) -> dict[WidthGroup, int]:
        return fixed | {group: _at_scale(group, scale * proportions[group.target]) for group in free}

    if stop.parameters is None and stop.madds is None:
        return {group.target: width for group, width in fixed.items()}
    scale = _largest(lambda scale: most.allows(cost_at_widths(graph, widths(scale))), widths)
    found = widths(scale)
    _fill(found, free, proportions, lambda wanted: most.allows(cost_at_widths(graph, wanted)))
    return {group.target: width for group, width in found.items()}


@dataclass(frozen=True)
class _Most:
    """What a network may cost at a tick; None is no limit."""

    parameters: float | None
    madds: float | None

    def allows(self, cost: Cost) -> bool:
        return (self.parameters is None or cost.parameters <= self.parameters) and (
            self.madds is None or cost.madds <= self.madds
        )


def _due(now: int, budget: int | None, share: Share) -> float | None:
    return None if budget is None else now + (budget - now) * share.due


def _towards(group: WidthGroup, share: Share) -> int:
    """The width at this tick on the way to `grow.target`."""
    target = group.grow.target
    assert target is not None  # the caller asks for groups that have one
    missing = max(0, target - group.features)
    return _in_units(group, group.features + math.ceil(missing * share.due))


def _at_scale(group: WidthGroup, width: float) -> int:
    return _in_units(group, max(group.features, math.floor(width)))


def _in_units(group: WidthGroup, width: int) -> int:
    """A width that the group can have: whole units more than now, within `grow.max`."""
    most = width if group.grow.max is None else min(width, max(group.grow.max, group.features))
    more = most - group.features
    return group.features + more - more % group.unit


def _largest(fits: Callable[[float], bool], widths: Callable[[float], Mapping[WidthGroup, int]]) -> float:
    """The largest scale that fits, by doubling and halving; 0 if none does."""
    if not fits(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while fits(high) and widths(2.0 * high) != widths(high / 2.0):
        low, high = high, 2.0 * high
    for _ in range(_HALVINGS):
        if widths(low) == widths(high):
            break
        middle = (low + high) / 2.0
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _fill(
    widths: dict[WidthGroup, int],
    free: Sequence[WidthGroup],
    proportions: Mapping[str, float],
    fits: Callable[[Mapping[WidthGroup, int]], bool],
) -> None:
    """Spend what rounding left over, a unit at a time, on the groups that are farthest behind the scale."""
    while True:
        behind = sorted(free, key=lambda group: widths[group] / proportions[group.target])
        group = next((group for group in behind if _widened(widths, group, fits)), None)
        if group is None:
            return
        widths[group] += group.unit


def _widened(
    widths: Mapping[WidthGroup, int], group: WidthGroup, fits: Callable[[Mapping[WidthGroup, int]], bool]
) -> bool:
    """Whether a group may have one unit more."""
    more = _in_units(group, widths[group] + group.unit)
    return more > widths[group] and fits({**widths, group: more})
