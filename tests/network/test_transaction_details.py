"""Edits of live networks in detail: groups of the optimizer, modes, exactness, and inverses among other edits."""

from __future__ import annotations

import pytest
import torch

from gromo_graph import Edits, GraphError, RemoveNode, RenameNode, compile_network, edit, parse_spec
from gromo_graph.network.same_outputs import agree
from tests.network.test_transaction import inputs_of, network_of, output_of, same, state

NORMED = """
nodes:
  x: {kind: input, shape: [6]}
  h: {kind: linear, from: x, features: 4}
  n: {kind: batch_norm, from: h}
  y: {kind: linear, from: n, features: 3}
output: y
"""


def test_new_parameters_join_the_group_of_what_is_near() -> None:
    network = network_of()
    parts = network.parts
    late = [p for name in ("up", "down", "y") for p in parts[name].parameters()]
    optimizer = torch.optim.Adam(
        [{"params": list(parts["stem"].parameters()), "lr": 1e-4}, {"params": late, "lr": 1e-2}]
    )
    with edit(network, optimizer=optimizer) as e:
        e.insert("sum", "y", "late", {"kind": "linear", "activation": "relu"})
        e.insert("x", "stem", "early", {"kind": "linear"}).connect("x", "y")
    early, later = ({id(p) for p in group["params"]} for group in optimizer.param_groups)
    assert {id(p) for p in network.parts["early"].parameters()} <= early
    for name in ("late", "x.to.y"):
        assert {id(p) for p in network.parts[name].parameters()} <= later
    assert len(early) + len(later) == len(list(network.parameters()))


def test_weights_and_biases_stay_in_groups_of_their_own() -> None:
    network = network_of()
    named = dict(network.named_parameters())
    groups = [[p for name, p in named.items() if name.endswith(kind)] for kind in ("weight", "bias")]
    optimizer = torch.optim.SGD([{"params": group} for group in groups], lr=0.1)
    with edit(network, optimizer=optimizer) as e:
        e.duplicate(["up", "down", "sum"])
        e.replace("y", {"kind": "linear", "features": 2})
        e.insert("sum", "copy.up", "more", {"kind": "linear"})
    for group, kind in zip(optimizer.param_groups, ("weight", "bias"), strict=True):
        wanted = {id(p) for name, p in network.named_parameters() if name.endswith(kind)}
        assert {id(p) for p in group["params"]} == wanted


def test_what_is_not_trained_is_no_neighbour() -> None:
    network = network_of()
    optimizer = torch.optim.SGD(
        [
            {"params": list(network.parts["stem"].parameters())},
            {"params": list(network.parts["up"].parameters())},
        ],
        lr=0.1,
    )
    with edit(network, optimizer=optimizer) as e:
        e.insert("up", "down", "new", {"kind": "linear"})  # what reads it is frozen, what it reads is not
    assert network.parts["new"].weight in set(optimizer.param_groups[1]["params"])


def test_a_norm_in_evaluation_stays_so_when_it_gets_wider() -> None:
    network = network_of(NORMED)
    network.parts["n"].eval()
    with edit(network) as e:
        e.set_features("h", 6).insert("n", "y", "drop", {"kind": "dropout"})
    assert network.parts["n"].training is False
    assert network.parts["drop"].training is True


@pytest.mark.parametrize("features", [5, 8])
def test_a_layer_that_is_wider_than_what_it_reads_begins_as_the_identity(features: int) -> None:
    network = network_of()
    inputs = inputs_of(network)
    wanted = output_of(network, inputs)
    with edit(network) as e:
        e.insert("up", "down", "new", {"kind": "linear", "features": features})
    assert (e.preserved, e.notes) == (True, ())
    torch.testing.assert_close(output_of(network, inputs), wanted, rtol=1e-12, atol=1e-12)
    new, down = network.parts["new"], network.parts["down"]
    assert bool((new.weight[5:] != 0).all())  # they learn once they are read
    assert bool((down.weight[:, 5:] == 0).all())


def test_so_does_a_convolution() -> None:
    network = network_of("""
nodes:
  x: {kind: input, shape: [2, 6, 6]}
  a: {kind: conv2d, from: x, features: 3, kernel: 3, padding: same, activation: relu}
  b: {kind: conv2d, from: a, features: 2, kernel: 3}
output: b
""")
    inputs = inputs_of(network)
    wanted = output_of(network, inputs)
    node = {"kind": "conv2d", "features": 5, "kernel": 3, "padding": "same", "activation": "relu"}
    with edit(network) as e:
        e.insert("a", "b", "new", node)
    assert e.preserved
    torch.testing.assert_close(output_of(network, inputs), wanted, rtol=1e-12, atol=1e-12)


