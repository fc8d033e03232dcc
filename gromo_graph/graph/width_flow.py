"""The propagation of widths through a network, and the places of each width group.

A network is described by steps, each of which makes a row of segments from the rows that it reads, and by the units
(modules) whose outputs some of these rows are. The nodes of a spec are described this way (graph/widths.py), and so are
modules that someone has linked by hand (modules/hand_links.py): both get their groups from the functions here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gromo_graph.graph.segments import Classes, Row, Segment, repeated
from gromo_graph.spec.kinds import WidthRule

Key = TypeVar("Key", bound=Hashable)


def _never(row: Row[Key]) -> str | None:
    return None


@dataclass(frozen=True)
class WidthStep(Generic[Key]):
    """The width of one output as it follows from its inputs.

    Attributes:
        key: of the output. reads: keys of what is read, in order. rule: how the width follows.
        title: the name of the step in messages, such as "the sum `join`". verb: what it does with what it reads.
        features: its own width, for the rules FIXED, CHOSEN and OWNED.
        times: for the rule REPEATED, the neighbouring features that each feature becomes.
        why_fixed: says of the row that passes why it cannot grow, or None.
        why_ends: for the rules FIXED and CHOSEN, why what it reads cannot grow, and why its output cannot.
    """

    key: Key
    reads: tuple[Key, ...]
    rule: WidthRule
    title: str
    verb: str = "adds"
    features: int = 0
    times: int = 1
    why_fixed: Callable[[Row[Key]], str | None] = _never
    why_ends: tuple[str, str] = ("", "")

    @property
    def mismatch(self) -> str:
        """The words for rows that cannot be added."""
        return f"{self.title} {self.verb} concatenations whose segments do not match one to one"


@dataclass(frozen=True)
class WidthFlow(Generic[Key]):
    """The row of each step, and the classes of atoms whose widths must change together."""

    rows: Mapping[Key, Row[Key]]
    classes: Classes[Key]

    def roots(self, key: Key) -> tuple[Key, ...]:
        """The classes that have features in the row of a step, in the order in which these stand there."""
        return tuple(dict.fromkeys(self.classes.of(segment.atom) for segment in self.rows[key]))


def follow_widths(steps: Iterable[WidthStep[Key]]) -> WidthFlow[Key]:
    """The rows of steps that stand in order, each after those it reads."""
    classes: Classes[Key] = Classes()
    rows: dict[Key, Row[Key]] = {}
    for step in steps:
        rows[step.key] = _row(step, [rows[key] for key in step.reads], classes)
    return WidthFlow(rows, classes)


def _row(step: WidthStep[Key], inputs: Sequence[Row[Key]], classes: Classes[Key]) -> Row[Key]:
    match step.rule:
        case WidthRule.FIXED:
            row: Row[Key] = (Segment(step.key, step.features),)
            before, behind = step.why_ends
            classes.refuse(row, behind)
            for each in inputs:
                classes.refuse(each, before)
            return row
        case WidthRule.CHOSEN:  # what it reads may grow
            row = (Segment(step.key, step.features),)
            _, behind = step.why_ends
            classes.refuse(row, behind)
        case WidthRule.OWNED:
            row = (Segment(step.key, step.features),)
        case WidthRule.SHARED:
            # One feature may multiply many: the row is that of the many.
            widest = sorted(inputs, key=lambda each: -sum(segment.size for segment in each))
            row = classes.add_up(widest, step.mismatch) if inputs[1:] else inputs[0]
        case WidthRule.LAST:
            *compared, row = inputs[:3]
            classes.add_up(compared, step.mismatch)
            for mask in inputs[3:]:
                classes.refuse(mask, f"{step.title} are masked by it")
        case WidthRule.CONCATENATED:
            row = tuple(segment for each in inputs for segment in each)
        case WidthRule.REPEATED:
            row = inputs[0]
    reason = step.why_fixed(row)
    if reason is not None:
        classes.refuse(row, reason)
    return repeated(row, step.times) if step.rule is WidthRule.REPEATED else row


@dataclass(frozen=True)
class GroupPlace:
    """A place where the features of a group stand in the output of a unit.

    Attributes:
        unit: whose output. segment: the segment of the output, counted from 0.
        start: features before the segment. width: features of the group. repeat: values that each of them becomes.
    """

    unit: str
    segment: int
    start: int
    width: int
    repeat: int

    @property
    def end(self) -> int:
        """The place before which new features are inserted."""
        return self.start + self.width * self.repeat

    def holds(self, number: int) -> bool:
        """True if the value with this number is one of the group's."""
        return self.start <= number < self.end

    def feature(self, number: int) -> int:
        """The feature of the group that a value belongs to."""
        return (number - self.start) // self.repeat

    def numbers(self, feature: int) -> range:
        """The numbers of the values of a feature."""
        return range(self.start + feature * self.repeat, self.start + (feature + 1) * self.repeat)


