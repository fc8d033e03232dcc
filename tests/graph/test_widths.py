"""Width groups against a slow reference that follows every single feature."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gromo_graph import Spec, check_spec, parse_spec
from gromo_graph.graph import Graph, apply, build_graph, widening
from gromo_graph.spec.kinds import Attention, Depthwise, Flatten, GroupNorm, Input, Layer, Merge
from gromo_graph.spec.kinds.base import Node, WidthRule, is_affine
from tests.spec.strategies import specs

PLAIN = st.sampled_from([f"n{place}" for place in range(12)])
GRAPHS = settings(max_examples=60)

Row = list[tuple[str, int, int]]
"""For each feature of an output: the node that made it, its place there, and which of its values a flatten put here."""


def rows_of(graph: Graph) -> Mapping[str, Row]:
    rows: dict[str, Row] = {}
    for name in graph.order:
        node = graph.spec.nodes[name]
        inputs = [rows[source] for source in node.sources]
        if isinstance(node, Layer | Input):
            rows[name] = [(name, place, 0) for place in range(graph.features(name))]
        elif isinstance(node, Merge) and node.merge == "concat":
            rows[name] = [feature for row in inputs for feature in row]
        elif isinstance(node, Flatten):
            positions = graph.features(name) // len(inputs[0])
            rows[name] = [
                (maker, place, value * positions + position)
                for maker, place, value in inputs[0]
                for position in range(positions)
            ]
        else:
            rows[name] = inputs[-1] if isinstance(node, Attention) else inputs[0]
    return rows


def kernel_of(node: Depthwise) -> tuple[int, ...]:
    return node.kernel if isinstance(node.kernel, tuple) else (node.kernel,)


def is_followed(node: Node) -> bool:
    """True if the reference knows the node; products, slices and groups of channels have tests of their own."""
    if isinstance(node, Depthwise):
        return node.group_width == 1
    if isinstance(node, Merge):
        return node.merge != "product"
    return node.width_rule is not WidthRule.FIXED or isinstance(node, Input)


def places_of(row: Row) -> list[tuple[int, int]]:
    return [(place, value) for _, place, value in row]


def reference(graph: Graph) -> tuple[dict[str, frozenset[str]], set[str]]:
    """The class of each maker of features, and the makers that must not grow."""
    rows = rows_of(graph)
    together: dict[str, frozenset[str]] = {
        name: frozenset({name}) for name, node in graph.spec.nodes.items() if isinstance(node, Layer | Input)
    }
    fixed = {name for name, node in graph.spec.nodes.items() if isinstance(node, Input)}
    fixed.update(maker for output in graph.spec.outputs for maker, _, _ in rows[output])
    for name in graph.order:
        node = graph.spec.nodes[name]
        if isinstance(node, Attention) and node.heads > 1:
            value = rows[name]
            if len({maker for maker, _, _ in value}) > 1 or any(place for _, _, place in value):
                fixed.update(maker for maker, _, _ in value)
        if isinstance(node, Attention) or (isinstance(node, Merge) and node.merge == "sum"):
            compared = node.sources[:2] if isinstance(node, Attention) else node.sources
            first, *others = (rows[source] for source in compared)
            for row in others:
                if places_of(row) != places_of(first):
                    fixed.update(maker for maker, _, _ in (*first, *row))
                    continue
                for (a, _, _), (b, _, _) in zip(first, row, strict=True):
                    united = together[a] | together[b]
                    for maker in united:
                        together[maker] = united
        if isinstance(node, Depthwise) and any(size % 2 == 0 for size in kernel_of(node)):
            fixed.update(maker for maker, _, _ in rows[name])
        if isinstance(node, GroupNorm):
            makers = [maker for maker, place, value in rows[name] if (place, value) == (0, 0)]
            if len(makers) > 1 or any(value for _, _, value in rows[name]):
                fixed.update(maker for maker, _, _ in rows[name])
    return together, {maker for maker, others in together.items() if others & fixed}


def is_a_pair(graph: Graph, attentions: tuple[str, ...]) -> bool:
    """True if query and key are two layers that serve one attention's comparison alone."""
    (attention, *others), nodes = attentions, graph.spec.nodes
    makers = nodes[attention].sources[:2]
    return not others and all(
        is_affine(nodes[name])
        and nodes[name].activation == "identity"  # type: ignore[attr-defined]
        and graph.readers(name) == (attention,)
        for name in makers
    )


