"""Adapters: low-rank branches beside frozen layers, linear and without a bias, which can be merged into them.

An adapter of the layer W is two layers A and B: A reads what W reads, as W does, and gives `rank` features; B reads A
at each position by itself, and its output is added to that of W (docs/maths.md, "Adapters").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gromo_graph.errors import GraphError
from gromo_graph.graph.growth_edits import AddPath, free_name
from gromo_graph.graph.paths import Bridge, out_layer, sum_of
from gromo_graph.graph.view import Graph
from gromo_graph.spec.kinds import Convolution, Layer, Linear
from gromo_graph.spec.kinds.again import shared_by
from gromo_graph.spec.kinds.base import Grow


@dataclass(frozen=True)
class AdapterPlace:
    """A frozen layer beside which an adapter may stand.

    Attributes:
        layer: its name. bridge: from what it reads to the sum that it enters, or becomes.
    """

    layer: str
    bridge: Bridge


@dataclass(frozen=True)
class Adapter:
    """An adapter that is there.

    Attributes:
        layer: the frozen layer. down, up: the two layers of the adapter. total: the sum of both.
    """

    layer: str
    down: str
    up: str
    total: str


def is_linear_map(node: object) -> bool:
    """True for the kinds of layers that may have an adapter."""
    return isinstance(node, Linear | Convolution)


def adapter_places(graph: Graph) -> Iterator[AdapterPlace]:
    """The frozen layers that may have an adapter and have none; `grow: false` keeps one off."""
    shared = shared_by(graph.spec.nodes)
    for name, node in graph.spec.nodes.items():
        if not isinstance(node, Linear | Convolution) or not node.frozen or not isinstance(node.grow, Grow):
            continue
        if name in shared:
            continue
        if adapter_of(graph, name) is None:
            yield adapter_place(graph, name)


def adapter_place(graph: Graph, name: str) -> AdapterPlace:
    """The place beside one layer.

    Raises:
        GraphError: it is no linear or convolution layer, or another node has its weights too.
    """
    node = graph.spec.nodes.get(name)
    other = shared_by(graph.spec.nodes).get(name)
    if other is not None:
        raise GraphError(
            f"`{other}` has the weights of `{name}` too: expected a layer whose weights no other node has"
        )
    if not isinstance(node, Linear | Convolution):
        found = "no node" if node is None else f"a {node.kind} node"
        raise GraphError(f"`{name}` is {found}: expected a linear or convolution layer")
    reader = node.model_copy(
        update={"bias": False, "activation": "identity", "frozen": False, "grow": Grow()}
    )
    target = sum_of(graph, name) or name
    return AdapterPlace(name, Bridge(node.sources[0], target, False, False, reader))


def adapter_path(graph: Graph, place: AdapterPlace, rank: int) -> AddPath:
    """The edit that puts an adapter beside a layer: `layer.adapter` and `layer.adapter.out`."""
    reader = place.bridge.reader
    down = free_name(graph.spec, f"{place.layer}.adapter")
    up = free_name(graph.spec, f"{down}.out")
    first = reader.model_copy(update={"features": rank})
    nodes = (down, first), (up, out_layer(reader, down, bias=False))
    return AddPath(place.bridge.source, place.bridge.target, nodes)


def adapters(graph: Graph) -> list[Adapter]:
    """All adapters of a graph, in document order of their layers."""
    found = (adapter_of(graph, name) for name in graph.spec.nodes)
    return [each for each in found if each is not None]


def adapter_of(graph: Graph, name: str) -> Adapter | None:
    """The adapter beside a frozen layer, or None."""
    node = graph.spec.nodes[name]
    if not isinstance(node, Linear | Convolution) or not node.frozen:
        return None
    total = sum_of(graph, name)
    if total is None:
        return None
    for up in graph.sources(total):
        last = graph.spec.nodes[up]
        if not isinstance(last, Layer) or last.bias or sum_of(graph, up) != total:
            continue
        (down,) = last.sources
        first = graph.spec.nodes[down]
        if _reads_alike(first, node) and graph.readers(down) == (up,) and down not in graph.spec.outputs:
            expected = out_layer(node, down, bias=False).model_copy(update={"grow": last.grow})
            if last == expected.model_copy(update={"frozen": last.frozen}):
                return Adapter(name, down, up, total)
    return None


def _reads_alike(first: object, node: Layer) -> bool:
    """True if a layer reads the same as another in the same way, without a bias and an activation."""
    if not isinstance(first, Layer) or first.bias or first.activation != "identity":
        return False
    told = {key: getattr(node, key) for key in ("features", "bias", "frozen", "grow", "activation")}
    return first.model_copy(update=told) == node
