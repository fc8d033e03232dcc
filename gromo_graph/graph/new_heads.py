"""New heads of attention: where one could stand beside those that are there, and its nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from gromo_graph.graph.growth_edits import AddPath
from gromo_graph.graph.paths import Bridge, NoBridge, out_layer, sum_of
from gromo_graph.graph.view import Graph
from gromo_graph.spec.kinds import Attention, Layer, Merge
from gromo_graph.spec.kinds.base import Grow, is_affine


@dataclass(frozen=True)
class HeadPlace:
    """A head to be like, and the sum that a new one would enter.

    Attributes:
        attention: of the head. query, key, value: its layers. out: the layer that reads it.
        bridge: from what the value reads into the sum of `out`, as the value would read it.
    """

    attention: str
    query: str
    key: str
    value: str
    out: str
    bridge: Bridge


def head_places(graph: Graph) -> Iterator[HeadPlace | NoBridge]:
    """One for each sum that heads enter and what they read; heads that others stand for already are passed over."""
    seen: set[tuple[object, ...]] = set()
    for name, node in graph.spec.nodes.items():
        if not isinstance(node, Attention):
            continue
        out = _out_of(graph, name)
        makers = [graph.spec.nodes[source] for source in node.sources]
        if out is None or len(makers) > 3 or not all(map(is_affine, makers)):  # a mask would be its too
            continue
        read = tuple(source for maker in makers for source in maker.sources)
        target = sum_of(graph, out) or out
        place = (read, target, *node.sight.values())
        if place not in seen:
            seen.add(place)
            query, key, value = node.sources
            bridge = _bridge(graph, name, target)
            if isinstance(bridge, Bridge):
                yield HeadPlace(name, query, key, value, out, bridge)
            else:
                yield bridge


def _out_of(graph: Graph, name: str) -> str | None:
    """The layer that alone reads an attention, or the concatenation of several."""
    readers = graph.readers(name)
    if len(readers) == 1:
        reader = graph.spec.nodes[readers[0]]
        if is_affine(reader):
            return readers[0]
        if isinstance(reader, Merge) and reader.merge == "concat" and reader.activation == "identity":
            return _out_of(graph, readers[0])
    return None


def _bridge(graph: Graph, attention: str, target: str) -> Bridge | NoBridge:
    value = graph.spec.nodes[graph.sources(attention)[2]]
    assert isinstance(value, Layer)
    source = value.sources[0]
    if graph.shapes[target][1:] != graph.shapes[attention][1:]:
        reason = f"`{target}` has other positions than `{attention}`"
        return NoBridge(source, target, has_edge=False, has_node=False, reason=reason)
    reader = value.model_copy(
        update={
            "features": graph.features(target),
            "bias": False,
            "activation": "identity",
            "grow": Grow(),
            "frozen": False,
        }
    )
    return Bridge(source, target, has_edge=False, has_node=False, reader=reader)


def head_name(graph: Graph) -> str:
    """The name of the next new head: `head.1`, `head.2`, ..."""
    taken = {".".join(name.split(".")[:2]) for name in graph.spec.nodes}
    return next(name for number in count(1) if (name := f"head.{number}") not in taken)


def new_head(graph: Graph, place: HeadPlace, features: int, compared: int) -> AddPath:
    """The edit that adds a head: layers like those of the one that it is like.

    Args:
        features: of the value. compared: of query and key.
    """
    spec, name = graph.spec, head_name(graph)
    fellow = spec.nodes[place.attention]
    assert isinstance(fellow, Attention)
    parts = {part: f"{name}.{part}" for part in ("query", "key", "value", "attention", "out")}

    def like(layer: str, width: int) -> Layer:
        node = spec.nodes[layer]
        assert isinstance(node, Layer)
        return node.model_copy(
            update={
                "features": width,
                "bias": True,
                "activation": "identity",
                "grow": Grow(),
                "frozen": False,
            }
        )

    return AddPath(
        place.bridge.source,
        place.bridge.target,
        (
            (parts["query"], like(place.query, compared)),
            (parts["key"], like(place.key, compared)),
            (parts["value"], like(place.value, features)),
            (
                parts["attention"],
                Attention(sources=(parts["query"], parts["key"], parts["value"]), **fellow.sight),
            ),
            (parts["out"], out_layer(place.bridge.reader, parts["attention"], bias=False)),
        ),
    )
