"""What is said of a node in its box: sizes, what an output gives, and the mark of what may grow."""

from __future__ import annotations

from collections.abc import Iterator

from gromo_graph.graph import Graph, obstacle
from gromo_graph.render.highlights import plural
from gromo_graph.render.numbers import count, shape
from gromo_graph.spec.kinds import Layer


def features_added(added: int) -> str:
    """`+4 features`, `−1 feature`."""
    return f"{'+' if added > 0 else '−'}{count(abs(added))} {plural('feature', abs(added))}"


def output_amount(graph: Graph, name: str) -> str:
    """What an output gives: `10 classes`, `1 value`."""
    classes = graph.spec.train.loss == "cross_entropy"
    one, several = ("class", "classes") if classes else ("value", "values")
    return f"{shape(graph.shapes[name])} {one if graph.features(name) == 1 else several}"


def sizes_of(graph: Graph, name: str) -> str:
    """The sizes that stand in a node's box: in → out, or nothing where they stand on the edges already."""
    node = graph.spec.nodes[name]
    after = graph.shapes[name]
    sizes = shape(after)
    if node.sources and after != (source := graph.shapes[node.sources[0]]):
        return f"{shape(source)} → {sizes}"
    if isinstance(node, Layer):
        return f"{sizes} → {sizes}"
    return "" if node.sources else sizes


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
