"""Places and reads of width groups, written out by hand for small graphs."""

from __future__ import annotations

from gromo_graph import parse_spec
from gromo_graph.graph import Graph, build_graph
from gromo_graph.graph.width_flow import GroupPlace


def graph_of(nodes: str) -> Graph:
    indented = "\n".join(f"  {line}" for line in nodes.strip().splitlines())
    return build_graph(parse_spec(f"nodes:\n{indented}\noutput: y\n"))


def flow(graph: Graph, name: str) -> dict[GroupPlace, tuple[GroupPlace, ...]]:
    return dict(graph.group_of(name).places.flow)


CONCAT = """
x: {kind: input, shape: [2, 3, 2]}
a: {kind: conv2d, from: x, features: 4, kernel: 1}
b: {kind: conv2d, from: x, features: 5, kernel: 1}
both: {kind: merge, from: [a, b, x], merge: concat}
flat: {kind: flatten, from: both}
y: {kind: linear, from: flat, features: 2}
"""


def test_a_flatten_repeats_the_segments_of_a_concat() -> None:
    graph = graph_of(CONCAT)
    a, b = (GroupPlace(name, 0, 0, width, 1) for name, width in (("a", 4), ("b", 5)))
    # The flatten is folded into the concat: each channel becomes 3 · 2 neighbouring features.
    behind_a = GroupPlace("both", 0, 0, 4, 6)
    behind_b = GroupPlace("both", 1, 4 * 6, 5, 6)
    assert flow(graph, "a") == {a: (), behind_a: (a,)}
    assert flow(graph, "b") == {b: (), behind_b: (b,)}
    assert graph.group_of("a").places.reads == {"y": (behind_a,)}
    assert graph.group_of("b").places.reads == {"y": (behind_b,)}
    assert (behind_a.end, behind_b.end) == (24, 54)


def test_a_sum_adds_up_its_places_behind_a_fan_out() -> None:
    graph = graph_of("""
x: {kind: input, shape: [3]}
s: {kind: linear, from: x, features: 4}
r: {kind: linear, from: s, features: 4, activation: relu}
j: {kind: merge, from: [r, s]}
y: {kind: linear, from: j, features: 2}
""")
    s, fan, r, j = (GroupPlace(unit, 0, 0, 4, 1) for unit in ("s", "s->", "r", "j"))
    group = graph.group_of("s")
    assert group.places.flow == {s: (), fan: (s,), r: (), j: (r, fan)}
    assert group.places.reads == {"r": (fan,), "y": (j,)}
    assert group.places.units == ("s", "s->", "r", "j")


def test_an_attention_hands_on_its_value_alone() -> None:
    graph = graph_of("""
x: {kind: input, shape: [3, 5]}
q: {kind: conv1d, from: x, features: 4, kernel: 1}
k: {kind: conv1d, from: x, features: 4, kernel: 1}
v: {kind: conv1d, from: x, features: 6, kernel: 1}
mix: {kind: attention, from: [q, k, v]}
y: {kind: conv1d, from: mix, features: 2, kernel: 1}
""")
    v, mix = (GroupPlace(unit, 0, 0, 6, 1) for unit in ("v", "mix"))
    assert flow(graph, "v") == {v: (), mix: (v,)}
    assert set(flow(graph, "q")) == {GroupPlace("q", 0, 0, 4, 1), GroupPlace("k", 0, 0, 4, 1)}
    assert graph.group_of("q").places.reads == {}


def test_tied_groups_have_the_places_of_all_of_them() -> None:
    graph = graph_of("""
x: {kind: input, shape: [3]}
a: {kind: linear, from: x, features: 4, grow: {tie: same}}
b: {kind: linear, from: x, features: 4, grow: {tie: same}}
both: {kind: merge, from: [a, b], merge: concat}
y: {kind: linear, from: both, features: 2}
""")
    group = graph.group_of("a")
    first, second = (GroupPlace("both", segment, 4 * segment, 4, 1) for segment in (0, 1))
    assert group.places.reads == {"y": (first, second)}
    assert [part.places.reads["y"] for part in group.parts] == [(first,), (second,)]
