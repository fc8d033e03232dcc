"""The paths that could be added to a graph: from which node into which sum, and by what layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import networkx as nx

from gromo_graph.graph.costs import Cost
from gromo_graph.graph.growth_edits import AddPath, NewNodes, free_name
from gromo_graph.graph.view import Graph
from gromo_graph.spec.kinds import (
    Conv1d,
    Conv2d,
    Convolution,
    ConvTranspose,
    Layer,
    Linear,
    Merge,
    Node,
    Shape,
)
from gromo_graph.spec.kinds.activation import Activation, activation_of
from gromo_graph.spec.kinds.again import shared_by
from gromo_graph.spec.kinds.base import Grow, is_affine
from gromo_graph.spec.kinds.index_select import IndexSelect
from gromo_graph.spec.token_inputs import vocabularies


@dataclass(frozen=True)
class Pair:
    """A node that could be read, and one into whose sum a new path could lead.

    Attributes:
        source, target: the two nodes.
        has_edge, has_node: whether there is a layer from one into the sum of the other already, or two of them with
            some features between.
    """

    source: str
    target: str
    has_edge: bool
    has_node: bool


@dataclass(frozen=True)
class Bridge(Pair):
    """A pair with a layer that fits.

    Attributes:
        reader: reads the source as a new edge would, features of the target, without a bias and an activation.
        taken: features of the source that edges into the sum read already by their numbers.
    """

    reader: Layer
    taken: frozenset[int] = frozenset()


@dataclass(frozen=True)
class NoBridge(Pair):
    """A pair that no layer fits between; `reason` says why."""

    reason: str


def bridges(graph: Graph) -> Iterator[Bridge | NoBridge]:
    """Every pair of nodes between which a path may be added, targets in document order, then sources.

    A source is where a value is read by others, a target is a layer or a sum; layers that just enter a sum are neither,
    for the sum is what counts. No path leads back.
    """
    parts = {name for name in graph.spec.nodes if sum_of(graph, name) is not None}
    # What operations are folded into does not leave its module: the value of the last of them does.
    ids = vocabularies(graph.spec.nodes)  # token ids are no values that a layer could weigh
    hidden = {*parts, *ids, *(n for n, node in graph.spec.nodes.items() if isinstance(node, IndexSelect))}
    sources = [name for name in graph.spec.nodes if name in graph.ends and name not in hidden]
    shared = shared_by(graph.spec.nodes)
    for target, node in graph.spec.nodes.items():
        adds = isinstance(node, Merge) and node.merge == "sum"
        if target in parts or target in shared or not (adds or is_affine(node)):
            continue
        behind = nx.descendants(graph.digraph, target) | {target}
        entering = _entering(graph, target)
        for source in sources:
            if source not in behind:
                yield _bridge(graph, source, target, entering)


def _bridge(graph: Graph, source: str, target: str, entering: frozenset[str]) -> Bridge | NoBridge:
    reader = _reader(graph, source, target)
    taken = _taken(graph, entering, source)
    has_edge = source in graph.sources(target) or _reads(graph, entering, source)
    has_edge = has_edge or len(taken) == graph.features(source)
    has_node = any(
        _reads(graph, _entering(graph, middle), source) for name in entering for middle in graph.sources(name)
    )
    if isinstance(reader, str):
        return NoBridge(source, target, has_edge, has_node, reader)
    return Bridge(source, target, has_edge, has_node, reader, taken)


def _taken(graph: Graph, layers: frozenset[str], source: str) -> frozenset[int]:
    """The features of a node that some of these layers read by their numbers."""
    read = (graph.spec.nodes[name] for layer in layers for name in graph.sources(layer))
    chosen = (node for node in read if isinstance(node, IndexSelect) and node.sources == (source,))
    return frozenset(number for node in chosen for number in node.index)


def _reads(graph: Graph, layers: frozenset[str], source: str) -> bool:
    """True if one of these layers reads a node."""
    return any(graph.sources(name) == (source,) for name in layers)


def sum_of(graph: Graph, name: str) -> str | None:
    """The sum that a layer enters and does nothing else, without an activation of its own; None for other nodes."""
    node, readers = graph.spec.nodes[name], graph.readers(name)
    if not is_affine(node) or node.activation != "identity" or len(readers) != 1:
        return None
    reader = graph.spec.nodes[readers[0]]
    adds = isinstance(reader, Merge) and reader.merge == "sum"
    return readers[0] if adds and name not in graph.spec.outputs else None


def _entering(graph: Graph, target: str) -> frozenset[str]:
    """The layers whose outputs are added up at a node, itself if it is a layer."""
    if isinstance(graph.spec.nodes[target], Layer):
        return frozenset((target,))
    return frozenset(name for name in graph.sources(target) if sum_of(graph, name) == target)


def _reader(graph: Graph, source: str, target: str) -> Layer | str:
    """The layer of a new edge, or why there is none."""
    given, wanted = graph.shapes[source], graph.shapes[target]
    features = wanted[0]
    if len(given) == len(wanted) == 1:
        return Linear(sources=(source,), features=features, bias=False)
    if len(given) != len(wanted):
        return f"`{source}` is {_form(given)} and `{target}` is {_form(wanted)}"
    node = graph.spec.nodes[target]
    if isinstance(node, Convolution | ConvTranspose):
        alike = node.model_copy(
            update={
                "sources": (source,),
                "bias": False,
                "activation": "identity",
                "grow": Grow(),
                "frozen": False,
            }
        )
        if _slides_to(alike, given, wanted):
            return alike
    kind = {1: Conv1d, 2: Conv2d}[len(wanted) - 1]
    for stride in range(1, max(given[1:]) + 1):
        point: Convolution = kind(sources=(source,), features=features, kernel=1, stride=stride, bias=False)
        if _slides_to(point, given, wanted):
            return point
    return (
        f"no stride leads from {list(given[1:])} positions of `{source}` to {list(wanted[1:])} of `{target}`"
    )


def _slides_to(layer: Convolution | ConvTranspose, given: Shape, wanted: Shape) -> bool:
    return tuple(axis.outputs(size) for axis, size in zip(layer.axes, given[1:], strict=True)) == wanted[1:]


def _form(shape: Shape) -> str:
    return "a row of features" if len(shape) == 1 else f"an image of {len(shape) - 1} axes"


def usual_activation(graph: Graph) -> Activation:
    """The activation that most nodes of a graph have; relu if none has one."""
    named = [activation_of(node) for node in graph.spec.nodes.values()]
    found = Counter(activation for activation in named if activation != "identity")
    return found.most_common(1)[0][0] if found else "relu"


def new_edge(graph: Graph, bridge: Bridge, features: Sequence[int] = ()) -> AddPath:
    """The edit that adds one layer, `source.to.target`, without a bias.

    Args:
        features: of the source that the layer reads, by an `index_select` before it; none for all.
    """
    name = free_name(graph.spec, f"{bridge.source}.to.{bridge.target}")
    if not features:
        return AddPath(bridge.source, bridge.target, ((name, bridge.reader),))
    selection = free_name(graph.spec, f"{name}.features")
    layer = bridge.reader.model_copy(update={"sources": (selection,)})
    selecting = IndexSelect(sources=(bridge.source,), index=tuple(features))
    return AddPath(bridge.source, bridge.target, ((selection, selecting), (name, layer)))


@dataclass(frozen=True)
class Middle:
    """The kind of layer of a new node.

    Attributes:
        name, activation: of its layer.
        shifts: the activation is not 0 at 0, so that the layer behind needs a bias to take that back; else the bias
            that the target has already is enough.
    """

    name: str
    activation: Activation
    shifts: bool


def new_node(graph: Graph, bridge: Bridge, middle: Middle, neurons: int) -> AddPath:
    """The edit that adds a layer of some neurons, and one from there into the target, `new.1.to.target`."""
    first = bridge.reader.model_copy(
        update={"features": neurons, "bias": True, "activation": middle.activation}
    )
    last = free_name(graph.spec, f"{middle.name}.to.{bridge.target}")
    return AddPath(
        bridge.source,
        bridge.target,
        ((middle.name, first), (last, out_layer(bridge.reader, middle.name, bias=middle.shifts))),
    )


def middle_name(graph: Graph) -> str:
    """The name of the next new node: `new.1`, `new.2`, ..."""
    return next(name for number in count(1) if (name := f"new.{number}") not in graph.spec.nodes)


def out_layer(reader: Layer, source: str, *, bias: bool) -> Layer:
    """The layer from new neurons, which stand at the positions of the target, into its sum."""
    update = {"sources": (source,), "bias": bias, "activation": "identity", "grow": Grow()}
    return reader.pointwise().model_copy(update=update)


def path_cost(graph: Graph, path: NewNodes) -> Cost:
    """The cost of the new nodes; a sum costs nothing."""
    parameters = madds = 0
    for _, node, inputs in with_inputs(graph, path):
        parameters += node.parameter_count(inputs)
        madds += node.multiply_adds(inputs)
    return Cost(parameters, madds)


def with_inputs(graph: Graph, path: NewNodes) -> Iterator[tuple[str, Node, list[Shape]]]:
    """The new nodes of a path, each with the shapes of what it reads."""
    shapes = dict(graph.shapes)
    for name, node in path.nodes:
        inputs = [shapes[source] for source in node.sources]
        yield name, node, inputs
        shapes[name] = node.output_shape(inputs)
