"""The scheduler in anyone's training loop."""

from __future__ import annotations

import copy

import pytest
import torch

from gromo_graph import GrowthError, GrowthScheduler, compile_network, parse_spec
from gromo_graph.growth.losses import mean_loss
from tests.growth.problems import batches, chain, loss_over, sizes_agree

MSE = torch.nn.functional.mse_loss


def train_once(network: torch.nn.Module, optimizer: torch.optim.Optimizer, data: list) -> None:
    network.train()
    for x, y in data:
        optimizer.zero_grad()
        MSE(network(x), y).backward()
        optimizer.step()


def test_a_training_loop_with_growth() -> None:
    network = chain(
        activation="relu", widths=(2, 2), growth="{neurons: {per_step: 3}, when: {every: 1, until: 1.0}}"
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    train, held_out = batches(200), batches(80, seed=2)
    seen = []
    scheduler = GrowthScheduler(network, MSE, optimizer=optimizer, epochs=8, on_event=seen.append)
    for _ in range(8):
        train_once(network, optimizer, train)
        before = loss_over(network, held_out)
        event = scheduler.step(train, held_out)
        assert sizes_agree(network)
        assert parse_spec(event.spec) == network.spec
        assert event.parameters == sum(p.numel() for p in network.parameters())
        assert event.loss_before == pytest.approx(before)
        if event.decision is None:
            assert event.gamma == 0
        else:
            assert event.loss_after < event.loss_before
            assert event.loss_after == pytest.approx(loss_over(network, held_out))
        listed = {id(p) for group in optimizer.param_groups for p in group["params"]}
        assert listed == {id(p) for p in network.parameters()}
    assert [event.epoch for event in seen] == list(range(1, 9))
    assert scheduler.applied == sum(event.decision is not None for event in seen) >= 5


def test_growth_is_due_every_n_epochs_until_a_share_of_the_training() -> None:
    network = chain(growth="{when: {every: 2, until: 0.5}, neurons: {per_step: 1}}")
    scheduler = GrowthScheduler(network, MSE, epochs=10)
    data = batches()
    due = [scheduler.step(data, data) is not None for _ in range(10)]
    assert due == [False, True, False, True, False, False, False, False, False, False]
    assert "growth.when.until" in scheduler.reason


def test_budgets_are_kept_and_said() -> None:
    start = chain().graph.parameter_count
    network = chain(growth=f"{{stop: {{parameters: {start + 20}}}, when: {{every: 1, until: 1.0}}}}")
    data = batches()
    scheduler = GrowthScheduler(network, MSE, epochs=20)
    for _ in range(20):
        scheduler.step(data, data)
    assert start < network.graph.parameter_count <= start + 20
    assert scheduler.reason.startswith("budget reached")
    tight = chain(growth=f"{{stop: {{parameters: {start - 1}}}}}")
    exceeded = GrowthScheduler(tight, MSE)
    assert exceeded.step(data, data) is None
    assert exceeded.reason.startswith("over budget as it is: ")


def test_steps_are_counted() -> None:
    network = chain(growth="{stop: {steps: 2}, when: {every: 1, until: 1.0}, neurons: {per_step: 1}}")
    data = batches()
    scheduler = GrowthScheduler(network, MSE, epochs=9)
    events = [scheduler.step(data, data) for _ in range(9)]
    assert sum(event is not None and event.decision is not None for event in events) == 2
    assert "growth.stop.steps" in scheduler.reason


def test_where_no_step_helps_nothing_changes_to_the_bit() -> None:
    network = chain()
    train = batches()
    # Held-out targets are what the network says already: every change raises the loss.
    held_out = [(x, network(x).detach()) for x, _ in batches(80, seed=3)]
    state = copy.deepcopy(network.state_dict())
    event = GrowthScheduler(network, MSE).step(train, held_out)
    assert event.decision is None
    assert event.gamma == 0
    assert "γ = 0" in event.reason
    assert event.loss_after == event.loss_before
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert state.keys() == network.state_dict().keys()


def test_planning_leaves_no_trace() -> None:
    network = chain()
    data = batches()
    network.train()
    MSE(network(data[0][0]), data[0][1]).backward()
    gradients = {name: p.grad.clone() for name, p in network.named_parameters()}
    state = copy.deepcopy(network.state_dict())
    random = torch.random.get_rng_state()
    GrowthScheduler(network, MSE).plan(data)
    assert all(module.training for module in network.modules())
    assert all(torch.equal(p.grad, gradients[name]) for name, p in network.named_parameters())
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert torch.equal(random, torch.random.get_rng_state())


def test_a_dead_layer_is_revived() -> None:
    network = chain(activation="relu", widths=(2, 2), growth="{when: {every: 1}}")
    with torch.no_grad():
        network.growing("h2").layer.weight.zero_()
        network.growing("h2").layer.bias.fill_(-1.0)
    data = batches()
    before = [network(x).detach() for x, _ in data]
    scheduler = GrowthScheduler(network, MSE, generator=torch.Generator().manual_seed(0))
    event = scheduler.step(data, data)
    assert event.decision.target == "h2"
    assert event.decision.neurons == 4
    assert event.reason.startswith("rescue")
    for (x, _), old in zip(data, before, strict=True):
        torch.testing.assert_close(network(x), old)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    start = loss_over(network, data)
    for _ in range(20):
        train_once(network, optimizer, data)
    assert loss_over(network, data) < start


def test_random_criterion_keeps_the_function() -> None:
    network = chain(growth="{criterion: random}")
    data = batches()
    before = network(data[0][0]).detach()
    event = GrowthScheduler(network, MSE, generator=torch.Generator().manual_seed(0)).step(data, data)
    assert event.decision.neurons == 8
    torch.testing.assert_close(network(data[0][0]), before)


def test_growth_goes_through_merges_and_fan_outs() -> None:
    network = compile_network(
        parse_spec(
            """
version: 1
name: residual
nodes:
  x: {kind: input, shape: [5]}
  stem: {kind: linear, from: x, features: 4, activation: relu}
  lift: {kind: linear, from: stem, features: 3, activation: relu}
  mix: {kind: linear, from: lift, features: 4}
  join: {kind: merge, from: [stem, mix], activation: relu}
  y: {kind: linear, from: join, features: 3}
output: y
"""
        ),
        seed=0,
        dtype=torch.float64,
    )
    plan = GrowthScheduler(network, MSE).plan(batches())
    reasons = {candidate.target: candidate.reason for candidate in plan.candidates}
    assert reasons["lift"] is None
    assert reasons["stem"] is None
    assert "output `y`" in reasons["y"]
    scheduler = GrowthScheduler(network, MSE)
    events = [scheduler.step(batches(), batches(seed=4)) for _ in range(2)]
    assert sizes_agree(network)
    assert {event.decision.nodes for event in events} == {("lift",), ("stem", "mix")}
    assert all(event.loss_after < event.loss_before for event in events)


@pytest.mark.parametrize(
    ("loss", "loader", "message"),
    [
        (MSE, [], "no batch"),
        (lambda p, t: (p - t).square().mean(dim=1), None, "expected a scalar"),
        (lambda p, t: (p - t).square().mean() * float("nan"), None, "expected a finite number"),
        (lambda p, t: t.square().mean(), None, "does not depend on"),
        (MSE, [torch.zeros(3, 5)], "expected pairs"),
    ],
)
def test_bad_losses_and_loaders_leave_the_network_as_it_was(loss, loader, message) -> None:
    network = chain()
    state = copy.deepcopy(network.state_dict())
    data = batches() if loader is None else loader
    with pytest.raises(GrowthError, match=message):
        GrowthScheduler(network, loss).step(data, data)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())


