"""Width groups: the nodes whose widths must change together, with their producers, consumers and sites.

Every node's output is a row of segments; a segment is one width (an *atom*), repeated by each flatten. Layers make
a new atom and consume the atoms they read; sums, dropout and the like make the atoms of their inputs one; a concat puts
segments side by side. The groups are the classes of atoms made one (networkx union-find).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from networkx.utils import UnionFind

from gromo_graph.spec.kinds import Layer, Shape, WidthRule
from gromo_graph.spec.kinds.base import Grow
from gromo_graph.spec.model import Spec


@dataclass(frozen=True)
class WidthGroup:
    """What widens together.

    Attributes:
        producers: layers whose outputs are in the group, in document order.
        consumers: layers that read it.
        sites: the nodes that the consumers read.
        merges: merge nodes through which the group passes.
        features: its width now.
        grow: the limits the author gave (of several producers: the tightest).
        reason: why it cannot grow, or None where nothing in the graph forbids it.
    """

    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    sites: tuple[str, ...]
    merges: tuple[str, ...]
    features: int
    grow: Grow
    reason: str | None

    @property
    def target(self) -> str:
        """The name the group goes by: its first producer in document order."""
        return self.producers[0]


@dataclass(frozen=True)
class _Segment:
    atom: str
    width: int
    repeat: int

    def matches(self, other: _Segment) -> bool:
        """Whether the two can be added, feature by feature, and still can when both grow."""
        return (self.width, self.repeat) == (other.width, other.repeat)


def width_groups(spec: Spec, order: Sequence[str], shapes: Mapping[str, Shape]) -> tuple[WidthGroup, ...]:
    """All groups with at least one producer, in the document order of their first producers."""
    classes: UnionFind[str] = UnionFind()
    refused: dict[str, str] = {}
    segments: dict[str, tuple[_Segment, ...]] = {}
    for name in order:
        node = spec.nodes[name]
        inputs = [segments[source] for source in node.sources]
        match node.width_rule:
            case WidthRule.FIXED:
                refused[name] = f"its width is that of the input `{name}`"
                segments[name] = (_Segment(classes[name], shapes[name][0], 1),)
            case WidthRule.OWNED:
                segments[name] = (_Segment(classes[name], shapes[name][0], 1),)
            case WidthRule.SHARED:
                segments[name] = _made_one(name, inputs, classes, refused)
            case WidthRule.CONCATENATED:
                segments[name] = tuple(segment for row in inputs for segment in row)
            case WidthRule.REPEATED:
                positions = prod(shapes[node.sources[0]][1:])
                segments[name] = tuple(replace(s, repeat=s.repeat * positions) for s in inputs[0])
    for output in spec.outputs:
        for segment in segments[output]:
            refused.setdefault(segment.atom, f"its width is that of the output `{output}`")
    return _collect(spec, order, segments, classes, refused)


def _made_one(
    name: str, inputs: Sequence[tuple[_Segment, ...]], classes: UnionFind[str], refused: dict[str, str]
) -> tuple[_Segment, ...]:
    first = inputs[0]
    for row in inputs[1:]:
        if len(row) == len(first) and all(a.matches(b) for a, b in zip(first, row, strict=True)):
            for a, b in zip(first, row, strict=True):
                classes.union(a.atom, b.atom)
        else:
            for segment in (*first, *row):
                refused.setdefault(
                    segment.atom,
                    f"the sum `{name}` adds concatenations whose segments do not match one to one",
                )
    return first


def _collect(
    spec: Spec,
    order: Sequence[str],
    segments: Mapping[str, tuple[_Segment, ...]],
    classes: UnionFind[str],
    refused: Mapping[str, str],
) -> tuple[WidthGroup, ...]:
    place = {name: index for index, name in enumerate(spec.nodes)}
    producers: dict[str, list[str]] = {}
    consumers: dict[str, list[str]] = {}
    sites: dict[str, list[str]] = {}
    merges: dict[str, list[str]] = {}
    reasons: dict[str, str] = {}
    for atom, reason in refused.items():
        reasons.setdefault(classes[atom], reason)
    for name in sorted(order, key=place.__getitem__):
        node = spec.nodes[name]
        if isinstance(node, Layer):
            producers.setdefault(classes[name], []).append(name)
            for root in dict.fromkeys(classes[s.atom] for s in segments[node.sources[0]]):
                consumers.setdefault(root, []).append(name)
                sites.setdefault(root, []).append(node.sources[0])
        elif node.drawn_as == "merge":
            for root in dict.fromkeys(classes[s.atom] for s in segments[name]):
                merges.setdefault(root, []).append(name)
    return tuple(
        _group(
            spec, made, consumers.get(root, []), sites.get(root, []), merges.get(root, []), reasons.get(root)
        )
        for root, made in producers.items()
    )


def _group(
    spec: Spec,
    producers: list[str],
    consumers: list[str],
    sites: list[str],
    merges: list[str],
    reason: str | None,
) -> WidthGroup:
    layers = [spec.nodes[name] for name in producers]
    asked = [layer.grow for layer in layers if isinstance(layer, Layer)]
    fixed = [name for name, grow in zip(producers, asked, strict=True) if not isinstance(grow, Grow)]
    if reason is None and fixed:
        reason = f"`{fixed[0]}` says `grow: false`"
    if reason is None and not consumers:
        reason = "no layer reads it"
    first = layers[0]
    assert isinstance(first, Layer)
    return WidthGroup(
        producers=tuple(producers),
        consumers=tuple(consumers),
        sites=tuple(dict.fromkeys(sites)),
        merges=tuple(merges),
        features=first.features,
        grow=_tightest([grow for grow in asked if isinstance(grow, Grow)]),
        reason=reason,
    )


def _tightest(limits: Sequence[Grow]) -> Grow:
    if not limits:
        return Grow()
    return Grow(
        max=min((limit.max for limit in limits if limit.max is not None), default=None),
        min=max((limit.min for limit in limits if limit.min is not None), default=None),
        step=min((limit.step for limit in limits if limit.step is not None), default=None),
        ratio=limits[0].ratio,
    )
