"""Units: which module is previous and next to which, on random graphs."""

from __future__ import annotations

from math import prod

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from gromo_graph import Spec, parse_spec
from gromo_graph.graph import build_graph
from gromo_graph.spec.kinds import (
    Depthwise,
    Embedding,
    Layer,
    LayerNorm,
    Operation,
    Positions,
    WidthRule,
)
from gromo_graph.spec.kinds.affine import Affine
from gromo_graph.spec.kinds.class_token import ClassToken
from gromo_graph.spec.kinds.grouped_conv import GroupedConv
from gromo_graph.spec.kinds.norm import Norm
from gromo_graph.spec.kinds.prelu import PReLU
from gromo_graph.spec.kinds.recurrent import Recurrent
from gromo_graph.spec.kinds.rms_norm import RMSNorm
from tests.spec.strategies import specs

PLAIN = st.sampled_from([f"n{place}" for place in range(12)])
GRAPHS = settings(max_examples=60)


@GRAPHS
@given(specs(names=PLAIN, max_nodes=11))
def test_previous_and_next_agree(spec: Spec) -> None:
    units = build_graph(spec).units
    seen: set[str] = set()
    for key, unit in units.items():
        assert key == unit.key
        assert seen >= set(unit.reads)
        seen.add(key)
        plain = ("input", "fixed")  # neither growing nor merge modules
        assert unit.previous == tuple(source for source in unit.reads if units[source].role not in plain)
        readers = {other.key for other in units.values() if key in other.reads and other.role not in plain}
        assert set(unit.next) == readers
        assert len(unit.next) == len(set(unit.next))


@GRAPHS
@given(specs(names=PLAIN, max_nodes=11))
def test_a_layer_has_one_next_module_at_most(spec: Spec) -> None:
    graph = build_graph(spec)
    for unit in graph.units.values():
        if unit.role == "layer":
            assert len(unit.next) <= 1
            assert len(unit.reads) == 1
        if unit.role == "fan_out":
            assert len(unit.reads) == 1
            readers = graph.readers(unit.node)
            growing = [name for name in readers if graph.units[name].role != "fixed"]
            assert len(unit.next) == len(growing)
            assert len(readers) > 1
            assert graph.units[unit.reads[0]].role == "layer"


@GRAPHS
@given(specs(names=PLAIN, max_nodes=11))
def test_every_node_is_in_one_unit_and_every_reading_is_kept(spec: Spec) -> None:
    graph = build_graph(spec)
    unit_of: dict[str, str] = {}
    for unit in graph.units.values():
        for name in (() if unit.role == "fan_out" else (unit.node,)) + unit.operations:
            assert name not in unit_of
            unit_of[name] = unit.key
    assert unit_of.keys() == spec.nodes.keys()
    kept = set()
    for unit in graph.units.values():
        if unit.role != "fan_out":
            for source in unit.reads:
                through = graph.units[source]
                kept.add((through.reads[0] if through.role == "fan_out" else source, unit.key))
    expected = {(unit_of[a], unit_of[b]) for a, b in graph.digraph.edges if unit_of[a] != unit_of[b]}
    assert kept == expected


@GRAPHS
@given(specs(names=PLAIN, max_nodes=11))
def test_operations_are_folded_where_nobody_else_sees_the_value_before(spec: Spec) -> None:
    graph = build_graph(spec)
    folded = {name for unit in graph.units.values() for name in unit.operations}

    def is_fixed(name: str) -> bool:
        """Such a node is a unit of its own, and nothing is folded into it."""
        return spec.nodes[name].width_rule is WidthRule.FIXED and bool(spec.nodes[name].sources)

    for name, node in spec.nodes.items():
        if isinstance(node, Operation):
            source = node.sources[0]
            alone = graph.readers(source) == (name,) and source not in spec.outputs and len(node.sources) == 1
            assert (name in folded) == (alone and not is_fixed(name) and not is_fixed(source))
        else:
            assert name not in folded


@GRAPHS
@given(specs(names=PLAIN, max_nodes=11))
def test_the_view_agrees_with_the_spec(spec: Spec) -> None:
    graph = build_graph(spec)
    place = {name: index for index, name in enumerate(graph.order)}
    assert sorted(place) == sorted(spec.nodes)
    assert all(place[source] < place[name] for name, node in spec.nodes.items() for source in node.sources)
    assert {edge.id for edge in graph.edges} == {f"{a}->{b}" for a, b in graph.digraph.edges}
    assert all(
        graph.readers(name) == tuple(other for other, node in spec.nodes.items() if name in node.sources)
        for name in spec.nodes
    )
    for name, node in spec.nodes.items():
        shape = graph.shapes[node.sources[0]] if node.sources else ()
        sizes = getattr(node, "kernel", 1)
        taps = prod(sizes) if isinstance(sizes, tuple) else sizes ** getattr(node, "dimensions", 1)
        if isinstance(node, Embedding):
            assert graph.parameters(name) == node.features * node.vocabulary
        elif isinstance(node, Positions):
            assert graph.parameters(name) == prod(shape)
        elif isinstance(node, Recurrent):
            read = shape[0] + node.features + 2 * node.bias
            assert graph.parameters(name) == node.gates * node.features * read
        elif isinstance(node, Layer):
            assert graph.parameters(name) == node.features * (shape[0] * taps + node.bias)
        elif isinstance(node, Depthwise):
            assert graph.parameters(name) == shape[0] * (taps * node.group_width + node.bias)
        elif isinstance(node, GroupedConv):
            assert graph.parameters(name) == node.features * (shape[0] // node.groups * taps + node.bias)
        elif isinstance(node, ClassToken):
            assert graph.parameters(name) == shape[0] * node.count
        elif isinstance(node, Affine):
            assert graph.parameters(name) == (node.weight + node.bias) * (1 if node.shared else shape[0])
        elif isinstance(node, PReLU):
            assert graph.parameters(name) == (1 if node.shared else shape[0])
        elif isinstance(node, Norm):
            whole = isinstance(node, LayerNorm | RMSNorm) and node.over != "features"
            each = prod(shape[1:]) if whole else 1
            affine = getattr(node, "elementwise_affine", True)
            numbers = affine * (1 + (not isinstance(node, RMSNorm) and getattr(node, "bias", True)))
            assert graph.parameters(name) == numbers * shape[0] * each
        else:
            assert graph.parameters(name) == 0
    assert graph.parameter_count == sum(graph.parameters(name) for name in spec.nodes)
    assert nx.is_directed_acyclic_graph(graph.digraph)


def test_a_fan_out_behind_folded_operations() -> None:
    spec = parse_spec(
        """
nodes:
  x: {kind: input, shape: [4]}
  a: {kind: linear, from: x, features: 2}
  d: {kind: dropout, from: a}
  b: {kind: linear, from: d, features: 2}
  s: {kind: merge, from: [d, b]}
output: s
"""
    )
    units = build_graph(spec).units
    assert list(units) == ["x", "a", "d->", "b", "s"]
    assert units["a"].operations == ("d",)
    assert units["a"].last == "d"
    assert units["d->"].previous == ("a",)
    assert units["d->"].next == ("b", "s")
    assert units["s"].previous == ("d->", "b")
