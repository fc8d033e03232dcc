"""Edits and bridges: what may be added to a graph leaves all else as it was, and its cost is known to the last unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gromo_graph import Spec, check_spec, parse_spec
from gromo_graph.graph import (
    AddPath,
    Bridge,
    Graph,
    Middle,
    NoBridge,
    apply,
    bridges,
    build_graph,
    new_edge,
    new_node,
    path_cost,
)
from gromo_graph.graph.paths import middle_name, sum_of, usual_activation
from gromo_graph.spec.kinds import Attention, Convolution, Embedding, Merge
from gromo_graph.spec.kinds.base import is_affine
from tests.spec.strategies import specs

PLAIN = st.sampled_from([f"n{place}" for place in range(12)])
GRAPHS = settings(max_examples=40)


def graph_of(nodes: str, output: str = "y") -> Graph:
    lines = "\n".join(f"  {line.strip()}" for line in nodes.strip().splitlines())
    return build_graph(parse_spec(f"name: paths\nnodes:\n{lines}\noutput: {output}\n"))


def bridge(graph: Graph, source: str, target: str) -> Bridge:
    (found,) = [each for each in bridges(graph) if (each.source, each.target) == (source, target)]
    return found


def middle_of(graph: Graph, *, shifts: bool) -> Middle:
    return Middle(middle_name(graph), usual_activation(graph), shifts)


def paths(graph: Graph, *, neurons: int = 2, shifts: bool = False) -> Iterator[AddPath]:
    """Every edge and every node that fits."""
    middle = middle_of(graph, shifts=shifts)
    for each in bridges(graph):
        if isinstance(each, Bridge):
            yield new_edge(graph, each)
            yield new_node(graph, each, middle, neurons)


# Any graph


@GRAPHS
@given(specs(names=PLAIN, max_nodes=8), st.integers(1, 3), st.booleans())
def test_a_path_gives_a_sound_graph_in_which_old_nodes_keep_their_shapes(
    spec: Spec, neurons: int, shifts: bool
) -> None:
    graph, before = build_graph(spec), dict(spec.nodes)
    for path in paths(graph, neurons=neurons, shifts=shifts):
        grown = build_graph(apply(spec, path))  # without a cycle, or it would have raised
        assert not check_spec(grown.spec)
        assert {name: grown.shapes[name] for name in spec.nodes} == dict(graph.shapes)
        assert grown.spec.outputs == spec.outputs
        assert dict(spec.nodes) == before


@GRAPHS
@given(specs(names=PLAIN, max_nodes=8), st.integers(1, 3), st.booleans())
def test_a_path_costs_what_the_graphs_differ_by(spec: Spec, neurons: int, shifts: bool) -> None:
    graph = build_graph(spec)
    for path in paths(graph, neurons=neurons, shifts=shifts):
        grown, cost = build_graph(apply(spec, path)), path_cost(graph, path)
        assert cost.parameters == grown.parameter_count - graph.parameter_count
        assert cost.madds == grown.multiply_adds - graph.multiply_adds


def expected_pairs(graph: Graph) -> list[tuple[str, str]]:
    """Targets in document order, then sources: by the readers of each node alone."""
    nodes, outputs = graph.spec.nodes, graph.spec.outputs

    def only_reader(name: str) -> str | None:
        readers = [other for other, node in nodes.items() if name in node.sources]
        return readers[0] if len(readers) == 1 and name not in outputs else None

    def is_sum(name: str | None) -> bool:
        node = nodes[name] if name is not None else None
        return isinstance(node, Merge) and node.merge == "sum"

    def merely_enters(name: str) -> bool:
        node = nodes[name]
        return is_affine(node) and node.activation == "identity" and is_sum(only_reader(name))

    def joins_an_operation(name: str) -> bool:
        reader = only_reader(name)
        return (
            reader is not None
            and nodes[reader].drawn_as == "operation"
            and not isinstance(nodes[reader], Attention)
        )

    def reachable(name: str) -> set[str]:
        found, waiting = {name}, [name]
        while waiting:
            last = waiting.pop()
            new = {other for other, node in nodes.items() if last in node.sources} - found
            found |= new
            waiting += new
        return found

    ids = {source for node in nodes.values() if isinstance(node, Embedding) for source in node.sources}
    sources = [
        name for name in nodes if not merely_enters(name) and not joins_an_operation(name) and name not in ids
    ]
    targets = [
        name for name, node in nodes.items() if (is_affine(node) or is_sum(name)) and not merely_enters(name)
    ]
    return [(source, target) for target in targets for source in sources if source not in reachable(target)]


@GRAPHS
@given(specs(names=PLAIN, max_nodes=9), st.data())
def test_bridges_lead_forward_between_nodes_whose_values_are_read(spec: Spec, data: st.DataObject) -> None:
    graph = build_graph(spec)
    for _ in range(2):  # and again in the graph that one of them gives
        assert [(each.source, each.target) for each in bridges(graph)] == expected_pairs(graph)
        able = list(paths(graph))
        if able:
            graph = build_graph(apply(graph.spec, data.draw(st.sampled_from(able))))


@GRAPHS
@given(specs(names=PLAIN, max_nodes=9))
def test_there_is_a_reader_that_fits_or_a_reason(spec: Spec) -> None:
    graph = build_graph(spec)
    for each in bridges(graph):
        given_shape, wanted = graph.shapes[each.source], graph.shapes[each.target]
        if not isinstance(each, Bridge):
            assert f"`{each.source}`" in each.reason
            assert f"`{each.target}`" in each.reason
            assert len(given_shape) != len(wanted) or len(wanted) > 1
        else:
            assert each.reader.output_shape([given_shape]) == wanted
            assert (each.reader.bias, each.reader.activation) == (False, "identity")


@GRAPHS
@given(specs(names=PLAIN, max_nodes=8))
def test_what_has_been_added_is_there_and_no_other_edge(spec: Spec) -> None:
    graph = build_graph(spec)
    before = {(each.source, each.target): each for each in bridges(graph)}
    middle = middle_of(graph, shifts=False)
    for pair, each in before.items():
        if not isinstance(each, Bridge):
            continue
        for path in (new_edge(graph, each), new_node(graph, each, middle, 2)):
            grown = build_graph(apply(spec, path))
            after = bridge(grown, *pair)
            assert after.has_edge == (each.has_edge or len(path.nodes) == 1)
            assert after.has_node == (each.has_node or len(path.nodes) == 2)
            for other in bridges(grown):
                known = before.get((other.source, other.target))
                if known is not None and (other.source, other.target) != pair:
                    assert other.has_edge == known.has_edge


# By example


@pytest.mark.parametrize(
    ("activations", "expected"),
    [(("tanh", "gelu", "gelu"), "gelu"), (("identity", "identity", "silu"), "silu"), (("identity",), "relu")],
)
def test_new_nodes_are_like_most_others(activations: tuple[str, ...], expected: str) -> None:
    lines, source = ["x: {kind: input, shape: [5]}"], "x"
    for place, activation in enumerate(activations):
        lines.append(f"h{place}: {{kind: linear, from: {source}, features: 4, activation: {activation}}}")
        source = f"h{place}"
    assert usual_activation(graph_of("\n".join(lines), output=source)) == expected


def test_only_a_layer_that_does_nothing_else_merely_enters_a_sum() -> None:
    graph = graph_of(
        """
        x: {kind: input, shape: [4]}
        plain: {kind: linear, from: x, features: 3}
        bent: {kind: linear, from: x, features: 3, activation: tanh}
        read: {kind: linear, from: x, features: 3}
        given: {kind: linear, from: x, features: 3}
        s: {kind: merge, from: [plain, bent, read, given]}
        y: {kind: linear, from: read, features: 3}
        z: {kind: merge, from: [s, y]}
        """,
        output="z",
    )
    graph = build_graph(replace(graph.spec, outputs=("z", "given"), named_outputs=True))
    found = {name: sum_of(graph, name) for name in graph.spec.nodes}
    assert {name: target for name, target in found.items() if target} == {"plain": "s", "y": "z"}


def test_bridges_by_hand() -> None:
    """A value that only an operation reads stays in its module; a layer that merely enters a sum ends no path."""
    graph = graph_of("""
        x: {kind: input, shape: [2, 3]}
        f: {kind: flatten, from: x}
        h: {kind: linear, from: f, features: 4, activation: tanh}
        d: {kind: dropout, from: h}
        p: {kind: linear, from: d, features: 4}
        s: {kind: merge, from: [d, p]}
        y: {kind: linear, from: s, features: 3}
        """)
    assert [(each.source, each.target, each.has_edge) for each in bridges(graph)] == [
        ("f", "h", True),
        ("f", "s", False),
        ("d", "s", True),
        ("f", "y", False),
        ("d", "y", False),
        ("s", "y", True),
    ]


@pytest.mark.parametrize(
    ("source", "edge", "node"), [("x", True, False), ("a", True, False), ("z", False, True)]
)
def test_a_sum_that_reads_a_node_has_that_edge(source: str, edge: bool, node: bool) -> None:
    """By itself or by a layer; a node is on the way where two layers have features between them."""
    graph = graph_of("""
        x: {kind: input, shape: [4]}
        z: {kind: input, shape: [4]}
        a: {kind: linear, from: z, features: 4, activation: tanh}
        b: {kind: linear, from: a, features: 4}
        s: {kind: merge, from: [x, b], activation: relu}
        y: {kind: linear, from: s, features: 3}
        """)
    found = bridge(graph, source, "s")
    assert (found.has_edge, found.has_node) == (edge, node)


TWO_INPUTS = """
x: {kind: input, shape: [5]}
z: {kind: input, shape: [5]}
h: {kind: linear, from: x, features: 4, activation: tanh}
y: {kind: linear, from: h, features: 3}
o: {kind: merge, from: [y, z], merge: concat}
"""


@pytest.mark.parametrize("source", ["x", "h"])
def test_a_node_on_the_way_counts_also_where_it_has_become_a_sum(source: str) -> None:
    """Else the same path would be offered twice: once its new node has taken in an edge of its own."""
    graph = graph_of(TWO_INPUTS, output="o")
    middle = "h"
    if source == "h":
        path = new_node(graph, bridge(graph, "h", "y"), Middle("new.1", "tanh", False), 2)
        graph, middle = build_graph(apply(graph.spec, path)), "new.1"
    assert bridge(graph, source, "y").has_node
    grown = build_graph(apply(graph.spec, new_edge(graph, bridge(graph, "z", middle))))
    assert bridge(grown, source, "y").has_node


IMAGES = """
x: {kind: input, shape: [2, GIVEN]}
c: {kind: conv2d, from: x, features: 3, activation: relu, FIRST}
d: {kind: conv2d, from: c, features: 4, SECOND}
"""


@pytest.mark.parametrize(
    ("sizes", "first", "second", "expected"),
    [
        ("8, 6", "kernel: 3, padding: 1", "kernel: 3, padding: 1", {"kernel": 3, "padding": 1, "stride": 1}),
        (
            "8, 6",
            "kernel: 1",
            "kernel: 3, padding: 2, dilation: 2",
            {"kernel": 3, "padding": 2, "dilation": 2},
        ),
        ("8, 6", "kernel: 1", "kernel: 4, padding: same", {"kernel": 4, "padding": "same", "stride": 1}),
        ("8, 6", "kernel: 2, stride: 2", "kernel: 3, padding: 1", {"kernel": 1, "padding": 0, "stride": 2}),
        ("8, 6", "kernel: 1, stride: 2", "kernel: 1, stride: 2", {"kernel": 1, "padding": 0, "stride": 4}),
        ("9, 9", "kernel: 3, stride: 3", "kernel: 3", {"kernel": 1, "padding": 0, "stride": 9}),
        ("8, 6", "kernel: 3", "kernel: 3", None),
        ("4, 4", "kernel: 1, padding: 1", "kernel: 1", None),
    ],
)
def test_an_edge_between_images(sizes: str, first: str, second: str, expected: dict | None) -> None:
    """The kernel of the target where that fits, else a point with a stride, else none."""
    text = IMAGES.replace("GIVEN", sizes).replace("FIRST", first).replace("SECOND", second)
    found = bridge(graph_of(text, output="d"), "x", "d")
    if expected is None:
        assert "no stride leads from" in found.reason
    else:
        assert isinstance(found.reader, Convolution)
        assert found.reader.features == 4
        assert {name: getattr(found.reader, name) for name in expected} == expected


def test_a_node_between_images_reads_like_the_target_and_is_read_point_by_point() -> None:
    text = IMAGES.replace("GIVEN", "8, 6").replace("FIRST", "kernel: 1")
    graph = graph_of(text.replace("SECOND", "kernel: 3, stride: 2, padding: 1"), output="d")
    path = new_node(graph, bridge(graph, "x", "d"), middle_of(graph, shifts=True), 5)
    (_, first), (_, last) = path.nodes
    assert isinstance(first, Convolution)
    assert isinstance(last, Convolution)
    assert (first.kernel, first.stride, first.padding, first.features) == (3, 2, 1, 5)
    assert (last.kernel, last.stride, last.padding, last.features, last.bias) == (1, 1, 0, 4, True)


def test_rows_and_images_have_no_layer_between_them() -> None:
    graph = graph_of("""
        x: {kind: input, shape: [2, 6]}
        c: {kind: conv1d, from: x, features: 3, kernel: 1}
        f: {kind: flatten, from: c}
        y: {kind: linear, from: f, features: 3}
        """)
    found = bridge(graph, "x", "y")
    assert isinstance(found, NoBridge)
    assert found.reason == "`x` is an image of 1 axes and `y` is a row of features"
