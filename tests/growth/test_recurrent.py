"""Recurrent layers: hidden units and inputs grow with exact slopes, and everything else follows."""

from __future__ import annotations

import copy

import pytest
import torch

from gromo_graph import GrowthScheduler, compile_network, dump_spec, edit, parse_spec
from gromo_graph.graph.paths import bridges
from gromo_graph.layers.gates import Recurrence
from gromo_graph.layers.recurrent import GRU, LSTM, build
from gromo_graph.spec.settings import Growth, Neurons
from tests.growth.paths import MSE, able, compiled, data_of, outputs

KINDS = ("lstm", "gru")
STACK = """
x: {kind: input, shape: [3, 6]}
c: {kind: conv1d, from: x, features: 4, kernel: 3, padding: same, activation: tanh}
a: {kind: KIND, from: c, features: 5}
b: {kind: KIND, from: a, features: 4, bias: false, reverse: true}
last: {kind: pad, from: b, padding: [-3, 0]}
f: {kind: flatten, from: last}
y: {kind: linear, from: f, features: 2}
"""
RESIDUAL = """
x: {kind: input, shape: [6]}
e: {kind: embedding, from: x, vocabulary: 5, features: 4}
s: {kind: conv1d, from: e, features: 4, kernel: 1}
a: {kind: KIND, from: s, features: 4, activation: silu}
m: {kind: merge, from: [s, a]}
n: {kind: batch_norm, from: m}
b: {kind: KIND, from: n, features: 3}
k: {kind: merge, from: [m, b], merge: concat}
g: {kind: KIND, from: k, features: 2}
w: {kind: conv1d, from: k, features: 2, kernel: 2, activation: sigmoid}
h: {kind: KIND, from: w, features: 2}
p: {kind: adaptive_avg_pool1d, from: g}
q: {kind: adaptive_avg_pool1d, from: h}
j: {kind: merge, from: [p, q], merge: concat}
f: {kind: flatten, from: j}
y: {kind: linear, from: f, features: 2}
"""
SPECS = {
    f"{name} of {kind}": text.replace("KIND", kind)
    for kind in KINDS
    for name, text in (("stack", STACK), ("residual", RESIDUAL))
}


BARE, DELTA = Growth(apply_delta=False), Growth()
NATURAL, FINITE = Growth(criterion="natural"), Growth(scale="alpha_std", apply_delta=False)


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("stack of lstm", BARE),
        ("stack of gru", DELTA),
        ("stack of lstm", NATURAL),
        ("stack of gru", FINITE),
        ("residual of lstm", DELTA),
        ("residual of gru", BARE),
        ("residual of gru", NATURAL),
        ("residual of lstm", FINITE),
    ],
)
def test_slopes_are_finite_differences(name: str, policy: Growth) -> None:
    network = compiled(SPECS[name])
    data = data_of(network, samples=60)
    scheduler = GrowthScheduler(network, MSE, policy=policy)
    able = [each for each in scheduler.plan(data).candidates if not each.reason]
    assert {each.target for each in able} >= ({"c", "a", "b"} if "stack" in name else {"s", "b", "g", "h"})
    target = torch.cat([y for _, y in data])
    before = float(MSE(outputs(network, data), target))
    for candidate in able:
        draft = candidate.draft(network, policy)
        measured = (before - float(MSE(outputs(draft.at(1e-7), data), target))) / 1e-7
        assert measured == pytest.approx(candidate.slope, rel=1e-3)
        predicted = outputs(draft.at(0.04), data)
        other, chosen = copy.deepcopy((scheduler, candidate))
        other.apply(chosen, 0.04)
        torch.testing.assert_close(outputs(other.network, data), predicted)
        graph = other.network.graph
        assert graph.parameter_count == sum(p.numel() for p in other.network.parameters())
        assert graph.parameter_count == network.graph.parameter_count + candidate.delta_parameters
        assert graph.multiply_adds == network.graph.multiply_adds + candidate.delta_madds


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("bias", "reverse"), [(True, False), (False, True)])
def test_states_are_those_of_torch(kind: str, bias: bool, reverse: bool) -> None:
    torch.manual_seed(0)
    node = {"lstm": LSTM, "gru": GRU}[kind](sources=("x",), features=3, bias=bias, reverse=reverse)
    layer = build(node, [(2, 5)]).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(4, 2, 5, dtype=torch.float64)
    theirs = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](2, 3, bias=bias, batch_first=True).double()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            own = layer.get_parameter({"weight_ih_l0": "weight", "bias_ih_l0": "bias"}.get(name, name[:-3]))
            for gate in range(node.gates):  # gate after gate in torch, gates side by side here
                parameter[3 * gate : 3 * gate + 3] = own[..., gate]
    in_time = x.flip(2) if reverse else x
    expected = theirs(in_time.transpose(1, 2))[0].transpose(1, 2)
    torch.testing.assert_close(Recurrence(layer)(layer(x)), expected.flip(2) if reverse else expected)


@pytest.mark.parametrize(
    ("kind", "criterion"), [("lstm", "gradmax"), ("gru", "random"), ("lstm", "variance_transfer")]
)
def test_units_that_change_nothing_yet(kind: str, criterion: str) -> None:
    network = compiled(SPECS[f"stack of {kind}"])
    data = data_of(network)
    policy = Growth(criterion=criterion, neurons=Neurons(per_step=2))
    scheduler = GrowthScheduler(network, MSE, policy=policy)
    before, (chosen,) = (
        outputs(network, data),
        [c for c in scheduler.plan(data).candidates if c.target == "a"],
    )
    scheduler.apply(chosen, 1.0)
    assert network.spec.nodes["a"].features == 7
    torch.testing.assert_close(outputs(network, data), before)


