"""Graph: the networkx view of a spec, with everything that follows from it without weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import networkx as nx

from gromo_graph.amounts import amount
from gromo_graph.display import Displayed
from gromo_graph.errors import GraphError
from gromo_graph.graph.call_order import Call, ordered_calls
from gromo_graph.graph.neighbours import Unit, resolve_units
from gromo_graph.graph.widths import WidthGroup, width_groups
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.model import Spec, ends_of
from gromo_graph.spec.order import reading_graph, topological_order
from gromo_graph.spec.shapes import infer_shapes


@dataclass(frozen=True)
class Edge:
    """`source -> target` between two nodes; the id stays the same when widths grow."""

    source: str
    target: str

    @property
    def id(self) -> str:
        """`"source->target"`."""
        return f"{self.source}->{self.target}"


@dataclass(frozen=True, eq=False)
class Graph(Displayed):
    """A spec with its order, shapes, links and width groups.

    Attributes:
        spec: what the graph was built from.
        order: node names, every node after its sources, ties in the order of the document.
        shapes: each node's output shape without the batch.
        digraph: the networkx graph: an edge for each reading.
    """

    spec: Spec
    order: tuple[str, ...]
    shapes: Mapping[str, Shape]
    digraph: nx.DiGraph[str]

    @cached_property
    def units(self) -> Mapping[str, Unit]:
        """The modules of the network and what is previous and next to which (graph/neighbours.py)."""
        return resolve_units(self.spec, self.order)

    @cached_property
    def groups(self) -> tuple[WidthGroup, ...]:
        """The edges whose widths must change together (graph/widths.py), in document order."""
        return width_groups(self.spec, self.order, self.shapes, self.units)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """All edges, by target in topological order, then in the order of `from`."""
        return tuple(Edge(source, name) for name in self.order for source in self.sources(name))

    @cached_property
    def place(self) -> Mapping[str, int]:
        """Each name's index in `order`."""
        return {name: index for index, name in enumerate(self.order)}

    @cached_property
    def ends(self) -> Mapping[str, str]:
        """The key of the unit that gives a node's value to its readers, for those whose value leaves a unit."""
        return {unit.last: key for key, unit in self.units.items() if unit.role != "fan_out"}

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """The modules in the order in which a forward pass calls them (graph/call_order.py)."""
        return ordered_calls(self.units, {self.ends[name] for name in self.spec.outputs})

    def sources(self, name: str) -> tuple[str, ...]:
        """The nodes that `name` reads, in the order of `from`."""
        return self.spec.nodes[name].sources

    def readers(self, name: str) -> tuple[str, ...]:
        """The nodes that read `name`, in document order."""
        return tuple(self.digraph.successors(name))

    def role(self, edge: Edge) -> tuple[str, ...]:
        """The role of the source at the target, such as the query of an attention; nothing if all sources are alike."""
        place = self.sources(edge.target).index(edge.source)
        return self.spec.nodes[edge.target].source_names[place : place + 1]

    def features(self, name: str) -> int:
        """Width of the node's output: features, or channels."""
        return self.shapes[name][0]

    def positions(self, name: str) -> int:
        """Positions at which the node gives its features: pixels or tokens; 1 of a vector."""
        return prod(self.shapes[name][1:])

    def has_several_positions(self, group: WidthGroup) -> bool:
        """True if a layer gives features of the group at several positions."""
        return any(self.positions(name) > 1 for name in group.producers)

    def input_shapes(self, name: str) -> list[Shape]:
        """Shapes of the sources of `name`."""
        return [self.shapes[source] for source in self.sources(name)]

    def parameters(self, name: str) -> int:
        """Trainable numbers of one node."""
        return self.spec.nodes[name].parameter_count(self.input_shapes(name))

    def madds(self, name: str) -> int:
        """Multiply-adds of one node for one sample."""
        return self.spec.nodes[name].multiply_adds(self.input_shapes(name))

    @cached_property
    def parameter_count(self) -> int:
        """Trainable numbers of the whole network."""
        return sum(self.parameters(name) for name in self.order)

    @cached_property
    def multiply_adds(self) -> int:
        """Multiply-adds of a forward pass of one sample through the whole network."""
        return sum(self.madds(name) for name in self.order)

    def __repr__(self) -> str:
        """Name and size in one line."""
        sizes = (
            amount(len(self.order), "node"),
            amount(len(self.edges), "edge"),
            amount(self.parameter_count, "parameter"),
        )
        return f"<Graph {self.spec.name}: {', '.join(sizes)}, {ends_of(self.spec.inputs, self.spec.outputs)}>"

    def __deepcopy__(self, memo: object) -> Graph:
        """Itself: a graph never changes in place, so that copies of a network may share it."""
        return self

    def group_of(self, name: str) -> WidthGroup:
        """The width group that the layer `name` produces.

        Raises:
            GraphError: no group has such a producer.
        """
        for group in self.groups:
            if name in group.producers:
                return group
        raise GraphError(f"`{name}` produces no width group: only layers do")


def build_graph(spec: Spec) -> Graph:
    """The graph of a spec.

    Raises:
        GraphError: a cycle, a missing source or shapes that do not fit. A spec that came from
            `load_spec` or `parse_spec` has none of these; one that was put together in Python may.
    """
    missing = [
        f"`{name}` reads `{source}`, which does not exist"
        for name, node in spec.nodes.items()
        for source in node.sources
        if source not in spec.nodes
    ]
    missing += [f"the output `{name}` does not exist" for name in spec.outputs if name not in spec.nodes]
    if missing:
        raise GraphError("; ".join(missing))
    digraph = reading_graph(spec.nodes)
    try:
        order = topological_order(digraph)
    except nx.NetworkXUnfeasible as error:
        cycle = nx.find_cycle(digraph)
        path = " -> ".join([*(source for source, _ in cycle), cycle[0][0]])
        raise GraphError(f"the nodes form a cycle: {path}") from error
    shapes = infer_shapes(spec.nodes, order)
    if shapes.mismatches:
        raise GraphError("; ".join(f"`{name}`: {text}" for name, text in shapes.mismatches.items()))
    return Graph(spec, order, shapes.known, digraph)
