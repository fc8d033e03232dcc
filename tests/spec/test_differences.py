"""The keys at which several specs are not the same."""

from __future__ import annotations

from gromo_graph.spec import parse_spec
from gromo_graph.spec.differences import differing

TEXT = """
name: small
nodes:
  x: {kind: input, shape: [4]}
  h: {kind: linear, from: x, features: 2, activation: relu}
  more: {kind: linear, from: h, features: 2, bias: false}
  y: {kind: linear, from: more, features: 3}
output: y
growth: {stop: {parameters: 60}}
"""
SHORT = TEXT.replace("  more: {kind: linear, from: h, features: 2, bias: false}\n", "").replace(
    "from: more", "from: h"
)


def test_equal_specs_have_no_differences() -> None:
    assert differing([parse_spec(TEXT)] * 3) == {}


def test_a_key_has_the_value_of_each_spec_be_it_a_default() -> None:
    changed = {"nodes.h.bias": "false", "growth.stop.parameters": "90", "train.epochs": "7"}
    found = differing([parse_spec(TEXT), parse_spec(TEXT, overrides=changed), parse_spec(TEXT)])
    default = parse_spec(TEXT).train.epochs
    assert found == {
        ("nodes", "h", "bias"): (True, False, True),
        ("growth", "stop", "parameters"): (60, 90, 60),
        ("train", "epochs"): (default, 7, default),
    }


def test_a_node_that_one_of_them_lacks_is_shown_as_a_whole() -> None:
    wider = parse_spec(TEXT, overrides={"nodes.more.features": "3"})
    found = differing([parse_spec(TEXT), wider, parse_spec(SHORT)])
    more = {"kind": "linear", "from": "h", "features": 2, "bias": False}
    assert found == {
        ("nodes", "more"): (more, {**more, "features": 3}, None),
        ("nodes", "y", "from"): (["more"], ["more"], ["h"]),
    }


def test_named_outputs_beside_one_output() -> None:
    found = differing([parse_spec(SHORT), parse_spec(SHORT.replace("output: y", "outputs: [y]"))])
    assert found == {("output",): ("y", None), ("outputs",): (None, ["y"])}
