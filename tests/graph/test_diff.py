"""diff: nothing where nothing differs, the mirror image the other way round, and exact costs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given

from gromo_graph import Difference, GraphError, Spec, diff, parse_spec
from gromo_graph.graph import build_graph
from gromo_graph.render.drawing.difference import highlights_of_difference, phrases_of_difference
from tests.spec.strategies import specs

TEXT = """
name: small
nodes:
  x: {kind: input, shape: [8]}
  stem: {kind: linear, from: x, features: 4, activation: relu}
  mix: {kind: linear, from: stem, features: 4}
  sum: {kind: merge, from: [stem, mix]}
  y: {kind: linear, from: sum, features: 3}
output: y
"""


def changed(*pairs: tuple[str, str]) -> Difference:
    text = TEXT
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return diff(parse_spec(TEXT), parse_spec(text))


@given(specs())
def test_nothing_differs_from_itself(spec: Spec) -> None:
    found = diff(spec, replace(spec))
    assert not found
    assert (found.nodes, found.added_edges, found.removed_edges, found.values) == ((), (), (), ())


@given(specs(), specs())
def test_the_other_way_round_is_the_mirror_image(one: Spec, two: Spec) -> None:
    there, back = diff(one, two), diff(two, one)
    assert bool(there) == bool(back) == (one != two)
    assert there.added_edges == back.removed_edges
    assert there.removed_edges == back.added_edges
    assert {(v.key, str(v.before), str(v.after)) for v in there.values} == {
        (v.key, str(v.after), str(v.before)) for v in back.values
    }
    mirrored = {"added": "removed", "removed": "added", "changed": "changed"}
    assert {node.name: (mirrored[node.what], node.after, -node.delta_parameters) for node in there.nodes} == {
        node.name: (node.what, node.before, node.delta_parameters) for node in back.nodes
    }
    for found in (there, back):
        assert sum(node.delta_parameters for node in found.nodes) == found.delta_parameters
        assert sum(node.delta_madds for node in found.nodes) == found.delta_madds
        assert found.delta_parameters == found.new.parameter_count - found.old.parameter_count


def test_a_layer_whose_input_alone_changed_is_listed_and_not_lit_up() -> None:
    text = (
        "nodes:\n  x: {kind: input, shape: [2]}\n  a: {kind: linear, from: x, features: 3}\n"
        "  b: {kind: linear, from: a, features: 3}\noutput: b"
    )
    found = diff(parse_spec(text), parse_spec(text.replace("x, features: 3", "x, features: 5")))
    assert [(node.name, node.is_own) for node in found.nodes] == [("a", True), ("b", False)]
    words = [phrase.words for phrase in phrases_of_difference(found)]
    assert words == ["→ changed: 1 node"]
    assert highlights_of_difference(found).nodes == {"a"}
    back = diff(found.new.spec, found.old.spec)
    assert [phrase.words for phrase in phrases_of_difference(back)] == ["→ narrower, dashed: 1 node"]
    assert highlights_of_difference(back).narrower == {"a"}


def test_a_wider_group() -> None:
    found = changed(("features: 4", "features: 7"))
    assert [(node.name, node.what, node.added_features) for node in found.nodes] == [
        ("stem", "changed", 3),
        ("mix", "changed", 3),
        ("sum", "changed", 0),
        ("y", "changed", 0),
    ]
    assert (found.added_edges, found.removed_edges, found.values) == ((), (), ())
    by_name = {node.name: node for node in found.nodes}
    assert (by_name["mix"].before, by_name["mix"].after) == ((4,), (7,))
    assert by_name["y"].delta_parameters == 3 * 3
    assert by_name["sum"].values == ()


def test_options_sections_and_edges() -> None:
    found = changed(
        ("activation: relu", "activation: gelu, grow: {max: 9}"),
        ("from: [stem, mix]", "from: [mix, x2]"),
        ("  mix:", "  x2: {kind: linear, from: x, features: 4}\n  mix:"),
        ("output: y", "output: y\ngrowth: {stop: {parameters: 99}}"),
    )
    assert [(node.name, node.what) for node in found.nodes] == [("stem", "changed"), ("x2", "added")]
    told = {(v.key, v.before, v.after) for v in found.nodes[0].values}
    assert told == {("activation", "relu", "gelu"), ("grow.max", None, 9)}
    assert found.added_edges == ("x->x2", "x2->sum")
    assert found.removed_edges == ("stem->sum",)
    assert [(v.key, v.before, v.after) for v in found.values] == [("growth.stop.parameters", None, 99)]


def test_a_node_of_another_kind_is_changed() -> None:
    found = changed(("kind: linear, from: stem, features: 4", "kind: dropout, from: stem"))
    (node,) = found.nodes
    assert (node.name, node.what, node.delta_parameters) == ("mix", "changed", -20)
    assert [(v.key, v.before, v.after) for v in node.values] == [("kind", "linear", "dropout")]


def test_it_shows_itself() -> None:
    svg = changed(("features: 4", "features: 7"))._repr_svg_()
    assert svg is not None
    assert "+3 features" in svg


@given(specs(), specs())
def test_any_two_are_drawn_in_one_picture(one: Spec, two: Spec) -> None:
    from gromo_graph.render.drawing.dot import difference_to_dot

    assume(len(one.nodes) + len(two.nodes) < 12)
    drawing = difference_to_dot(diff(one, two))
    graph = build_graph(two)
    gone = [name for name in one.nodes if name not in two.nodes]
    parts = [part.name for key, part in drawing.parts.items() if key[0] in "ng"]
    assert parts == [*graph.spec.nodes, *gone]
    assert drawing.dot.count("style=dashed") == len(diff(one, two).removed_edges)


@pytest.mark.parametrize("name", ["</svg><script>", '"]; a', "a & b"])
def test_names_are_escaped(name: str) -> None:
    from gromo_graph import render

    old = parse_spec(TEXT.replace("mix", f"'{name}'"))
    svg = str(render(diff(old, parse_spec(TEXT))))
    assert "<script>" not in svg
    assert 'class="removed"' in svg or "removed" in svg


def test_paths_are_no_networks() -> None:
    with pytest.raises(GraphError, match=r"cannot compare str: expected a spec, .*load_run\(path\)"):
        diff("runs/one@0", "runs/one")  # type: ignore[arg-type]
