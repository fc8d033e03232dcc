"""build_graph, orders, cycles and edits."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gromo_graph import GraphError, parse_spec
from gromo_graph.graph import Widen, apply, build_graph
from gromo_graph.spec.kinds import Linear, Merge
from gromo_graph.spec.order import cycle_text, cycles_in_order, reading_graph, topological_order

TEXT = """\
nodes:
  y: {kind: linear, from: h, features: 2}
  h: {kind: linear, from: x, features: 3, bias: false}
  x: {kind: input, shape: [4]}
output: y
"""


def test_numbers_of_a_small_network() -> None:
    graph = build_graph(parse_spec(TEXT))
    assert graph.order == ("x", "h", "y")
    assert (graph.parameters("h"), graph.parameters("y")) == (12, 8)
    assert (graph.parameter_count, graph.multiply_adds) == (20, 18)
    assert [edge.id for edge in graph.edges] == ["x->h", "h->y"]
    with pytest.raises(GraphError, match="`x` produces no width group"):
        graph.group_of("x")


def test_what_a_spec_made_in_python_may_have_wrong() -> None:
    spec = parse_spec(TEXT)
    lost = {**spec.nodes, "z": Linear(sources=("w",), features=1)}
    with pytest.raises(GraphError, match="`z` reads `w`, which does not exist"):
        build_graph(replace(spec, nodes=lost))
    loop = {**spec.nodes, "h": Linear(sources=("y",), features=1)}
    with pytest.raises(GraphError, match=r"the nodes form a cycle: (y -> h -> y|h -> y -> h)"):
        build_graph(replace(spec, nodes=loop))
    unequal = {**spec.nodes, "s": Merge(sources=("x", "h"))}
    with pytest.raises(GraphError, match="a sum needs equal shapes, but `x->s` is 4 wide, `h->s` is 3 wide"):
        build_graph(replace(spec, nodes=unequal))
    with pytest.raises(GraphError, match="the output `q` does not exist"):
        build_graph(replace(spec, outputs=("q",)))


def test_widening_makes_a_new_spec() -> None:
    spec = parse_spec(TEXT)
    wider = apply(spec, Widen(("h",), 5))
    assert (wider.nodes["h"].features, spec.nodes["h"].features) == (8, 3)  # type: ignore[attr-defined]
    for edit in (Widen(("h",), 0), Widen(("x",), 1), Widen(("q",), 1)):
        with pytest.raises(GraphError):
            apply(spec, edit)


EDGES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda e: e[0] != e[1]), max_size=16)


@given(EDGES)
def test_cycles_are_cycles_one_for_each_knot(edges: list[tuple[int, int]]) -> None:
    graph: nx.DiGraph[str] = nx.DiGraph()
    names = [str(name) for name in range(7)]
    graph.add_nodes_from(names)
    graph.add_edges_from((str(a), str(b)) for a, b in edges)
    cycles = cycles_in_order(graph, names)
    knots = [knot for knot in nx.strongly_connected_components(graph) if len(knot) > 1]
    assert len(cycles) == len(knots)
    through: dict[str, list[int]] = {}
    for cycle in nx.simple_cycles(graph):
        for name in cycle:
            through.setdefault(name, []).append(len(cycle))
    for cycle in cycles:
        assert all(graph.has_edge(a, b) for a, b in zip(cycle, (*cycle[1:], cycle[0]), strict=True))
        assert cycle[0] == min(next(knot for knot in knots if cycle[0] in knot))
        assert len(cycle) == len(set(cycle)) == min(through[cycle[0]])


def test_a_long_cycle_is_shortened_in_messages() -> None:
    assert cycle_text(("a", "b", "c")) == "a -> b -> c -> a"
    assert cycle_text([f"n{place}" for place in range(100)]).count("->") == 18


def test_ties_keep_the_order_of_the_document() -> None:
    spec = parse_spec(
        TEXT.replace("  x:", "  w: {kind: linear, from: x, features: 2}\n  x:").replace(
            "output: y", "outputs: [y, w]"
        )
    )
    assert topological_order(reading_graph(spec.nodes)) == ("x", "h", "y", "w")
