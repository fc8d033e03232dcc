"""to_torch: a plain module that computes the same and needs no gromo_graph."""

from __future__ import annotations

import copy
import io
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.modules.dropout import _DropoutNd

from gromo_graph import GrowingNetwork, GrowthScheduler, Spec, compile_network, load_spec, parse_spec
from gromo_graph.network.plain import identifiers
from gromo_graph.spec.kinds.activation import ActivationName
from tests.network.test_any_spec import batch
from tests.spec.strategies import NAMES, specs

SPECS = sorted((Path(__file__).resolve().parents[2] / "specs").glob("*.yaml"))

TWO = """
nodes:
  left part: {kind: input, shape: [2, 3]}
  forward: {kind: input, shape: [4]}
  a.b: {kind: flatten, from: left part}
  both: {kind: merge, merge: concat, from: [a.b, forward], activation: gelu}
  drop: {kind: dropout, from: both, p: 0.4}
  a: {kind: linear, from: drop, features: 2}
  self: {kind: linear, from: both, features: 1, activation: tanh}
outputs: [self, a]
"""


def agree(network: GrowingNetwork, plain: torch.nn.Module) -> None:
    """Outputs and running statistics, in training and in evaluation, with the same draws of dropout."""
    inputs = batch(network)
    for training in (True, False):
        for module in (network, plain):
            module.train(training)
        torch.manual_seed(0)
        expected = network(*inputs)
        torch.manual_seed(0)
        found = plain(*inputs)
        assert isinstance(found, dict) == isinstance(expected, dict)
        one = expected if isinstance(expected, dict) else {"": expected}
        other = found if isinstance(found, dict) else {"": found}
        assert list(one) == list(other)
        for name, value in one.items():
            torch.testing.assert_close(other[name], value, rtol=0, atol=1e-12)


def without_dropout(network: GrowingNetwork) -> GrowingNetwork:
    """Branches may draw in another order."""
    for module in network.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
    return network


@settings(max_examples=40)
@given(specs(names=NAMES, max_nodes=10))
def test_any_spec(spec: Spec) -> None:
    network = without_dropout(compile_network(spec, seed=0, dtype=torch.float64))
    agree(network, network.to_torch())


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_spec_of_the_gallery(path: Path) -> None:
    network = compile_network(load_spec(path), seed=0, dtype=torch.float64)
    plain = network.to_torch()
    assert all(type(part).__module__.startswith("torch.nn.") for part in plain.children())
    agree(network, plain)


@pytest.mark.parametrize(
    "activation", [*ActivationName.__args__, "{leaky_relu: 0.2}", "{gelu: tanh}", "{hardtanh: [0, 2]}"]
)
def test_every_activation(activation: str) -> None:
    network = compile_network(
        parse_spec(
            f"""
nodes:
  x: {{kind: input, shape: [5]}}
  h: {{kind: linear, from: x, features: 7, activation: {activation} }}
  m: {{kind: merge, from: h, activation: {activation} }}
output: m
"""
        ),
        seed=1,
        dtype=torch.float64,
    )
    agree(network, network.to_torch())


def test_several_inputs_and_outputs_with_any_names() -> None:
    network = compile_network(parse_spec(TWO), seed=0, dtype=torch.float64)
    plain = network.to_torch()
    agree(network, plain)
    left, right = batch(network)
    torch.testing.assert_close(plain.eval()(left_part=left, forward_=right), network.eval()(left, right))


def test_it_is_a_module_of_its_own() -> None:
    network = compile_network(load_spec(SPECS[4]), seed=0)
    network.eval()
    plain = network.to_torch()
    assert not plain.training
    assert not any(part.training for part in plain.modules())
    network.train()
    assert network.to_torch().training
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.zero_()
    assert any(bool(parameter.any()) for parameter in network.parameters())
    again = copy.deepcopy(network.to_torch())
    again.load_state_dict(plain.state_dict())
    assert not any(bool(parameter.any()) for parameter in again.parameters())
    assert {p.dtype for p in again.double().parameters()} == {torch.float64}
    assert next(again.to("meta").parameters()).is_meta


