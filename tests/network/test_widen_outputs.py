"""New classes for a trained network."""

from __future__ import annotations

import pytest
import torch

from gromo_graph import GrowthScheduler, WidenOutputs, compile_network, edit, from_torch, parse_spec
from gromo_graph.errors import GraphError
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.kinds import is_frozen

CE = torch.nn.functional.cross_entropy
TEXT = """
nodes:
  x: {kind: input, shape: [64]}
  h: {kind: linear, from: x, features: 16, activation: relu}
  n: {kind: layer_norm, from: h}
  y: {kind: linear, from: n, features: 5}
output: y
"""


def halves() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The digits 0 to 4, and all of them."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    rows, classes = torch.tensor(x[:600] / 16.0, dtype=torch.float32), torch.tensor(y[:600])
    return [(rows[classes < 5], classes[classes < 5]), (rows, classes)]


def trained(
    network: GrowingNetwork, data: tuple[torch.Tensor, torch.Tensor], optimizer: torch.optim.Optimizer
) -> float:
    for _ in range(40):
        optimizer.zero_grad()
        CE(network(data[0]), data[1]).backward()
        optimizer.step()
    return float((network(data[0]).argmax(1) == data[1]).float().mean())


def test_two_halves_of_the_classes_in_turn() -> None:
    old_half, everything = halves()
    network = compile_network(parse_spec(TEXT), seed=0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.02, weight_decay=0.1)
    assert trained(network, old_half, optimizer) > 0.97
    x = everything[0]
    before = network(x).detach()
    with edit(network, optimizer=optimizer) as e:
        e.widen_outputs(10, freeze=True)
    after = network(x).detach()
    assert torch.equal(after[:, :5], before)
    assert not after[:, 5:].any()
    assert [name for name, node in network.spec.nodes.items() if is_frozen(node)] == ["h", "n", "y.old"]
    kept = network.parts["h"].weight
    weights = kept.clone()
    policy = {"actions": ["new_node"], "when": {"until": 1.0, "steps": 2}, "neurons": {"per_step": 4}}
    scheduler = GrowthScheduler(network, CE, optimizer=optimizer, policy=policy, training_steps=2)
    for _ in range(2):
        assert scheduler.after_batch(*everything, [everything])
        accuracy = trained(network, everything, optimizer)
    assert any(parameter is kept for parameter in network.parameters())
    assert torch.equal(kept, weights)
    assert scheduler.applied > 0
    assert accuracy > 0.9


def test_outputs_widen_again_and_back() -> None:
    network = compile_network(parse_spec(TEXT), seed=0)
    x = torch.randn(8, 64)
    spec, before = network.spec, network(x)
    with edit(network) as first:
        first.widen_outputs(6)
    with edit(network) as second:
        second.widen_outputs(9)
    assert network.spec.nodes["y"].sources == ("y.old", "y.new", "y.new.2")
    assert torch.equal(network(x)[:, :5], before)
    assert network(x).shape == (8, 9)
    assert not any(is_frozen(node) for node in network.spec.nodes.values())
    with edit(network) as back:
        back.apply(second.inverse)
        back.apply(first.inverse)
    assert network.spec == spec
    assert torch.equal(network(x), before)


def test_behind_adapters_too() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
    x = torch.randn(8, 4)
    network = from_torch(model, x, adapters={"layers": "*", "rank": 1})
    before = network(x)
    with edit(network) as e:
        e.widen_outputs(5)
    assert torch.equal(network(x)[:, :3], before)
    assert torch.allclose(network.to_torch()(x), network(x), atol=1e-5)


def test_what_cannot_be_widened_is_told() -> None:
    spec = parse_spec(TEXT)
    with pytest.raises(GraphError, match="`y` has 5 features already and cannot get 4: expected more than 5"):
        WidenOutputs(4).spec_of(spec)
    with pytest.raises(GraphError, match="expected the name of an output, one of `y`"):
        WidenOutputs(9, "h").spec_of(spec)
    normed = parse_spec(TEXT[: TEXT.index("  y:")] + "output: n")
    with pytest.raises(GraphError, match="the output `n` is a layer_norm: expected a linear layer"):
        WidenOutputs(20).spec_of(normed)
    read = parse_spec(TEXT.replace("output: y", "  z: {kind: linear, from: y, features: 2}\noutputs: [y, z]"))
    with pytest.raises(GraphError, match="read inside the network"):
        WidenOutputs(9, "y").spec_of(read)
