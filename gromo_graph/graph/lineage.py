"""The same feature before and after an edit: which old column of a layer each new one is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from gromo_graph.graph.view import Graph
from gromo_graph.spec.kinds import Layer, WidthRule
from gromo_graph.spec.kinds.index_select import IndexSelect

FeatureOrigin = frozenset[tuple[str, int, int]]
"""The features that are added up in one: (maker, feature of the maker, position after a flatten) of each.

Makers are layers, inputs, and what nothing grows through: transposes, imported modules.
"""


Feature = tuple[str, int]
"""A maker and one of its features."""


def lineage(
    graph: Graph, makers: Callable[[str], Sequence[Feature]] | None = None, through: Collection[str] = ()
) -> dict[str, tuple[FeatureOrigin, ...]]:
    """The origin of each feature of each node.

    Args:
        makers: for the features of a layer, an input or a fixed node, the name and the feature that the origin of each
            is called by; by default these themselves.
        through: layers that begin as the identity: their first features are those that they read.

    >>> from gromo_graph.graph import build_graph
    >>> from gromo_graph.spec import parse_spec
    >>> graph = build_graph(parse_spec('''
    ... nodes:
    ...   x: {kind: input, shape: [2]}
    ...   a: {kind: linear, from: x, features: 1}
    ...   b: {kind: merge, from: [x, a], merge: concat}
    ... output: b
    ... '''))
    >>> [sorted(origin) for origin in lineage(graph)["b"]]
    [[('x', 0, 0)], [('x', 1, 0)], [('a', 0, 0)]]
    """
    found: dict[str, tuple[FeatureOrigin, ...]] = {}
    for name in graph.order:
        node = graph.spec.nodes[name]
        inputs = [found[source] for source in node.sources]
        if isinstance(node, Layer) or node.width_rule is WidthRule.FIXED:
            made = makers(name) if makers else [(name, place) for place in range(graph.features(name))]
            own = tuple(frozenset({(layer, feature, 0)}) for layer, feature in made)
            passing = inputs[0] if name in through and len(inputs[0]) <= len(own) else ()
            found[name] = (*passing, *own[len(passing) :])
        elif isinstance(node, IndexSelect):
            found[name] = tuple(inputs[0][place] for place in node.index)
        else:
            found[name] = _PASSED.get(node.width_rule, _united)(inputs, graph.features(name))
    return found


_Inputs = Sequence[tuple[FeatureOrigin, ...]]


def _concatenated(inputs: _Inputs, _: int) -> tuple[FeatureOrigin, ...]:
    return tuple(origin for features in inputs for origin in features)


def _repeated(inputs: _Inputs, features: int) -> tuple[FeatureOrigin, ...]:
    positions = features // len(inputs[0])
    return tuple(
        frozenset((layer, feature, place * positions + position) for layer, feature, place in origin)
        for origin in inputs[0]
        for position in range(positions)
    )


def _united(inputs: _Inputs, _: int) -> tuple[FeatureOrigin, ...]:
    return tuple(frozenset().union(*origins) for origins in zip(*inputs, strict=True))


_PASSED: Mapping[WidthRule, Callable[[_Inputs, int], tuple[FeatureOrigin, ...]]] = {
    WidthRule.CONCATENATED: _concatenated,
    WidthRule.REPEATED: _repeated,
    WidthRule.LAST: lambda inputs, _: inputs[2],
}
"""The origins of the features of an operation out of those of its inputs; those of others are united."""


def places(new: Sequence[FeatureOrigin], old: Sequence[FeatureOrigin]) -> tuple[int, ...]:
    """The place that each new feature had among the old ones; −1 if it had none.

    >>> a, b = frozenset({("a", 0, 0)}), frozenset({("b", 0, 0)})
    >>> places([b, a, frozenset({("c", 0, 0)})], [a, b])
    (1, 0, -1)
    """
    index = {part: place for place, origin in reversed(list(enumerate(old))) for part in origin}
    taken: set[int] = set()
    found = []
    for origin in new:
        known = sorted({index[part] for part in origin if part in index} - taken)
        found.append(known[0] if known else -1)
        taken.update(known[:1])
    return tuple(found)