@pytest.mark.parametrize("kind", KINDS)
def test_an_optimizer_follows_and_trains_what_is_new(kind: str) -> None:
    network = compiled(SPECS[f"stack of {kind}"])
    data = data_of(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)

    def step() -> None:
        for x, y in data:
            optimizer.zero_grad()
            MSE(network(x), y).backward()
            optimizer.step()

    step()
    scheduler = GrowthScheduler(
        network, MSE, optimizer=optimizer, policy=Growth(neurons=Neurons(per_step=2, alike=1.0))
    )
    old = network.parts["a"].weight_hh.detach().clone()
    chosen = next(c for c in scheduler.plan(data).candidates if c.target == "a")
    scheduler.apply(chosen, 0.1)
    layer = network.parts["a"]
    assert layer.weight_hh.shape == (7, 7, layer.gates)
    assert torch.equal(layer.weight_hh[:5, :5], old)
    assert not layer.weight_hh[5:].any()
    assert not layer.weight_hh[:, 5:].any()
    assert {id(p) for group in optimizer.param_groups for p in group["params"]} == {
        id(p) for p in network.parameters()
    }
    assert optimizer.state[layer.weight_hh]["exp_avg"].shape == layer.weight_hh.shape
    step()
    assert layer.weight_hh[:5, 5:].all()
    assert layer.weight_hh[5:, :5].any()
    scheduler.undo()
    assert network.spec.nodes["a"].features == 5


@pytest.mark.parametrize("kind", KINDS)
def test_edits_keep_the_weights(kind: str) -> None:
    network = compiled(SPECS[f"stack of {kind}"])
    data = data_of(network)
    before = outputs(network, data)
    wider = copy.deepcopy(network)
    with edit(wider, generator=torch.Generator().manual_seed(0)) as done:
        done.set_features("a", 8)
    assert done.preserved
    torch.testing.assert_close(outputs(wider, data), before)
    with edit(wider) as back:
        back.apply(done.inverse)
    assert torch.equal(outputs(wider, data), before)
    again = compile_network(parse_spec(dump_spec(network.spec)), dtype=torch.float64)
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(outputs(again, data), before)


def test_what_an_attention_compares_does_not_grow() -> None:
    network = compiled("""
        x: {kind: input, shape: [3, 6]}
        q: {kind: lstm, from: x, features: 4}
        k: {kind: gru, from: x, features: 4}
        v: {kind: gru, from: x, features: 3}
        m: {kind: attention, from: [q, k, v]}
        o: {kind: gru, from: m, features: 2}
        f: {kind: flatten, from: o}
        y: {kind: linear, from: f, features: 2}
    """)
    data = data_of(network)
    plan = GrowthScheduler(network, MSE, policy=Growth(actions=("widen", "new_head"))).plan(data)
    reason = "`q` is no affine function of its input: expected one where `m` compares"
    assert [each.reason for each in plan.candidates if each.target == "q"] == [reason]
    found = able(plan.candidates)
    assert {(each.kind, each.target) for each in found} == {("widen", "v"), ("widen", "o")}
    target = torch.cat([y for _, y in data])
    before = float(MSE(outputs(network, data), target))
    for each in found:
        moved = float(MSE(outputs(each.draft(network, Growth()).at(1e-7), data), target))
        assert (before - moved) / 1e-7 == pytest.approx(each.slope, rel=1e-3)


def test_candidates_of_other_kinds_leave_gates_alone() -> None:
    network = compiled(SPECS["residual of lstm"])
    assert not {"a", "b", "g", "h"} & {each.target for each in bridges(network.graph)}
    data = data_of(network)
    policy = Growth(actions=("widen", "new_edge", "new_node", "deepen", "prune"))
    plan = GrowthScheduler(network, MSE, policy=policy).plan(data)
    target = torch.cat([y for _, y in data])
    before = float(MSE(outputs(network, data), target))
    pruned = [each for each in plan.candidates if each.kind == "prune" and each.target == "b"]
    assert [each.reason for each in pruned] == [
        "the units of a recurrent layer read each other: none can be taken out alone"
    ]
    for candidate in (each for each in plan.candidates if each.reason is None and each.kind != "prune"):
        moved = float(MSE(outputs(candidate.draft(network, policy).at(1e-7), data), target))
        assert (before - moved) / 1e-7 == pytest.approx(candidate.slope, rel=1e-3, abs=1e-6), candidate


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_may_be_applied_again(kind: str) -> None:
    network = compiled(f"""
        x: {{kind: input, shape: [3, 6]}}
        z: {{kind: input, shape: [3, 6]}}
        a: {{kind: {kind}, from: x, features: 4}}
        b: {{kind: again, from: [z, a]}}
        m: {{kind: merge, from: [a, b]}}
        f: {{kind: flatten, from: m}}
        y: {{kind: linear, from: f, features: 2}}
    """)
    ((inputs, _),) = data_of(network, samples=5)
    torch.testing.assert_close(network(*inputs), network(*inputs[::-1]))
    torch.testing.assert_close(network.to_torch()(*inputs), network(*inputs))