def test_notes_name_the_activation_and_the_features_that_are_gone() -> None:
    network = network_of()
    with edit(network) as e:
        e.insert("up", "down", "new", {"kind": "linear", "activation": "relu"})
    assert e.notes == ("the activation relu of `new` changes what passes",)
    with edit(network) as e:
        e.set_features("up", 2)
    assert e.notes == ("`up` loses 3 features: those with the largest weights stay",)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_small_change_is_a_change(dtype: torch.dtype) -> None:
    network = compile_network(network_of().spec, seed=0, dtype=dtype)
    with edit(network) as e:
        e.insert("up", "down", "new", {"kind": "linear"})
    with torch.no_grad():
        network.parts["new"].weight.add_(3e-5)
    with edit(network) as e:
        e.remove_node("new")
    assert e.preserved is False


def test_infinite_outputs_agree_with_themselves_alone() -> None:
    infinite = torch.tensor([torch.inf, 1.0])
    assert agree({"": infinite}, {"": infinite.clone()})
    assert not agree({"": infinite}, {"": torch.tensor([torch.inf, 2.0])})
    assert not agree({"": infinite}, {"": torch.tensor([1.0, 1.0])})


@pytest.mark.parametrize("inside", [False, True])
def test_an_inverse_is_exact_among_other_edits(inside: bool) -> None:
    network = network_of()
    optimizer = torch.optim.Adam(network.parameters())
    inputs = inputs_of(network)
    output_sum = network(*inputs).square().sum()
    output_sum.backward()
    optimizer.step()
    wanted, before, known = output_of(network, inputs), state(network), set(optimizer.state)
    with edit(network, optimizer=optimizer) as e:
        e.remove_node("up")
    assert e.inverse is not None
    with edit(network, optimizer=optimizer) as back:
        if inside:
            back.apply(Edits([RenameNode("sum", "total"), e.inverse, RenameNode("y", "logits")]))
        else:
            back.rename("sum", "total").apply(e.inverse).rename("y", "logits")
    assert list(network.spec.nodes) == ["x", "stem", "up", "down", "sum", "logits"]
    assert torch.equal(output_of(network, inputs), wanted)
    assert set(optimizer.state) == known
    assert back.inverse is not None
    with edit(network, optimizer=optimizer) as again:
        again.apply(back.inverse).apply(e.inverse)
    assert network.spec == network_of().spec
    assert same(state(network), before)


def test_several_edits_in_one_are_applied_as_a_whole() -> None:
    network = network_of()
    with edit(network) as e:
        with pytest.raises(GraphError, match="unknown node `nope`"):
            e.apply(Edits([RenameNode("up", "u"), RemoveNode("nope")]))
        assert "up" in e.spec.nodes
        e.rename("down", "d")
    assert list(network.spec.nodes) == ["x", "stem", "up", "d", "sum", "y"]


def test_what_was_out_of_the_network_follows_its_dtype() -> None:
    network = compile_network(network_of().spec, seed=0, dtype=torch.float32)
    weight = network.parts["up"].weight.detach().clone()
    with edit(network) as e:
        e.remove_node("up")
    network.double()
    assert e.inverse is not None
    with edit(network) as back:
        back.apply(e.inverse)
    assert {p.dtype for p in network.parameters()} == {torch.float64}
    assert torch.equal(network.parts["up"].weight, weight.double())


def test_an_error_at_the_end_changes_nothing() -> None:
    network = network_of()
    optimizer = torch.optim.Adam(network.parameters())
    network(*inputs_of(network)).square().sum().backward()
    optimizer.step()
    before, spec, modules = state(network), network.spec, dict(network.named_modules())
    groups, known = [list(g["params"]) for g in optimizer.param_groups], dict(optimizer.state)
    passes: list[int] = []

    def fail(*_: object) -> None:
        passes.append(1)
        if len(passes) == 2:
            raise RuntimeError("the second pass")

    network.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="the second pass"), edit(network, optimizer=optimizer) as e:
        e.set_features("up", 9).insert("sum", "y", "new", {"kind": "linear"})
    assert network.spec is spec
    assert same(state(network), before)
    assert dict(network.named_modules()) == modules
    assert [list(g["params"]) for g in optimizer.param_groups] == groups
    assert all(optimizer.state[p] is known[p] for p in known)
    assert len(optimizer.state) == len(known)
    assert (e.inverse, e.preserved) == (None, None)


def test_a_norm_with_another_eps_keeps_its_weights_and_statistics() -> None:
    network = compile_network(parse_spec(NORMED), seed=0)
    network.train()(torch.randn(20, 6) * 4.0)
    mean = network.parts["n"].running_mean.clone()
    with edit(network) as e:
        e.set_options("n", eps=0.5, momentum=0.25)
    part = network.parts["n"]
    assert isinstance(part, torch.nn.BatchNorm1d)
    assert (part.eps, part.momentum) == (0.5, 0.25)
    assert torch.equal(part.running_mean, mean)
    assert e.preserved is False
