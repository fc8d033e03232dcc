"""Every pair of edits, in one transaction on small graphs: it is done, or refused in words, and never a crash."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product

import pytest
import torch

from gromo_graph import (
    AddEdge,
    AddNode,
    DuplicateBlock,
    Edits,
    GraphError,
    GromoGraphError,
    InsertBetween,
    RemoveEdge,
    RemoveNode,
    RenameNode,
    ReplaceLayer,
    SetFeatures,
    SetOptions,
    SetOutput,
    SetSection,
    Spec,
    check_spec,
    compile_network,
    edit,
    parse_spec,
)
from gromo_graph.graph.edits import AddAdapter, Restore, SpecEdit, WidenOutputs

CHAIN = """
nodes:
  x: {kind: input, shape: [4]}
  h: {kind: linear, from: x, features: 2, activation: relu}
  n: {kind: layer_norm, from: h}
  y: {kind: linear, from: n, features: 3}
output: y
"""
RESIDUAL = """
nodes:
  x: {kind: input, shape: [4]}
  h: {kind: linear, from: x, features: 4, grow: {tie: w}}
  s: {kind: merge, from: [x, h], activation: relu}
  c: {kind: merge, from: [s, h], merge: concat}
  n: {kind: group_norm, from: c, groups: 2}
  y: {kind: linear, from: n, features: 4, grow: {tie: w}}
outputs: [y, c]
"""
IMAGE = """
nodes:
  x: {kind: input, shape: [2, 6, 6]}
  h: {kind: conv2d, from: x, features: 2, kernel: 3, padding: same}
  n: {kind: batch_norm, from: h}
  f: {kind: flatten, from: n}
  y: {kind: linear, from: f, features: 3}
output: y
"""
TOKENS = """
nodes:
  x: {kind: input, shape: [5]}
  h: {kind: embedding, from: x, vocabulary: 9, features: 4}
  q: {kind: conv1d, from: h, features: 4, kernel: 1}
  n: {kind: attention, from: [q, h, h2], heads: 2}
  h2: {kind: conv1d, from: h, features: 4, kernel: 1}
  y: {kind: conv1d, from: n, features: 3, kernel: 1}
output: y
"""
GRAPHS = {"chain": CHAIN, "residual": RESIDUAL, "image": IMAGE, "tokens": TOKENS}


def edits(spec: Spec) -> Iterator[SpecEdit]:
    """Each kind of edit at several places, right ones and wrong ones."""
    linear = {"kind": "linear", "features": 2}
    merge = {"kind": "merge", "from": ["x", "h"]}
    yield AddNode("b", {**linear, "from": "x"}, read_by=["y"])
    yield AddNode("b", {**linear, "from": "b"}, read_by=["b"])
    yield AddNode("m", merge, read_by=["n"])
    yield AddNode("i", {"kind": "input", "shape": [4]})
    yield AddNode("none", {"kind": "dropout", "from": []})
    for name in ("x", "h", "n", "y"):
        yield RemoveNode(name)
        yield RenameNode(name, "b")
        yield SetFeatures(name, 5)
        yield ReplaceLayer(name, linear)
        yield DuplicateBlock([name])
    yield DuplicateBlock(["h", "n"])
    for source, target in (("x", "y"), ("y", "h"), ("x", "n"), ("h", "h"), ("h", "y")):
        yield AddEdge(source, target)
        yield AddEdge(source, target, direct=True)
    for edge in (("x", "h"), ("n", "y")):
        yield RemoveEdge(*edge)
        yield InsertBetween(*edge, "b", {"kind": "linear"})
        yield InsertBetween(*edge, "b", {"kind": "batch_norm"})
    yield SetOptions("h", {"activation": "tanh", "grow": False})
    yield SetOptions("n", {"from": ["x", "y"]})
    yield SetOptions("y", {"from": "x"})
    yield SetOutput(["h"])
    yield SetOutput(["y", "h"], named=True)
    yield SetSection("growth", {"actions": ["new_edge"]})
    yield AddAdapter("h", 1)
    yield AddAdapter("n", 1)
    yield WidenOutputs(7)
    yield WidenOutputs(8, output="h", freeze=True)
    yield Restore(spec)


def test_every_kind_of_edit_is_tried() -> None:
    tried = {type(each) for each in edits(parse_spec(CHAIN))}
    assert tried == set(SpecEdit.__subclasses__()) - {Edits}


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_pair_of_edits_is_done_or_refused_in_words(graph: str) -> None:
    spec = parse_spec(GRAPHS[graph])
    done = 0
    for first, second in product(edits(spec), repeat=2):
        try:
            with edit(spec) as transaction:
                transaction.apply(first).apply(second)
        except GromoGraphError:  # words; anything else is a crash
            continue
        assert check_spec(transaction.spec) == (), (first, second)
        done += 1
    assert done > 50


@pytest.mark.parametrize("graph", GRAPHS)
def test_pairs_on_a_live_network(graph: str) -> None:
    """Each third one: every edit comes first and second."""
    spec = parse_spec(GRAPHS[graph])
    network = compile_network(spec, seed=0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    done = 0
    for first, second in islice(product(edits(spec), repeat=2), 0, None, 3):
        try:
            with edit(network) as transaction:
                transaction.apply(first).apply(second)
        except GromoGraphError:
            assert network.spec == spec, (first, second)
            continue
        done += 1
        assert transaction.inverse is not None
        with edit(network) as back:
            back.apply(transaction.inverse)
        assert network.spec == spec, (first, second)
    assert done > 15
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_second_reading_of_a_layer_is_told_in_words() -> None:
    spec = parse_spec(CHAIN)
    e = edit(spec).add_node("b", {"kind": "linear", "from": "x", "features": 2}, read_by="y")
    with pytest.raises(GraphError, match="`y`: a linear node reads one node, found 2: put a `merge` node"):
        e.connect("x", "y")


def test_the_copy_of_a_renamed_node_has_its_weights() -> None:
    network = compile_network(parse_spec(CHAIN.replace("shape: [4]", "shape: [2]")), seed=0)
    weight = network.parts["h"].weight
    with edit(network) as e:
        e.rename("h", "first").duplicate(["first"])
    assert torch.equal(network.parts["copy.first"].weight, weight)
    assert network.parts["first"].weight is weight


def test_a_copy_keeps_its_width_if_the_original_becomes_narrower() -> None:
    network = compile_network(parse_spec(CHAIN.replace("shape: [4]", "shape: [3]")), seed=0)
    weight = network.parts["y"].weight.clone()
    with edit(network) as e:
        e.insert("n", "y", "p", {"kind": "linear", "features": 3}).duplicate(["p"], "second.")
        e.duplicate(["y"]).replace("copy.y", {"kind": "linear", "features": 2})
    assert network.parts["y"].weight.shape == (3, 3)
    assert torch.equal(network.parts["y"].weight[:, :2], weight)


def test_a_copy_of_an_inserted_layer_begins_as_that_layer_does() -> None:
    network = compile_network(parse_spec(CHAIN), seed=0)
    with edit(network) as e:
        e.insert("x", "h", "p", {"kind": "linear"}).duplicate(["p"])
    assert torch.equal(network.parts["copy.p"].weight, torch.eye(4))
    assert e.preserved