@dataclass(frozen=True)
class FlowUnit(Generic[Key]):
    """A module of the network.

    Attributes:
        unit: its key. output: the step whose row it returns.
        rule: of its first step; a layer has OWNED, and nothing grows in the output of a unit with FIXED or CHOSEN.
        reads: the units whose features it hands on; none for a layer.
    """

    unit: str
    output: Key
    rule: WidthRule
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupPlaces:
    """The places of the features of one group.

    Attributes:
        flow: each place, after those whose values are added up in it. Features start at places without any.
        reads: for each consumer the places that it reads, in the order of its input.
    """

    flow: Mapping[GroupPlace, tuple[GroupPlace, ...]] = field(default_factory=dict)
    reads: Mapping[str, tuple[GroupPlace, ...]] = field(default_factory=dict)

    @property
    def units(self) -> tuple[str, ...]:
        """The units that have the features in their outputs, each once, in the order of the flow."""
        return tuple(dict.fromkeys(place.unit for place in self.flow))


def group_places(
    flow: WidthFlow[Key], units: Iterable[FlowUnit[Key]], consumers: Mapping[str, str]
) -> Mapping[Key, GroupPlaces]:
    """The places of every group, by the atom that stands for its class.

    Args:
        flow: rows and classes. units: in order, each after those it reads.
        consumers: for each layer that reads something the unit it reads.
    """
    places: dict[str, list[_RootAndPlace[Key]]] = {}
    flows: dict[Key, dict[GroupPlace, tuple[GroupPlace, ...]]] = {}
    fixed: set[str] = set()
    for unit in units:
        places[unit.unit] = list(_places(unit, flow))
        if unit.rule in (WidthRule.FIXED, WidthRule.CHOSEN):
            fixed.add(unit.unit)
            continue
        sources = _sources(unit, places)
        for root, place in places[unit.unit]:
            before = sources.get(place.segment, ())
            flows.setdefault(root, {})[place] = tuple(
                each for other, each in before if other == root and each.unit not in fixed
            )
    reads: dict[Key, dict[str, tuple[GroupPlace, ...]]] = {}
    for consumer, source in consumers.items():
        for root, place in places[source] if source not in fixed else ():
            of_group = reads.setdefault(root, {})
            of_group[consumer] = (*of_group.get(consumer, ()), place)
    return {root: GroupPlaces(found, reads.get(root, {})) for root, found in flows.items()}


_RootAndPlace = tuple[Key, GroupPlace]
"""A place with the class of its features."""


def _places(unit: FlowUnit[Key], flow: WidthFlow[Key]) -> Iterator[_RootAndPlace[Key]]:
    """The segments of an output, each with the class it belongs to."""
    start = 0
    for index, segment in enumerate(flow.rows[unit.output]):
        place = GroupPlace(unit.unit, index, start, segment.width, segment.repeat)
        yield flow.classes.of(segment.atom), place
        start += segment.size


def _sources(
    unit: FlowUnit[Key], places: Mapping[str, Sequence[_RootAndPlace[Key]]]
) -> Mapping[int, list[_RootAndPlace[Key]]]:
    """The places that each segment of an output is the sum of."""
    found: dict[int, list[_RootAndPlace[Key]]] = {}
    before = 0
    for source in unit.reads:
        for root, place in places[source]:
            found.setdefault(before + place.segment, []).append((root, place))
        before += len(places[source]) if unit.rule is WidthRule.CONCATENATED else 0
    return found
