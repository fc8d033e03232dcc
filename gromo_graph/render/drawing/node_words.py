"""The words in the box of a node: sizes, kernel and stride, the amount of an output, the mark of what may grow."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gromo_graph.amounts import amount
from gromo_graph.graph import Graph, obstacle
from gromo_graph.render.numbers import count, shape
from gromo_graph.spec.kinds import Layer, Node

_WINDOW = re.compile(r"(\d+(×\d+)*|(stride|dilation) \d.*)$")


def features_added(added: int) -> str:
    """`+4 features`, `−1 feature`."""
    return f"{'+' if added > 0 else '−'}{amount(abs(added), 'feature')}"


def output_amount(graph: Graph, name: str) -> str:
    """The amount that an output gives: `10 classes`, `1 value`."""
    classes = graph.spec.train.loss == "cross_entropy"
    one, several = ("class", "classes") if classes else ("value", "values")
    return f"{shape(graph.shapes[name])} {one if graph.features(name) == 1 else several}"


def kind_words(graph: Graph, name: str, *, whole: bool = False) -> str:
    """The words beside the kind: sizes, kernel and stride, activation.

    Args:
        graph, name: of the node. whole: the whole shape of the output, for drawings whose edges do not say it.
    """
    sizes = shape(graph.shapes[name]) if whole else sizes_of(graph, name)
    return " · ".join(text for text in (sizes, *details_of(graph.spec.nodes[name])) if text)


def sizes_of(graph: Graph, name: str) -> str:
    """The sizes that stand in a node's box: features in → out; the edges say the whole shapes.

    A node that leaves the number of features as it is, such as a pool, has none; one that turns positions into
    features, such as a flatten, has both shapes.
    """
    node = graph.spec.nodes[name]
    after = graph.shapes[name]
    if not node.sources:
        return shape(after)
    before = graph.shapes[node.sources[0]]
    if isinstance(node, Layer):
        return f"{count(before[0])} → {count(after[0])}"
    return f"{shape(before)} → {shape(after)}" if before[0] != after[0] else ""


def details_of(node: Node) -> tuple[str, ...]:
    """Short words about a node: those of its window as one, `3×3, stride 2`, then the others."""
    window = [word for word in node.details if _WINDOW.match(word)]
    others = [word for word in node.details if not _WINDOW.match(word)]
    return (*([", ".join(window)] if window else []), *others)


def mark_of(limit: int | None) -> str:
    """The mark of a layer that may grow, up to a limit.

    >>> mark_of(None), mark_of(64)
    ('↑', '↑ max 64')
    """
    return "↑" if limit is None else f"↑ max {count(limit)}"


def growable(graph: Graph) -> Iterator[tuple[str, int | None]]:
    """The layers whose width group may still grow, each with the limit of its group."""
    for group in graph.groups:
        limit = group.grow.max
        if obstacle(graph, group) is None and (limit is None or group.features < limit):
            for name in group.producers:
                yield name, limit
