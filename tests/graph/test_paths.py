"""Edits and bridges: what may be added to a graph leaves all else as it was, and its cost is known to the last unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gromo_graph import GraphError, Spec, check_spec, parse_spec
from gromo_graph.graph import (
    AddPath,
    Bridge,
    Edit,
    Graph,
    Middle,
    Narrow,
    Widen,
    apply,
    bridges,
    build_graph,
    narrowing,
    new_edge,
    new_node,
    path_cost,
    widening,
)
from gromo_graph.graph.paths import middle_name, sum_of, usual_activation
from gromo_graph.spec.kinds import Convolution, Layer, Linear, Merge
from tests.spec.strategies import specs

PLAIN = st.sampled_from([f"n{place}" for place in range(12)])
GRAPHS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


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
        if each.reader is not None:
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
        return isinstance(node, Layer) and node.activation == "identity" and is_sum(only_reader(name))

    def joins_an_operation(name: str) -> bool:
        reader = only_reader(name)
        return reader is not None and nodes[reader].drawn_as == "operation"

    def reachable(name: str) -> set[str]:
        found, waiting = {name}, [name]
        while waiting:
            last = waiting.pop()
            new = {other for other, node in nodes.items() if last in node.sources} - found
            found |= new
            waiting += new
        return found

    sources = [name for name in nodes if not merely_enters(name) and not joins_an_operation(name)]
    targets = [
        name
        for name, node in nodes.items()
        if (isinstance(node, Layer) or is_sum(name)) and not merely_enters(name)
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
        if each.reader is None:
            assert f"`{each.source}`" in str(each.reason)
            assert f"`{each.target}`" in str(each.reason)
            assert len(given_shape) != len(wanted) or len(wanted) > 1
        else:
            assert each.reason is None
            assert each.reader.output_shape([given_shape]) == wanted
            assert (each.reader.bias, each.reader.activation) == (False, "identity")


@GRAPHS
@given(specs(names=PLAIN, max_nodes=8))
def test_what_has_been_added_is_there_and_no_other_edge(spec: Spec) -> None:
    graph = build_graph(spec)
    before = {(each.source, each.target): each for each in bridges(graph)}
    middle = middle_of(graph, shifts=False)
    for pair, each in before.items():
        if each.reader is None:
            continue
        for path in (new_edge(graph, each), new_node(graph, each, middle, 2)):
            grown = build_graph(apply(spec, path))
            after = bridge(grown, *pair)
            assert after.has_edge == (each.has_edge or len(path.layers) == 1)
            assert after.has_node == (each.has_node or len(path.layers) == 2)
            for other in bridges(grown):
                known = before.get((other.source, other.target))
                if known is not None and (other.source, other.target) != pair:
                    assert other.has_edge == known.has_edge


@GRAPHS
@given(specs(names=PLAIN, max_nodes=10), st.integers(1, 3))
def test_narrowing_takes_back_what_widening_gave(spec: Spec, count: int) -> None:
    for group in build_graph(spec).groups:
        if group.reason is None:
            neurons = count * group.unit
            wider = apply(spec, widening(group, neurons))
            assert dict(wider.nodes) != dict(spec.nodes)
            assert dict(apply(wider, narrowing(group, neurons)).nodes) == dict(spec.nodes)


# By example

CHAIN = """
x: {kind: input, shape: [5]}
h: {kind: linear, from: x, features: 4, activation: tanh, grow: {max: 9}}
y: {kind: linear, from: h, features: 3}
"""
RESIDUAL = """
x: {kind: input, shape: [5]}
a: {kind: linear, from: x, features: 4, activation: tanh}
b: {kind: linear, from: a, features: 4}
s: {kind: merge, from: [a, b], activation: relu}
y: {kind: linear, from: s, features: 3}
"""


def test_a_layer_becomes_a_sum_of_the_same_name() -> None:
    graph = graph_of(CHAIN)
    nodes = apply(graph.spec, new_edge(graph, bridge(graph, "x", "y"))).nodes
    assert list(nodes) == ["x", "h", "y.linear", "x.to.y", "y"]
    assert nodes["y"] == Merge(sources=("y.linear", "x.to.y"))
    assert nodes["y.linear"] == graph.spec.nodes["y"]
    assert nodes["x.to.y"] == Linear(sources=("x",), features=3, bias=False)


def test_the_sum_takes_the_activation_and_the_layer_keeps_the_limits() -> None:
    graph = graph_of(CHAIN.replace("from: h, features: 3", "from: h, features: 3, activation: gelu"))
    grown = build_graph(apply(graph.spec, new_edge(graph, bridge(graph, "x", "y"))))
    assert grown.spec.nodes["y"].activation == "gelu"  # type: ignore[attr-defined]
    assert grown.spec.nodes["y.linear"].activation == "identity"  # type: ignore[attr-defined]
    edit = AddPath("x", "h", (("new", Linear(sources=("x",), features=4)),))
    assert build_graph(apply(graph.spec, edit)).group_of("h.linear").grow.max == 9


def test_a_sum_takes_what_is_new_behind_what_it_has() -> None:
    graph = graph_of(RESIDUAL)
    nodes = apply(graph.spec, new_edge(graph, bridge(graph, "x", "s"))).nodes
    assert list(nodes) == ["x", "a", "b", "x.to.s", "s", "y"]
    assert nodes["s"] == Merge(sources=("a", "b", "x.to.s"), activation="relu")


@pytest.mark.parametrize("shifts", [False, True])
def test_a_new_node_has_a_bias_and_what_leads_from_it_only_where_it_must(shifts: bool) -> None:
    graph = graph_of(CHAIN)
    path = new_node(graph, bridge(graph, "x", "y"), Middle("new.1", "sigmoid", shifts), 7)
    nodes = apply(graph.spec, path).nodes
    assert list(nodes) == ["x", "h", "y.linear", "new.1", "new.1.to.y", "y"]
    assert nodes["new.1"] == Linear(sources=("x",), features=7, activation="sigmoid")
    assert nodes["new.1.to.y"] == Linear(sources=("new.1",), features=3, bias=shifts)


def test_names_that_are_taken_get_a_number() -> None:
    graph = graph_of("""
        x: {kind: input, shape: [5]}
        x.to.y: {kind: linear, from: x, features: 4}
        y.linear: {kind: linear, from: x.to.y, features: 4}
        x.to.y.2: {kind: linear, from: y.linear, features: 4}
        new.1: {kind: linear, from: x.to.y.2, features: 4}
        y: {kind: linear, from: new.1, features: 3}
        """)
    nodes = apply(graph.spec, new_edge(graph, bridge(graph, "x", "y"))).nodes
    assert nodes["y"].sources == ("y.linear.2", "x.to.y.3")
    assert middle_name(graph) == "new.2"
    path = new_node(graph, bridge(graph, "x", "y"), Middle("new.2", "relu", False), 2)
    again = build_graph(apply(graph.spec, path))
    assert [name for name, _ in path.layers] == ["new.2", "new.2.to.y"]
    assert middle_name(again) == "new.3"


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
    """What only an operation reads does not leave its module; a layer that merely enters a sum is no end of a way."""
    graph = graph_of("""
        x: {kind: input, shape: [2, 3]}
        f: {kind: flatten, from: x}
        h: {kind: linear, from: f, features: 4, activation: tanh}
        d: {kind: dropout, from: h}
        p: {kind: linear, from: d, features: 4}
        s: {kind: merge, from: [d, p]}
        y: {kind: linear, from: s, features: 3}
        """)
    assert [(each.source, each.target, each.has_edge, each.has_node) for each in bridges(graph)] == [
        ("f", "h", True, False),
        ("f", "s", False, False),
        ("d", "s", True, False),
        ("f", "y", False, False),
        ("d", "y", False, False),
        ("s", "y", True, False),
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


def test_groups_of_a_norm_are_widened_and_narrowed_with_their_features() -> None:
    graph = graph_of("""
        x: {kind: input, shape: [5]}
        h: {kind: linear, from: x, features: 6}
        n: {kind: group_norm, from: h, groups: 3}
        y: {kind: linear, from: n, features: 3}
        """)
    group = graph.group_of("h")
    wider = apply(graph.spec, widening(group, 4))
    assert wider.nodes["n"].groups == 5  # type: ignore[attr-defined]
    narrower = apply(graph.spec, narrowing(group, 4))
    assert narrower.nodes["n"].groups == 1  # type: ignore[attr-defined]
    assert dict(apply(narrower, widening(group, 4)).nodes) == dict(graph.spec.nodes)


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
        assert "no stride leads from" in str(found.reason)
    else:
        assert isinstance(found.reader, Convolution)
        assert found.reader.features == 4
        assert {name: getattr(found.reader, name) for name in expected} == expected


def test_a_node_between_images_reads_like_the_target_and_is_read_point_by_point() -> None:
    text = IMAGES.replace("GIVEN", "8, 6").replace("FIRST", "kernel: 1")
    graph = graph_of(text.replace("SECOND", "kernel: 3, stride: 2, padding: 1"), output="d")
    path = new_node(graph, bridge(graph, "x", "d"), middle_of(graph, shifts=True), 5)
    (_, first), (_, last) = path.layers
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
    assert found.reader is None
    assert found.reason == "`x` is an image of 1 axes and `y` is a row of features"


WIDE = Linear(sources=("x",), features=4)
IMPOSSIBLE: dict[str, tuple[Edit, str]] = {
    "widening by nothing": (Widen(("a",), 0), "by 1 feature or more"),
    "narrowing by nothing": (Narrow(("a",), 0), "by 1 feature or more"),
    "widening what is no node": (Widen(("z",), 1), "`z` cannot change"),
    "widening a sum": (Widen(("s",), 1), "`s` cannot change"),
    "narrowing an input": (Narrow(("x",), 1), "`x` cannot change"),
    "narrowing to nothing": (Narrow(("a", "b"), 4), "`a` has 4 features: 4 cannot be taken"),
    "an operation that is no node": (Widen(("a", "b"), 1, ("z",)), "`z`"),
    "a source that is no node": (AddPath("z", "s", (("new", WIDE),)), "`z` is no node"),
    "a target that is no node": (AddPath("x", "z", (("new", WIDE),)), "`z` is no node"),
    "a target that is an input": (AddPath("a", "x", (("new", WIDE),)), "`x` can take no new edge"),
    "a name that is taken": (AddPath("x", "s", (("b", WIDE),)), "a node `b` already"),
    "a name that the target takes": (AddPath("x", "a", (("a.linear", WIDE),)), "`a.linear`"),
    "one name twice": (AddPath("x", "s", (("new", WIDE), ("new", WIDE))), "`new`|new -> new"),
    "a way back": (AddPath("s", "a", (("new", WIDE),)), "a -> b -> s -> new -> a|form a cycle"),
    "another width": (AddPath("x", "s", (("new", WIDE.model_copy(update={"features": 3})),)), "equal shapes"),
}


@pytest.mark.parametrize(("edit", "message"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_impossible_edit_is_refused_and_nothing_has_changed(edit: Edit, message: str) -> None:
    spec = graph_of(RESIDUAL).spec
    before = dict(spec.nodes)
    with pytest.raises(GraphError, match=message):
        build_graph(apply(spec, edit))
    assert dict(spec.nodes) == before