def test_stale_candidates_are_refused() -> None:
    network = chain()
    data = batches()
    scheduler = GrowthScheduler(network, MSE)
    plan = scheduler.plan(data)
    by_target = {candidate.target: candidate for candidate in plan.candidates}
    scheduler.apply(by_target["h1"], 0.1)
    with pytest.raises(GrowthError, match="another state"):
        scheduler.apply(by_target["h1"], 0.1)
    with pytest.raises(GrowthError, match="cannot be applied"):
        scheduler.apply(by_target["y"], 0.1)


def test_dropout_and_odd_names() -> None:
    network = compile_network(
        parse_spec(
            """
version: 1
name: odd
nodes:
  keys: {kind: input, shape: [5]}
  forward: {kind: linear, from: keys, features: 2, activation: gelu}
  a.b: {kind: dropout, from: forward, p: 0.5}
  items: {kind: linear, from: a.b, features: 3}
output: items
"""
        ),
        seed=0,
        dtype=torch.float64,
    )
    data = batches()
    scheduler = GrowthScheduler(network, MSE)
    candidate = scheduler.plan(data).candidates[0]
    before = loss_over(network, data)
    slope = candidate.slope
    scheduler.apply(candidate, 1e-6)
    assert (before - loss_over(network, data)) / 1e-6 == pytest.approx(slope, rel=1e-2)
    assert mean_loss(network, MSE, data) == pytest.approx(loss_over(network, data))
