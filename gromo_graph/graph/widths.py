"""Width groups: the nodes whose widths must change together, and where their features stand."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import lcm, prod

from gromo_graph.graph.neighbours import Unit
from gromo_graph.graph.segments import Row
from gromo_graph.graph.width_flow import (
    FlowUnit,
    GroupPlace,
    GroupPlaces,
    WidthFlow,
    WidthStep,
    follow_widths,
    group_places,
)
from gromo_graph.spec.kinds import Layer, Merge, Node, Operation, Shape, WidthRule, is_frozen
from gromo_graph.spec.kinds.activation import activation_of
from gromo_graph.spec.kinds.again import shared_by
from gromo_graph.spec.kinds.base import Grow, is_affine
from gromo_graph.spec.kinds.index_select import IndexSelect
from gromo_graph.spec.model import Spec
from gromo_graph.spec.wording import listed


@dataclass(frozen=True)
class Selection:
    """An `index_select` that reads features of a group.

    Attributes:
        node: its name. places: where the features of the group stand in what it reads.
    """

    node: str
    places: tuple[GroupPlace, ...]

    def taken(self, spec: Spec) -> frozenset[int]:
        """The features of the group that it takes."""
        numbers = _selecting(spec, self.node).index
        return frozenset(each.feature(n) for n in numbers for each in self.places if each.holds(n))

    def widened(self, spec: Spec, neurons: int) -> IndexSelect:
        """The node once the group has more features, of which it takes none."""
        node = _selecting(spec, self.node)
        ends = [(each.end, neurons * each.repeat) for each in self.places]
        return node.renumbered(n + sum(added for end, added in ends if end <= n) for n in node.index)

    def without(self, spec: Spec, features: Collection[int]) -> IndexSelect:
        """The node once the group has lost some features, of which it takes none."""
        node = _selecting(spec, self.node)
        gone = [n for each in self.places for feature in features for n in each.numbers(feature)]
        return node.renumbered(n - sum(lost < n for lost in gone) for n in node.index)


def _selecting(spec: Spec, name: str) -> IndexSelect:
    node = spec.nodes[name]
    assert isinstance(node, IndexSelect)
    return node


@dataclass(frozen=True)
class WidthGroup:
    """Features that widen together.

    Attributes:
        producers: layers whose outputs are in the group, in document order.
        consumers: layers that read it, in document order.
        sites: the nodes that the consumers read.
        merges: merge nodes through which the group passes.
        operations: other nodes through which it passes: norms, pools, flatten and the like.
        jumps: those of them whose old outputs change at once when it grows (layer norms).
        matches: attentions whose query and key it is; it has no consumers then.
        selections: the nodes that take some of its features by their numbers.
        unit: new features come in multiples of this number (group norms).
        features: its width now.
        grow: the limits the author gave (of several producers: the tightest).
        reason: why it cannot grow, or None if nothing in the graph forbids it.
        places: where its features stand in the outputs of the network's units (graph/neighbours.py), and which of
            these places each consumer reads.
        parts: the groups it is made of, if the author has tied several to one width; else empty.
    """

    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    sites: tuple[str, ...]
    merges: tuple[str, ...]
    operations: tuple[str, ...]
    jumps: tuple[str, ...]
    unit: int
    features: int
    grow: Grow
    reason: str | None
    places: GroupPlaces = field(compare=False, repr=False)
    parts: tuple[WidthGroup, ...] = ()
    matches: tuple[str, ...] = ()
    selections: tuple[Selection, ...] = ()

    @property
    def layers(self) -> frozenset[str]:
        """The layers that change if it grows."""
        return frozenset((*self.producers, *self.consumers))

    @property
    def target(self) -> str:
        """The name the group goes by: its first producer in document order."""
        return self.producers[0]


def width_groups(
    spec: Spec, order: Sequence[str], shapes: Mapping[str, Shape], units: Mapping[str, Unit]
) -> tuple[WidthGroup, ...]:
    """All groups with at least one producer, in the document order of their first producers.

    Args:
        spec: the document. order: its nodes, each after those it reads. shapes: of each node's output.
        units: the modules of the network by key, in order.
    """
    flow = follow_widths(_step(name, spec.nodes[name], shapes) for name in order)
    for output in spec.outputs:
        flow.classes.refuse(flow.rows[output], f"its width is that of the output `{output}`")
    for other, name in shared_by(spec.nodes).items():
        for source in spec.nodes[other].sources:
            flow.classes.refuse(flow.rows[source], f"`{name}` has the weights of `{other}`, which reads it")
    found = _groups(spec, units, flow)
    ties = ties_of(spec)
    if not ties:
        return found
    for names in ties.values():
        flow.classes.tie(names)
    return tuple(_with_parts(group, found) for group in _groups(spec, units, flow))


def _step(name: str, node: Node, shapes: Mapping[str, Shape]) -> WidthStep[str]:
    """The rule by which the width of a node follows from those of its sources."""

    def why_fixed(row: Row[str]) -> str | None:
        reason = node.why_fixed(len(row), any(segment.repeat > 1 for segment in row))
        return None if reason is None else f"`{name}`: {reason}"

    rule = node.width_rule
    multiplies = isinstance(node, Merge) and node.merge == "product"
    title = f"the {'product' if multiplies else 'sum'} `{name}`"
    if rule is WidthRule.LAST:
        title = f"the {listed(node.source_names[:-1])} of `{name}`"
    return WidthStep(
        key=name,
        reads=node.sources,
        rule=rule,
        title=title,
        verb="multiplies" if multiplies else "adds",
        features=shapes[name][0],
        times=prod(shapes[node.sources[0]][1:]) if rule is WidthRule.REPEATED else 1,
        why_fixed=why_fixed,
        why_ends=node.why_ends(name) if rule in (WidthRule.FIXED, WidthRule.CHOSEN) else ("", ""),
    )


def ties_of(spec: Spec) -> Mapping[str, list[str]]:
    """The layers that carry each tie, in document order."""
    ties: dict[str, list[str]] = {}
    for name, node in spec.nodes.items():
        if isinstance(node, Layer) and isinstance(node.grow, Grow) and node.grow.tie is not None:
            ties.setdefault(node.grow.tie, []).append(name)
    return ties


def _with_parts(group: WidthGroup, connected: Sequence[WidthGroup]) -> WidthGroup:
    """A group of tied widths with the groups it is made of, and the first reason that one of them has."""
    parts = tuple(each for each in connected if each.target in group.producers)
    if len(parts) < 2:
        return group
    reason = next((why for part in parts if (why := _why_tied(part, parts[0])) is not None), group.reason)
    return replace(group, parts=parts, reason=reason)


def _why_tied(part: WidthGroup, first: WidthGroup) -> str | None:
    """Say why a part of tied widths cannot grow; None if it can."""
    if part.matches:
        return (
            f"`{part.target}` makes what `{part.matches[0]}` compares, which cannot be tied to other widths"
        )
    if part.reason is None or part is first:
        return part.reason
    return f"it is tied to `{part.target}`: {part.reason}"


def _groups(spec: Spec, units: Mapping[str, Unit], flow: WidthFlow[str]) -> tuple[WidthGroup, ...]:
    members = _members(spec, flow)
    reasons = flow.classes.reasons()
    places = group_places(flow, _flow_units(spec, units), _read_units(spec, units))
    return tuple(
        _group(spec, flow, found, places[root], reasons.get(root))
        for root, found in members.items()
        if found.producers
    )


def _flow_units(spec: Spec, units: Mapping[str, Unit]) -> Iterator[FlowUnit[str]]:
    """The units of the network as places need them."""
    for key, unit in units.items():
        rule = WidthRule.SHARED if unit.role == "fan_out" else spec.nodes[unit.node].width_rule
        match rule:
            case WidthRule.OWNED | WidthRule.FIXED | WidthRule.CHOSEN:
                reads: tuple[str, ...] = ()
            case WidthRule.LAST:
                reads = unit.reads[2:3]
            case _:
                reads = unit.reads
        yield FlowUnit(key, unit.last, rule, reads)


def _read_units(spec: Spec, units: Mapping[str, Unit]) -> Mapping[str, str]:
    """The unit that each layer reads, in document order."""
    return {name: units[name].reads[0] for name, node in spec.nodes.items() if isinstance(node, Layer)}


@dataclass
class _Members:
    """The nodes of a group, in document order."""

    producers: list[str] = field(default_factory=list)
    consumers: list[str] = field(default_factory=list)
    merges: list[str] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)
    matches: list[str] = field(default_factory=list)
    selections: dict[str, list[GroupPlace]] = field(default_factory=dict)


def _members(spec: Spec, flow: WidthFlow[str]) -> Mapping[str, _Members]:
    """The nodes of each group by the atom that stands for it, in the document order of the first producers."""
    members: dict[str, _Members] = {}

    def of(root: str) -> _Members:
        return members.setdefault(root, _Members())

    for name, node in spec.nodes.items():
        if isinstance(node, Layer):
            of(flow.classes.of(name)).producers.append(name)
            for root in flow.roots(node.sources[0]):
                of(root).consumers.append(name)
        elif isinstance(node, IndexSelect):
            start = 0
            for number, segment in enumerate(flow.rows[node.sources[0]]):
                at = GroupPlace(node.sources[0], number, start, segment.width, segment.repeat)
                of(flow.classes.of(segment.atom)).selections.setdefault(name, []).append(at)
                start = at.end
        elif node.sources:
            for root in flow.roots(name):
                found = of(root)
                (found.merges if node.drawn_as == "merge" else found.operations).append(name)
            if node.width_rule is WidthRule.LAST:
                for root in flow.roots(node.sources[0]):
                    of(root).matches.append(name)
    place = {name: index for index, name in enumerate(spec.nodes)}
    return dict(
        sorted(members.items(), key=lambda item: place[item[1].producers[0]] if item[1].producers else -1)
    )


def _group(
    spec: Spec, flow: WidthFlow[str], found: _Members, places: GroupPlaces, reason: str | None
) -> WidthGroup:
    layers = [node for name in found.producers if isinstance(node := spec.nodes[name], Layer)]
    return WidthGroup(
        producers=tuple(found.producers),
        consumers=tuple(found.consumers),
        sites=tuple(dict.fromkeys(spec.nodes[name].sources[0] for name in found.consumers)),
        merges=tuple(found.merges),
        operations=tuple(found.operations),
        jumps=tuple(name for name in found.operations if spec.nodes[name].jumps),
        unit=_unit(spec, flow, found, layers[0].features),
        features=layers[0].features,
        grow=_tightest([layer.grow for layer in layers if isinstance(layer.grow, Grow)]),
        reason=_why_fixed(spec, found, layers) if reason is None else reason,
        places=places,
        matches=tuple(found.matches),
        selections=tuple(Selection(node, tuple(at)) for node, at in found.selections.items()),
    )


def _why_fixed(spec: Spec, found: _Members, producers: Sequence[Layer]) -> str | None:
    """Say why a group cannot grow that no node forbids to; None if it can."""
    for name, layer in zip(found.producers, producers, strict=True):
        if not isinstance(layer.grow, Grow):
            return f"`{name}` says `grow: false`"
    for name in (*found.producers, *found.operations, *found.consumers):
        if is_frozen(spec.nodes[name]):
            return f"`{name}` is frozen: its weights stay as they are"
    if found.matches:
        return _why_no_match(spec, found)
    return None if found.consumers else "no layer reads it"


def _unit(spec: Spec, flow: WidthFlow[str], found: _Members, features: int) -> int:
    """New features come in multiples of this number: of what every operation of the group asks for."""
    units = [
        spec.nodes[name].unit(sum(segment.size for segment in flow.rows[name])) for name in found.operations
    ]
    units += [spec.nodes[name].unit(features) for name in found.matches]
    return lcm(*units)


def _why_no_match(spec: Spec, found: _Members) -> str | None:
    """Say why the query and the key of an attention cannot grow; None if they can.

    A new feature of both adds a product to their old ones only where a layer makes each of the two for this alone.
    """
    attention = found.matches[0]
    which = f"the query and the key of `{attention}`"
    makers = makers_of(spec, attention)
    if len(found.matches) > 1:
        return f"{which} are those of `{found.matches[1]}` too"
    others = [*found.merges, *(name for name in found.operations if not _passes(spec.nodes[name]))]
    if others or found.consumers:
        other = (*others, *found.consumers)[0]
        return f"{which} also pass `{other}`: expected two layers that `{attention}` alone reads"
    if set(found.producers) != set(makers) or len(found.producers) != 2:
        return f"{which} must be two layers that make nothing else"
    for name in makers:
        node = spec.nodes[name]
        if not is_affine(node):
            return f"`{name}` is no affine function of its input: expected one where `{attention}` compares"
        activation = activation_of(node)
        if activation != "identity":
            return f"`{name}` has the activation {activation}: expected none where `{attention}` compares"
    return None


def makers_of(spec: Spec, attention: str) -> tuple[str, ...]:
    """The nodes that make the query and the key of an attention, before rotary positions."""
    makers = []
    for name in spec.nodes[attention].sources[:2]:
        while _passes(spec.nodes[name]):
            (name,) = spec.nodes[name].sources
        makers.append(name)
    return tuple(makers)


def _passes(node: Node) -> bool:
    return isinstance(node, Operation) and node.passes_new_unchanged


def _tightest(limits: Sequence[Grow]) -> Grow:
    if len(limits) < 2:
        return limits[0] if limits else Grow()
    return Grow(
        max=min((limit.max for limit in limits if limit.max is not None), default=None),
        min=max((limit.min for limit in limits if limit.min is not None), default=None),
        step=min((limit.step for limit in limits if limit.step is not None), default=None),
        ratio=limits[0].ratio,
        target=min((limit.target for limit in limits if limit.target is not None), default=None),
        tie=next((limit.tie for limit in limits if limit.tie is not None), None),
        kernel=next((limit.kernel for limit in limits if limit.kernel is not None), None),
    )
