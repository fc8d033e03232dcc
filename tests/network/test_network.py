"""Spec -> network."""

from __future__ import annotations

import copy

import pytest
import torch

from gromo_graph import (
    CompileError,
    GraphError,
    GrowingModule,
    MergeGrowingModule,
    compile_network,
    parse_spec,
)
from gromo_graph.network.module_keys import module_key

RESIDUAL = """
version: 1
name: residual
nodes:
  x: {kind: input, shape: [5]}
  stem: {kind: linear, from: x, features: 4, activation: relu}
  lift: {kind: linear, from: stem, features: 3, activation: tanh}
  drop: {kind: dropout, from: lift, p: 0.5}
  mix: {kind: linear, from: drop, features: 4}
  join: {kind: merge, from: [stem, mix], activation: gelu}
  both: {kind: merge, merge: concat, from: [join, stem]}
  y: {kind: linear, from: both, features: 2}
output: y
"""


def by_hand(network: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The residual network in plain torch."""
    state = network.state_dict()

    def linear(name: str, value: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(
            value, state[f"nodes.{name}.layer.weight"], state[f"nodes.{name}.layer.bias"]
        )

    stem = linear("stem", x).relu()
    mix = linear("mix", linear("lift", stem).tanh())
    join = torch.nn.functional.gelu(stem + mix)
    return linear("y", torch.cat([join, stem], dim=1))


def test_forward_is_what_the_spec_says() -> None:
    network = compile_network(parse_spec(RESIDUAL), seed=3).eval()
    x = torch.randn(7, 5)
    torch.testing.assert_close(network(x), by_hand(network, x))
    torch.testing.assert_close(network.extended_forward(x), by_hand(network, x))


def test_links() -> None:
    network = compile_network(parse_spec(RESIDUAL))
    fan_out = network.unit("stem->")
    assert isinstance(fan_out, MergeGrowingModule)
    assert network.growing("stem").next_module is fan_out
    assert network.growing("lift").previous_module is fan_out
    assert network.growing("mix").previous_module is network.growing("lift")
    join = network.unit("join")
    assert list(join.previous_modules) == [fan_out, network.growing("mix")]
    assert network.growing("y").previous_module is network.unit("both")
    assert network.growing("y").next_module is None


def test_same_seed_same_weights_and_the_global_generator_is_left_alone() -> None:
    state = torch.random.get_rng_state()
    one, two = (compile_network(parse_spec(RESIDUAL), seed=5) for _ in range(2))
    other = compile_network(parse_spec(RESIDUAL), seed=6)
    assert torch.equal(state, torch.random.get_rng_state())
    x = torch.randn(3, 5)
    assert torch.equal(one.eval()(x), two.eval()(x))
    assert not torch.equal(one(x), other.eval()(x))


def test_spec_and_graph_equal_the_real_sizes() -> None:
    network = compile_network(parse_spec(RESIDUAL))
    assert network.graph.parameter_count == sum(p.numel() for p in network.parameters())
    for name in ("stem", "lift", "mix", "y"):
        assert network.growing(name).layer.weight.shape[0] == network.graph.features(name)


def test_copies_are_independent_and_linked_among_themselves() -> None:
    network = compile_network(parse_spec(RESIDUAL), seed=0).eval()
    copied = copy.deepcopy(network)
    assert copied.growing("mix").previous_module is copied.growing("lift")
    assert copied.growing("mix").previous_module is not network.growing("lift")
    with torch.no_grad():
        copied.growing("y").layer.weight.zero_()
    x = torch.randn(3, 5)
    assert not torch.equal(network(x), copied(x))


def test_precision_and_conversion() -> None:
    network = compile_network(parse_spec(RESIDUAL), dtype=torch.float64)
    assert {p.dtype for p in network.parameters()} == {torch.float64}
    assert network.float()(torch.randn(2, 5)).dtype == torch.float32


def test_several_inputs_and_outputs_by_position_and_by_name() -> None:
    network = compile_network(
        parse_spec(
            """
version: 1
name: two
nodes:
  left: {kind: input, shape: [2, 3]}
  right: {kind: input, shape: [4]}
  flat: {kind: flatten, from: left}
  both: {kind: merge, merge: concat, from: [flat, right]}
  a: {kind: linear, from: both, features: 2}
  b: {kind: linear, from: both, features: 1}
outputs: [b, a]
"""
        ),
        seed=0,
    )
    left, right = torch.randn(6, 2, 3), torch.randn(6, 4)
    result = network(left, right)
    assert list(result) == ["b", "a"]
    assert torch.equal(result["a"], network(right=right, left=left)["a"])
    weight = network.growing("a").layer.weight
    expected = torch.cat([left.flatten(1), right], dim=1) @ weight.T + network.growing("a").layer.bias
    torch.testing.assert_close(result["a"], expected)
    for arguments, named in [((left,), {}), ((left, right, right), {}), ((left,), {"left": left})]:
        with pytest.raises(GraphError, match="reads 2 input"):
            network(*arguments, **named)
    with pytest.raises(GraphError, match=r"is a list: expected a tensor of shape \(batch, 2, 3\)"):
        network([[1.0]], right)
    with pytest.raises(GraphError, match=r"input `right` has shape \(6, 5\): expected \(batch, 4\)"):
        network(left, torch.randn(6, 5))


def test_unknown_layer_is_named() -> None:
    network = compile_network(parse_spec(RESIDUAL))
    with pytest.raises(GraphError, match="`join` is no layer of this network"):
        network.growing("join")
    assert isinstance(network.growing("y"), GrowingModule)


def test_keys_differ_for_different_names() -> None:
    names = ["a.b", "a%2Eb", "a%", "a%25", "forward", "forward%", "keys", "keys%", "_modules", "training"]
    keys = [module_key(name) for name in names]
    assert len(set(keys)) == len(names)
    torch.nn.ModuleDict({key: torch.nn.Identity() for key in keys})


def test_a_path_is_no_spec() -> None:
    with pytest.raises(CompileError, match="found a str: expected a Spec, call load_spec"):
        compile_network("network.yaml")
