"""Width groups: the nodes whose widths must change together, with their producers, consumers and sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import lcm, prod

from gromo_graph.graph.segments import Classes, Row, Segment, repeated
from gromo_graph.spec.kinds import Layer, Shape, WidthRule
from gromo_graph.spec.kinds.base import Grow
from gromo_graph.spec.model import Spec
from gromo_graph.spec.wording import listed


@dataclass(frozen=True)
class WidthGroup:
    """What widens together.

    Attributes:
        producers: layers whose outputs are in the group, in document order.
        consumers: layers that read it.
        sites: the nodes that the consumers read.
        merges: merge nodes through which the group passes.
        operations: other nodes through which it passes: norms, pools, flatten and the like.
        jumps: those of them whose old outputs change at once when it grows (layer norms).
        matches: attentions whose query and key it is; it has no consumers then.
        unit: new features come in multiples of this number (group norms).
        features: its width now.
        grow: the limits the author gave (of several producers: the tightest).
        reason: why it cannot grow, or None where nothing in the graph forbids it.
        parts: the groups it is made of, where the author has tied several to one width; else empty.
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
    parts: tuple[WidthGroup, ...] = ()
    matches: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The name the group goes by: its first producer in document order."""
        return self.producers[0]


def width_groups(spec: Spec, order: Sequence[str], shapes: Mapping[str, Shape]) -> tuple[WidthGroup, ...]:
    """All groups with at least one producer, in the document order of their first producers."""
    classes: Classes[str] = Classes()
    rows: dict[str, Row[str]] = {}
    for name in order:
        node = spec.nodes[name]
        inputs = [rows[source] for source in node.sources]
        match node.width_rule:
            case WidthRule.FIXED:
                rows[name] = (Segment(name, shapes[name][0]),)
                why_before, why_behind = node.why_ends(name)
                classes.refuse(rows[name], why_behind)
                for row in inputs:
                    classes.refuse(row, why_before)
            case WidthRule.OWNED:
                rows[name] = (Segment(name, shapes[name][0]),)
            case WidthRule.SHARED:
                sums = f"the sum `{name}` adds concatenations whose segments do not match one to one"
                rows[name] = classes.add_up(inputs, sums)
                fixed = node.why_fixed(len(rows[name]), any(segment.repeat > 1 for segment in rows[name]))
                if fixed is not None:
                    classes.refuse(rows[name], f"`{name}`: {fixed}")
            case WidthRule.LAST:
                *compared, rows[name] = inputs
                which = f"the {listed(node.source_names[:-1])} of `{name}`"
                classes.add_up(compared, f"{which} are concatenations whose segments do not match one to one")
                fixed = node.why_fixed(len(rows[name]), any(segment.repeat > 1 for segment in rows[name]))
                if fixed is not None:
                    classes.refuse(rows[name], f"`{name}`: {fixed}")
            case WidthRule.CONCATENATED:
                rows[name] = tuple(segment for row in inputs for segment in row)
            case WidthRule.REPEATED:
                rows[name] = repeated(inputs[0], prod(shapes[node.sources[0]][1:]))
    for output in spec.outputs:
        classes.refuse(rows[output], f"its width is that of the output `{output}`")
    found = _collect(spec, order, rows, classes)
    ties = ties_of(spec)
    if not ties:
        return found
    for names in ties.values():
        classes.tie(names)
    return tuple(_with_parts(group, found) for group in _collect(spec, order, rows, classes))


def ties_of(spec: Spec) -> Mapping[str, list[str]]:
    """The layers that carry each tie, in document order."""
    ties: dict[str, list[str]] = {}
    for name, node in spec.nodes.items():
        if isinstance(node, Layer) and isinstance(node.grow, Grow) and node.grow.tie is not None:
            ties.setdefault(node.grow.tie, []).append(name)
    return ties


def _with_parts(group: WidthGroup, connected: Sequence[WidthGroup]) -> WidthGroup:
    parts = tuple(each for each in connected if each.target in group.producers)
    if len(parts) < 2:
        return group
    reason = group.reason
    for part in parts:
        if part.matches:
            reason = f"`{part.target}` makes what `{part.matches[0]}` compares, which cannot be tied to other widths"
            break
        if part.reason is not None:
            reason = f"it is tied to `{part.target}`: {part.reason}" if part is not parts[0] else part.reason
            break
    return replace(group, parts=parts, reason=reason)


def _collect(
    spec: Spec, order: Sequence[str], rows: Mapping[str, Row[str]], classes: Classes[str]
) -> tuple[WidthGroup, ...]:
    place = {name: index for index, name in enumerate(spec.nodes)}
    members: dict[str, _Members] = {}
    for name in sorted(order, key=place.__getitem__):
        node = spec.nodes[name]
        if isinstance(node, Layer):
            members.setdefault(classes.of(name), _Members()).producers.append(name)
            for root in _roots(rows[node.sources[0]], classes):
                members.setdefault(root, _Members()).consumers.append(name)
        elif node.sources:
            for root in _roots(rows[name], classes):
                found = members.setdefault(root, _Members())
                (found.merges if node.drawn_as == "merge" else found.operations).append(name)
            if node.width_rule is WidthRule.LAST:
                for root in _roots(rows[node.sources[0]], classes):
                    members.setdefault(root, _Members()).matches.append(name)
    reasons = classes.reasons()
    made = ((root, found) for root, found in members.items() if found.producers)
    groups = (_group(spec, rows, found, reasons.get(root)) for root, found in made)
    return tuple(sorted(groups, key=lambda group: place[group.target]))


class _Members:
    def __init__(self) -> None:
        self.producers: list[str] = []
        self.consumers: list[str] = []
        self.merges: list[str] = []
        self.operations: list[str] = []
        self.matches: list[str] = []


def _roots(row: Row[str], classes: Classes[str]) -> Sequence[str]:
    return list(dict.fromkeys(classes.of(segment.atom) for segment in row))


def _group(spec: Spec, rows: Mapping[str, Row[str]], found: _Members, reason: str | None) -> WidthGroup:
    layers = [spec.nodes[name] for name in found.producers]
    asked = [layer.grow for layer in layers if isinstance(layer, Layer)]
    fixed = [name for name, grow in zip(found.producers, asked, strict=True) if not isinstance(grow, Grow)]
    if reason is None and fixed:
        reason = f"`{fixed[0]}` says `grow: false`"
    if reason is None and found.matches:
        reason = _why_no_match(spec, found)
    elif reason is None and not found.consumers:
        reason = "no layer reads it"
    first = layers[0]
    assert isinstance(first, Layer)
    units = [spec.nodes[name].unit(sum(segment.size for segment in rows[name])) for name in found.operations]
    units += [spec.nodes[name].unit(first.features) for name in found.matches]
    return WidthGroup(
        producers=tuple(found.producers),
        consumers=tuple(found.consumers),
        sites=tuple(dict.fromkeys(spec.nodes[name].sources[0] for name in found.consumers)),
        merges=tuple(found.merges),
        operations=tuple(found.operations),
        jumps=tuple(name for name in found.operations if spec.nodes[name].jumps),
        unit=lcm(*units),
        features=first.features,
        grow=_tightest([grow for grow in asked if isinstance(grow, Grow)]),
        reason=reason,
        matches=tuple(found.matches),
    )


def _why_no_match(spec: Spec, found: _Members) -> str | None:
    """Why the query and the key of an attention cannot grow, or None.

    A new feature of both adds a product to their old ones only where a layer makes each of the two for this alone.
    """
    attention = found.matches[0]
    which = f"the query and the key of `{attention}`"
    makers = spec.nodes[attention].sources[:2]
    if len(found.matches) > 1:
        return f"{which} are those of `{found.matches[1]}` too"
    if found.consumers or found.merges or found.operations:
        other = (*found.merges, *found.operations, *found.consumers)[0]
        return f"{which} also pass `{other}`: expected two layers that `{attention}` alone reads"
    if set(found.producers) != set(makers) or len(found.producers) != 2:
        return f"{which} must be two layers that make nothing else"
    for name in makers:
        activation = getattr(spec.nodes[name], "activation", "identity")
        if activation != "identity":
            return f"`{name}` has the activation {activation}: expected none where `{attention}` compares"
    return None


def _tightest(limits: Sequence[Grow]) -> Grow:
    if not limits:
        return Grow()
    return Grow(
        max=min((limit.max for limit in limits if limit.max is not None), default=None),
        min=max((limit.min for limit in limits if limit.min is not None), default=None),
        step=min((limit.step for limit in limits if limit.step is not None), default=None),
        ratio=limits[0].ratio,
        tie=next((limit.tie for limit in limits if limit.tie is not None), None),
        kernel=next((limit.kernel for limit in limits if limit.kernel is not None), None),
    )
