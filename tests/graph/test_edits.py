"""Edits of a spec: what they make of it, what they take back, and what they refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gromo_graph import GraphError, Spec
from gromo_graph.graph import (
    AddPath,
    Edit,
    Middle,
    Narrow,
    Widen,
    apply,
    build_graph,
    narrowing,
    new_edge,
    new_node,
    widening,
)
from gromo_graph.graph.paths import middle_name
from gromo_graph.spec.kinds import Linear, Merge
from tests.graph.test_paths import GRAPHS, PLAIN, bridge, graph_of
from tests.spec.strategies import specs

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
    assert [name for name, _ in path.nodes] == ["new.2", "new.2.to.y"]
    assert middle_name(again) == "new.3"


@GRAPHS
@given(specs(names=PLAIN, max_nodes=10), st.integers(1, 3))
def test_narrowing_takes_back_what_widening_gave(spec: Spec, count: int) -> None:
    for group in build_graph(spec).groups:
        if group.reason is None:
            neurons = count * group.unit
            wider = apply(spec, widening(group, neurons))
            assert dict(wider.nodes) != dict(spec.nodes)
            assert dict(apply(wider, narrowing(group, neurons)).nodes) == dict(spec.nodes)


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
    "a way back": (
        AddPath("s", "a", (("new", WIDE.model_copy(update={"sources": ("s",)})),)),
        "a -> b -> s -> new -> a|form a cycle",
    ),
    "another width": (AddPath("x", "s", (("new", WIDE.model_copy(update={"features": 3})),)), "equal shapes"),
}


@pytest.mark.parametrize(("edit", "message"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_impossible_edit_is_refused_and_nothing_has_changed(edit: Edit, message: str) -> None:
    spec = graph_of(RESIDUAL).spec
    before = dict(spec.nodes)
    with pytest.raises(GraphError, match=message):
        build_graph(apply(spec, edit))
    assert dict(spec.nodes) == before
