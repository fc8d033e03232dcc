"""The width that each group should have at a tick, so that a budget is used up when growth ends.

All groups follow one scale: a group's width over its proportion. The scale of a tick is the largest one whose network
fits into the share of the budget that is due by then. Proportions are those the author gave (`grow: {ratio: ...}`), or
those of the widths that the network began with.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gromo_graph.graph import Graph, WidthGroup, obstacle
from gromo_graph.graph.costs import Cost, cost_at_widths
from gromo_graph.growth.candidates.budget import asked_at_once, neurons_at_once
from gromo_graph.spec.settings import Growth, Stop

# Halvings of the interval in which the scale is searched: more than any width needs.
_HALVINGS = 50
# A slope below this share of the steepest one is no reason to grow a group before the others.
_NEGLIGIBLE = 1e-3


class Pace(ABC):
    """The neurons that each group gets at a step, and the groups that are behind the others."""

    @abstractmethod
    def neurons(self, policy: Growth, group: WidthGroup) -> int:
        """The neurons that a step adds, budgets left aside."""

    @abstractmethod
    def relative_width(self, group: WidthGroup) -> float:
        """The features of a group over its proportion."""

    @abstractmethod
    def is_negligible(self, slope: float | None, steepest: float) -> bool:
        """True if a slope is no reason to grow a group before the steepest one."""

    @abstractmethod
    def missing(self, group: WidthGroup) -> int:
        """Features that are due and that the group does not have; 0 if nothing says how many are due."""

    @abstractmethod
    def is_kept(self, groups: Sequence[WidthGroup]) -> bool:
        """True if all groups are as wide as they should be; never if nothing says how wide that is."""


class Unpaced(Pace):
    """As many neurons as the policy adds at once, in the ratios of the spec: nothing is due by a moment."""

    def neurons(self, policy: Growth, group: WidthGroup) -> int:
        """The rule of the policy."""
        return neurons_at_once(policy, group)

    def relative_width(self, group: WidthGroup) -> float:
        """Features over `grow.ratio`."""
        return group.features / group.grow.ratio

    def is_negligible(self, slope: float | None, steepest: float) -> bool:
        """False for every group."""
        return False

    def missing(self, group: WidthGroup) -> int:
        """Nothing is due."""
        return 0

    def is_kept(self, groups: Sequence[WidthGroup]) -> bool:
        """Nothing says so."""
        return False


UNPACED = Unpaced()


@dataclass(frozen=True)
class TickPace(Pace):
    """The pace at one tick.

    Attributes:
        proportions: of each group by its target: the width that it should have relative to the others (no unit).
        widths: that each group should have after the tick (`due_widths`); empty if there is no budget to go by.
    """

    proportions: Mapping[str, float]
    widths: Mapping[str, int]

    def neurons(self, policy: Growth, group: WidthGroup) -> int:
        """The neurons missing to the width that is due, or fewer if the author limits a step."""
        if group.target not in self.widths:
            return neurons_at_once(policy, group)
        limit = asked_at_once(policy, group)
        missing = self.missing(group)
        return missing if limit is None else min(missing, max(limit, group.unit))

    def relative_width(self, group: WidthGroup) -> float:
        """Features over the proportion."""
        return group.features / self.proportions.get(group.target, 1.0)

    def is_negligible(self, slope: float | None, steepest: float) -> bool:
        """One of less than a thousandth of the steepest."""
        return slope is not None and slope < _NEGLIGIBLE * steepest

    def missing(self, group: WidthGroup) -> int:
        """The neurons missing to the width that is due."""
        return max(0, self.widths.get(group.target, group.features) - group.features)

    def is_kept(self, groups: Sequence[WidthGroup]) -> bool:
        """True if nothing is missing; never without a budget."""
        return bool(self.widths) and not any(self.missing(group) for group in groups)


def tick_pace(graph: Graph, policy: Growth, first_widths: Mapping[str, int], ticks_left: int) -> TickPace:
    """The pace at a tick.

    Args:
        graph: the network as it is. policy: of the scheduler.
        first_widths: features that each group began with, by its target: their proportions are kept if no growing node
            says a `ratio`.
        ticks_left: this one included.
    """
    groups = growing_groups(graph, policy)
    told = any(group.grow.ratio != 1.0 for group in groups)
    proportions = {
        group.target: group.grow.ratio if told else float(first_widths.get(group.target, group.features))
        for group in groups
    }
    turns = turns_of(groups)
    if policy.groups is not None:
        turns = max(turns, math.ceil(len(groups) / policy.groups))
    # What compares queries and keys is as wide as its inputs allow, which no budget knows.
    wide = [group for group in groups if not group.matches]
    # Even steps ask a network of several positions for the same neurons again (docs/deciding.md, "More at first").
    share = Share(ticks_left, turns, early=any(graph.has_several_positions(group) for group in wide))
    due = due_widths(graph, wide, proportions, policy.stop, share) if wide else None
    return TickPace(proportions, due or {})


def growing_groups(graph: Graph, policy: Growth) -> list[WidthGroup]:
    """The groups that widening may grow."""
    if "widen" not in policy.actions:
        return []
    return [group for group in graph.groups if obstacle(graph, group, policy) is None]


@dataclass(frozen=True)
class Share:
    """The share of the rest of a budget that is due at a tick.

    Attributes:
        ticks_left: ticks that are left, this one included.
        turns: ticks that it takes until each group has had its turn, because groups that share a layer do not grow at
            one tick.
        early: whether more of a budget is due at the first ticks than at the last ones.
    """

    ticks_left: int
    turns: int
    early: bool = False

    @property
    def of_targets(self) -> float:
        """As much at each tick, between 0 and 1: at its turn a group grows for the ticks until its next one."""
        return min(1.0, self.turns / max(1, self.ticks_left))

    @property
    def of_budgets(self) -> float:
        """The same, or if they are due early, so much that the rest falls with the square of the ticks left."""
        return 1.0 - (1.0 - self.of_targets) ** 2 if self.early else self.of_targets


def turns_of(groups: Sequence[WidthGroup]) -> int:
    """The ticks until each group has grown once, if those of one tick share no layer."""
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
    """The cost that a network may have at a tick; None is no limit."""

    parameters: float | None
    madds: float | None

    def allows(self, cost: Cost) -> bool:
        return (self.parameters is None or cost.parameters <= self.parameters) and (
            self.madds is None or cost.madds <= self.madds
        )


def _due(now: int, budget: int | None, share: Share) -> float | None:
    return None if budget is None else now + (budget - now) * share.of_budgets


def _towards(group: WidthGroup, share: Share) -> int:
    """The width at this tick on the way to `grow.target`."""
    target = group.grow.target
    assert target is not None  # the caller asks for groups that have one
    missing = max(0, target - group.features)
    return _in_units(group, group.features + math.ceil(missing * share.of_targets))


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
    """True if a group may have one unit more."""
    more = _in_units(group, widths[group] + group.unit)
    return more > widths[group] and fits({**widths, group: more})