def test_it_can_be_trained_and_frozen_weights_stay_frozen() -> None:
    network = compile_network(parse_spec(TWO), seed=0, dtype=torch.float64)
    network.growing("a").layer.weight.requires_grad_(False)
    plain = network.to_torch()
    sum(value.sum() for value in plain(*batch(network)).values()).backward()
    without = [name for name, parameter in plain.named_parameters() if parameter.grad is None]
    assert without == ["a.weight"]


def test_what_has_grown_is_in_it() -> None:
    network = compile_network(load_spec(SPECS[4]), seed=0).double()
    before = network.graph.parameter_count
    generator = torch.Generator().manual_seed(0)
    (shape,) = (network.graph.shapes[name] for name in network.spec.inputs)
    x = torch.randn(60, *shape, generator=generator, dtype=torch.float64)
    y = torch.randint(10, (60,), generator=generator)
    scheduler = GrowthScheduler(network, torch.nn.functional.cross_entropy, epochs=10)
    scheduler.step([(x, y)], [(x, y)])
    assert network.graph.parameter_count > before
    plain = network.to_torch()
    assert sum(parameter.numel() for parameter in plain.parameters()) == network.graph.parameter_count
    agree(network, plain)


def test_it_is_read_where_there_is_only_torch(tmp_path: Path) -> None:
    network = compile_network(parse_spec(TWO), seed=0).eval()
    plain, inputs = network.to_torch(), [tensor.float() for tensor in batch(network)]
    torch.save({"module": plain, "inputs": inputs, "outputs": plain(*inputs)}, tmp_path / "plain.pt")
    code = (
        "import sys, torch\n"
        "sys.modules['gromo_graph'] = None\n"
        "kept = torch.load('plain.pt', weights_only=False)\n"
        "found = kept['module'](*kept['inputs'])\n"
        "assert all(torch.equal(found[name], value) for name, value in kept['outputs'].items())\n"
        "print(len(found), kept['module'].training)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "2 False", done.stderr
    buffer = io.BytesIO()
    torch.save(plain.state_dict(), buffer)


@given(st.lists(NAMES, unique=True, max_size=12))
def test_identifiers_differ_and_are_safe(names: list[str]) -> None:
    found = identifiers(names)
    assert len(set(found.values())) == len(names)
    module = torch.nn.Module()
    for name in found.values():
        assert name.isidentifier()
        assert name.isascii()
        assert not name.startswith("_")
        module.add_module(name, torch.nn.Identity())


def test_many_names_alike_get_numbers() -> None:
    found = identifiers(["a b", "a_b", "a.b", "a_b_2", "é", "ü"])
    assert list(found.values()) == ["a_b", "a_b_2", "a_b_3", "a_b_2_2", "node", "node_2"]


def test_a_convolution_that_moves_nothing_is_a_linear_layer_at_each_position() -> None:
    spec = parse_spec(
        """
nodes:
  x: {kind: input, shape: [3, 5]}
  a: {kind: conv1d, from: x, features: 4, kernel: 1, activation: gelu}
  b: {kind: conv1d, from: a, features: 2, kernel: 1, stride: 2}
output: b
"""
    )
    network = compile_network(spec, seed=0, dtype=torch.float64)
    x = torch.randn(2, 3, 5, dtype=torch.float64)
    by_torch = torch.nn.functional.conv1d(x, network.parts["a"].weight, network.parts["a"].bias)
    torch.testing.assert_close(network.parts["a"](x), by_torch)
    plain = network.to_torch()
    assert (type(plain.a), type(plain.b)) == (torch.nn.Linear, torch.nn.Conv1d)
    torch.testing.assert_close(plain(x), network(x))
    network.parts["a"].weight.requires_grad_(False)
    assert not network.to_torch().a.weight.requires_grad