@GRAPHS
@given(specs(names=PLAIN, max_nodes=10))
def test_groups_are_those_of_the_reference(spec: Spec) -> None:
    assume(all(is_followed(node) for node in spec.nodes.values()))
    graph = build_graph(spec)
    together, fixed = reference(graph)
    layers = [name for name, node in spec.nodes.items() if isinstance(node, Layer)]
    assert sorted(name for group in graph.groups for name in group.producers) == sorted(layers)
    assert [group.target for group in graph.groups] == sorted(
        (group.target for group in graph.groups), key=layers.index
    )
    for group in graph.groups:
        assert list(group.producers) == [name for name in layers if name in together[group.target]]
        held = bool(fixed & set(group.producers))
        said_no = any(spec.nodes[name].grow is False for name in group.producers)  # type: ignore[attr-defined]
        reads = bool(group.consumers)
        if group.matches:
            reads = is_a_pair(graph, group.matches) and len(group.producers) == 2
        assert (group.reason is None) == (not held and not said_no and reads)
        assert {graph.features(name) for name in group.producers} == {group.features}
        assert graph.group_of(group.producers[-1]) is group


@GRAPHS
@given(specs(names=PLAIN, max_nodes=10), st.integers(1, 3))
def test_a_widened_group_fits_and_leaves_the_outputs_as_they_were(spec: Spec, neurons: int) -> None:
    graph = build_graph(spec)
    for group in graph.groups:
        if group.reason is None:
            wider = build_graph(apply(spec, widening(group, neurons * group.unit)))
            assert [wider.shapes[name] for name in spec.outputs] == [
                graph.shapes[name] for name in spec.outputs
            ]
            assert [g.producers for g in wider.groups] == [g.producers for g in graph.groups]
            grown = [name for name in spec.nodes if wider.shapes[name] != graph.shapes[name]]
            assert set(group.producers) <= set(grown)
            limits = [p for p in check_spec(wider.spec) if not p.path.endswith(("max", "min"))]
            assert limits == []


@GRAPHS
@given(specs(names=PLAIN, max_nodes=10))
def test_consumers_are_the_layers_that_read_features_of_the_group(spec: Spec) -> None:
    graph = build_graph(spec)
    rows = rows_of(graph)
    for group in graph.groups:
        if group.reason is None:
            makers = set(group.producers)
            readers = [
                name
                for name, node in spec.nodes.items()
                if isinstance(node, Layer) and makers & {maker for maker, _, _ in rows[node.sources[0]]}
            ]
            assert list(group.consumers) == readers
            assert set(group.sites) == {spec.nodes[name].sources[0] for name in readers}


def test_segments_of_other_widths_do_not_grow_together() -> None:
    spec = parse_spec(
        """
nodes:
  x: {kind: input, shape: [4]}
  a: {kind: linear, from: x, features: 2}
  b: {kind: linear, from: x, features: 4}
  ab: {kind: merge, from: [a, b], merge: concat}
  ba: {kind: merge, from: [b, a], merge: concat}
  s: {kind: merge, from: [ab, ba]}
  y: {kind: linear, from: s, features: 3}
output: y
"""
    )
    groups = {group.target: group for group in build_graph(spec).groups}
    assert groups["a"].producers == ("a",)
    assert "do not match one to one" in str(groups["a"].reason)
    assert "do not match one to one" in str(groups["b"].reason)


def test_a_flattened_image_grows_by_channels() -> None:
    spec = parse_spec(
        """
nodes:
  image: {kind: input, shape: [3, 4, 5]}
  f: {kind: flatten, from: image}
  d: {kind: dropout, from: f}
  h: {kind: linear, from: d, features: 60}
  s: {kind: merge, from: [d, h]}
  y: {kind: linear, from: s, features: 2}
output: y
"""
    )
    graph = build_graph(spec)
    assert graph.shapes["f"] == (60,)
    assert "do not match one to one" in str(graph.group_of("h").reason)


def test_limits_of_a_group_are_the_tightest() -> None:
    spec = parse_spec(
        """
nodes:
  x: {kind: input, shape: [4]}
  a: {kind: linear, from: x, features: 2, grow: {max: 9, min: 3, ratio: 2}}
  b: {kind: linear, from: x, features: 2, grow: {max: 7, min: 4, step: 5}}
  s: {kind: merge, from: [a, b]}
  y: {kind: linear, from: s, features: 3}
output: y
"""
    )
    grow = build_graph(spec).group_of("a").grow
    assert (grow.max, grow.min, grow.step, grow.ratio) == (7, 4, 5, 2)
