"""Networks that read token ids grow like all others: slopes, edits, and what they are worth."""

from __future__ import annotations

import copy

import pytest
import torch

from gromo_graph import GrowthScheduler, RenameNode, SetOptions, compile_network, edit, parse_spec
from gromo_graph.spec.settings import Growth, Neurons
from tests.growth.paths import MSE, compiled, data_of
from tests.network.test_transaction import inputs_of

SEQUENCE = """
x: {kind: input, shape: [6]}
e: {kind: embedding, from: x, vocabulary: 5, padding_idx: 1, features: 3, activation: tanh}
p: {kind: positions, from: e}
c: {kind: conv1d, from: p, features: 4, kernel: 3, padding: same, activation: tanh}
m: {kind: avg_pool1d, from: c, kernel: 2}
f: {kind: flatten, from: m}
y: {kind: linear, from: f, features: 3}
"""
SUMS = """
x: {kind: input, shape: [6]}
v: {kind: input, shape: [2, 6]}
e: {kind: embedding, from: x, vocabulary: 5, features: 3}
g: {kind: embedding, from: x, vocabulary: 7, features: 3}
u: {kind: conv1d, from: v, features: 3, kernel: 1}
s: {kind: merge, from: [e, u], activation: tanh}
p: {kind: positions, from: s}
k: {kind: merge, from: [p, g], merge: concat}
q: {kind: positions, from: k}
n: {kind: batch_norm, from: q}
c: {kind: conv1d, from: n, features: 3, kernel: 2, activation: silu}
f: {kind: flatten, from: k}
l: {kind: linear, from: f, features: 2, activation: tanh}
d: {kind: flatten, from: c}
j: {kind: merge, from: [l, d], merge: concat}
y: {kind: linear, from: j, features: 3}
"""
IMAGE = """
x: {kind: input, shape: [2, 4, 5]}
a: {kind: conv2d, from: x, features: 3, kernel: 3, padding: same, activation: tanh}
p: {kind: positions, from: a}
w: {kind: depthwise_conv2d, from: p, kernel: 3, padding: 1, activation: tanh}
b: {kind: conv2d, from: w, features: 2, kernel: 3, activation: tanh}
f: {kind: flatten, from: b}
y: {kind: linear, from: f, features: 3}
"""
ALL = {"sequence": SEQUENCE, "sums": SUMS, "image": IMAGE}
GROWS = {"sequence": {"e", "c"}, "sums": {"e", "g", "c", "l"}, "image": {"a", "b"}}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("delta", [False, True])
def test_slopes_are_finite_differences(name: str, delta: bool) -> None:
    network = compiled(ALL[name])
    data = data_of(network)
    scheduler = GrowthScheduler(network, MSE, policy=Growth(apply_delta=delta))
    able = [each for each in scheduler.plan(data).candidates if each.reason is None]
    assert {each.target for each in able} == GROWS[name]

    def loss(net: torch.nn.Module) -> float:
        with torch.no_grad():
            found = [(net(*(x if isinstance(x, tuple) else (x,))), y) for x, y in data]
        out, target = (torch.cat(parts) for parts in zip(*found, strict=True))
        return float(MSE(out, target))

    before = loss(network)
    for candidate in able:
        other, chosen = copy.deepcopy((scheduler, candidate))
        other.apply(chosen, 1e-6)
        assert (before - loss(other.network)) / 1e-6 == pytest.approx(candidate.slope, rel=1e-2)
        assert other.network.graph.parameter_count == sum(p.numel() for p in other.network.parameters())


def test_an_optimizer_follows_both_kinds() -> None:
    network = compiled(SEQUENCE)
    data = data_of(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    scheduler = GrowthScheduler(network, MSE, optimizer=optimizer, policy=Growth(neurons=Neurons(per_step=2)))
    candidate = next(each for each in scheduler.plan(data).candidates if each.target == "e")
    x, y = data[0]
    MSE(network(x), y).backward()
    optimizer.step()
    table, places = (network.parts[name].weight for name in "ep")
    before = {key: optimizer.state[key]["exp_avg"].clone() for key in (table, places)}
    scheduler.apply(candidate, 0.01)
    for name, old in (("e", table), ("p", places)):
        new = network.parts[name].weight
        assert new.shape == (5, *old.shape[1:])
        assert torch.equal(new[:3], old)
        assert torch.equal(optimizer.state[new]["exp_avg"][:3], before[old])
    assert not network.parts["p"].weight[3:].any()


def test_edits_keep_the_tokens_there_were() -> None:
    network = compiled(SEQUENCE)
    table, x = network.parts["e"].weight.detach().clone(), inputs_of(network)
    before = network(*x)
    with edit(network, generator=torch.Generator().manual_seed(0)) as done:
        done.set_options("e", vocabulary=8)
        done.set_features("e", 5)
    assert done.preserved
    assert torch.equal(network.parts["e"].weight[:3, :5], table)
    assert network.parts["p"].weight.shape == (5, 6)
    torch.testing.assert_close(network(*x), before)
    with edit(network) as back:
        back.apply(done.inverse)
    assert torch.equal(network.parts["e"].weight, table)
    assert torch.equal(network(*x), before)


def test_positions_of_another_length_begin_anew_and_inserted_ones_change_nothing() -> None:
    network = compiled(IMAGE)
    x = inputs_of(network)
    before = network(*x)
    with edit(network) as done:
        done.insert("b", "f", "more", {"kind": "positions"})
        done.apply(RenameNode("p", "places"))
    assert done.preserved
    assert torch.equal(network(*x), before)
    assert not network.parts["more"].weight.any()
    with edit(network, generator=torch.Generator().manual_seed(0)) as done:
        done.apply(SetOptions("a", {"padding": 0}))
        done.apply(SetOptions("b", {"padding": 1}))
    assert network.parts["places"].weight.shape == (3, 2, 3)
    assert "`places` begins anew: what it was has another kind or kernel" in done.notes


def test_first_weights_are_a_function_of_the_seed_and_of_a_size_that_fits() -> None:
    spec = parse_spec(f"name: s\nnodes: {{{','.join(SEQUENCE.strip().splitlines())}}}\noutput: y")
    one, other = (compile_network(spec, seed=3) for _ in range(2))
    for name in "ep":
        assert torch.equal(one.parts[name].weight, other.parts[name].weight)
    # One of a token's row is read at a time, whatever the vocabulary.
    assert 0.5 < float(one.parts["e"].weight.detach().abs().max()) <= 1.0
    assert 0.0 < float(one.parts["p"].weight.detach().abs().max()) <= 6**-0.5
