"""`growth.shrink`: old weights are multiplied before a step, and only if something grows."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch

from gromo_graph import GrowingNetwork, GrowthError, GrowthScheduler, compile_network, parse_spec
from gromo_graph.network.shrinking import Shrinking
from tests.growth.problems import batches, chain, loss_over

MSE = torch.nn.functional.mse_loss
GROWTH = "{shrink: 0.9, when: {until: 1.0, steps: 2}, stop: {parameters: 120}, criterion: random}"


def stepped(network: GrowingNetwork) -> tuple[GrowthScheduler, list[Any]]:
    scheduler = GrowthScheduler(network, MSE, epochs=2, generator=torch.Generator().manual_seed(0))
    events: list[Any] = []
    scheduler.on_event = events.append
    scheduler.step(batches(), batches())
    return scheduler, events


def test_old_weights_are_shrunk_once_at_a_step() -> None:
    network = chain(growth=GROWTH)
    before = copy.deepcopy(network)
    _, events = stepped(network)
    assert [event.decision.target for event in events] == ["h1"]
    for name in ("h1", "h2", "y"):
        new, old = network.growing(name).layer, before.growing(name).layer
        rows, columns = old.weight.shape
        torch.testing.assert_close(new.weight[:rows, :columns], 0.9 * old.weight)
        torch.testing.assert_close(new.bias[:rows], 0.9 * old.bias)
    Shrinking(before, 0.9)
    assert events[0].loss_before == pytest.approx(loss_over(before, batches()))


def test_undo_brings_back_what_was_before_it() -> None:
    network = chain(growth=GROWTH)
    state = copy.deepcopy(network.state_dict())
    scheduler, _ = stepped(network)
    scheduler.undo()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("fails", [False, True])
def test_weights_stay_if_nothing_grows(fails: bool) -> None:
    network = chain(growth="{shrink: 0.9, when: {until: 1.0, steps: 2}}")
    data, shrunk = batches(), copy.deepcopy(network)
    Shrinking(shrunk, 0.9)
    held_out = [(x, shrunk(x).detach()) for x, _ in data]  # a loss of 0, which nothing lowers
    state = copy.deepcopy(network.state_dict())
    scheduler = GrowthScheduler(network, MSE, epochs=2)
    if fails:
        with pytest.raises(GrowthError, match="finite"):
            scheduler.step([(x, y * math.inf) for x, y in data], data)
    else:
        event = scheduler.step(data, held_out)
        assert event is not None
        assert event.decision is None
        assert event.loss_before == pytest.approx(loss_over(network, held_out))
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_a_batch_norm_gives_what_it_gave() -> None:
    network = compile_network(
        parse_spec("""
nodes:
  x: {kind: input, shape: [5]}
  h: {kind: linear, from: x, features: 4}
  n: {kind: batch_norm, from: h, activation: relu, eps: 1.0e-12}
  y: {kind: linear, from: n, features: 3, grow: false}
output: y
"""),
        seed=0,
        dtype=torch.float64,
    )
    x = batches()[0][0]
    network.train()(x)
    network.eval()
    before = network(x)
    Shrinking(network, 0.9)
    torch.testing.assert_close(network(x), 0.9 * before)


def test_frozen_weights_stay() -> None:
    network = chain()
    network.growing("h1").layer.weight.requires_grad_(False)
    kept = network.growing("h1").layer.weight.clone()
    Shrinking(network, 0.5)
    assert torch.equal(network.growing("h1").layer.weight, kept)
