"""The last growth step can be taken back: network and optimizer are what they were right before it."""

from __future__ import annotations

import copy

import pytest
import torch

from gromo_graph import GrowthError, GrowthEvent, GrowthScheduler, compile_network, parse_spec

SPEC = """
nodes:
  x: {kind: input, shape: [1, 6, 6]}
  c: {kind: conv2d, from: x, features: 2, kernel: 3, padding: 1}
  n: {kind: batch_norm, from: c, activation: relu}
  f: {kind: flatten, from: n}
  h: {kind: linear, from: f, features: 2, activation: tanh}
  y: {kind: linear, from: h, features: 3}
output: y
growth: {actions: ACTIONS, groups: 1, when: {every: 1, until: 1.0}}
"""
X = torch.randn(48, 1, 6, 6, generator=torch.Generator().manual_seed(0))
Y = (X.flatten(1)[:, 1:4] * X.flatten(1)[:, 4:7]).argmax(dim=1)
LOADER = list(zip(X.split(16), Y.split(16), strict=True))
LOSS = torch.nn.functional.cross_entropy


def train(network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    network.train()
    for x, y in LOADER:
        optimizer.zero_grad()
        LOSS(network(x), y).backward()
        optimizer.step()


@pytest.mark.parametrize("actions", ["[widen]", "[new_edge, new_node]"])
@pytest.mark.parametrize("trained", [False, True])
def test_everything_is_as_before(actions: str, trained: bool) -> None:
    network = compile_network(parse_spec(SPEC.replace("ACTIONS", actions)), seed=0)
    other = torch.nn.Linear(2, 2)  # the optimizer has somebody else's parameters too
    optimizer = torch.optim.Adam([*network.parameters(), *other.parameters()], lr=0.01)
    scheduler = GrowthScheduler(network, LOSS, optimizer=optimizer)
    train(network, optimizer)
    spec, kept = network.spec, copy.deepcopy((network, optimizer))
    event = scheduler.step(LOADER, LOADER)
    assert event is not None
    assert event.decision is not None
    assert network.spec != spec
    if trained:
        train(network, optimizer)
    scheduler.undo()
    assert network.spec == spec
    assert scheduler.applied == 0
    for name, value in network.state_dict().items():
        assert torch.equal(value, kept[0].state_dict()[name])
    for model, its in ((network, optimizer), kept):  # the optimizer knows what it knew
        train(model, its)
    for name, value in network.state_dict().items():
        assert torch.equal(value, kept[0].state_dict()[name])
    assert set(other.parameters()) <= {p for group in optimizer.param_groups for p in group["params"]}
    again = scheduler.step(LOADER, LOADER)
    assert again is not None
    assert again.step == 1


def test_only_what_was_done_and_only_once() -> None:
    network = compile_network(parse_spec(SPEC.replace("ACTIONS", "[widen]")), seed=0)
    scheduler = GrowthScheduler(network, LOSS)
    with pytest.raises(GrowthError, match="nothing to undo: no step has been applied"):
        scheduler.undo()
    scheduler.step(LOADER, LOADER)
    scheduler.undo()
    with pytest.raises(GrowthError, match="nothing to undo"):
        scheduler.undo()
    plan = scheduler.plan(LOADER)
    scheduler.apply(plan.candidates[0])
    scheduler.undo()
    with pytest.raises(GrowthError, match="undoable=False"):
        GrowthScheduler(network, LOSS, undoable=False).undo()


def test_all_groups_that_grew_in_a_step_are_taken_back() -> None:
    text = """
    name: deep
    nodes:
      x: {kind: input, shape: [1, 6, 6]}
      f: {kind: flatten, from: x}
      a: {kind: linear, from: f, features: 2, activation: tanh}
      b: {kind: linear, from: a, features: 2, activation: tanh}
      c: {kind: linear, from: b, features: 2, activation: tanh}
      y: {kind: linear, from: c, features: 3}
    output: y
    growth: {stop: {parameters: 400}}
    train: {epochs: 4}
    """
    network = compile_network(parse_spec(text), seed=0)
    before, weights = network.spec, copy.deepcopy(network.state_dict())
    events: list[GrowthEvent] = []
    scheduler = GrowthScheduler(network, LOSS, on_event=events.append)
    scheduler.step(LOADER, LOADER)
    assert len(events) > 1
    assert scheduler.applied == len(events)
    scheduler.undo()
    assert network.spec == before
    assert scheduler.applied == 0
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    with pytest.raises(GrowthError, match=r"no step has been applied$"):
        scheduler.undo()
