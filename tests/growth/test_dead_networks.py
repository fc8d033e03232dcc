"""A network that gives one prediction for all samples begins anew; what still computes something is kept."""

from __future__ import annotations

import copy

import pytest
import torch

from gromo_graph import GrowingNetwork, GrowthScheduler, compile_network, parse_spec
from gromo_graph.network.linked_groups import linked_group
from gromo_graph.statistics.solve_neurons import kept_signal_spread
from tests.growth.problems import batches, chain, loss_over

MSE = torch.nn.functional.mse_loss
GROWTH = "{when: {until: 1.0, steps: 2}, stop: {parameters: 120}}"


def kill(network: GrowingNetwork, name: str) -> None:
    with torch.no_grad():
        network.growing(name).layer.weight.zero_()
        network.growing(name).layer.bias.fill_(-1.0)


def scheduler_of(network: GrowingNetwork) -> GrowthScheduler:
    generator = torch.Generator().manual_seed(0)
    return GrowthScheduler(network, MSE, epochs=2, generator=generator)


def dead_chain() -> GrowingNetwork:
    network = chain(activation="relu", widths=(2, 2, 2), growth=GROWTH)
    kill(network, "h2")
    return network


def test_every_group_gets_first_weights_on_both_sides() -> None:
    network, data, events = dead_chain(), batches(), []
    before = network(data[0][0])
    assert torch.equal(before, before[:1].expand_as(before))
    scheduler = scheduler_of(network)
    scheduler.on_event = events.append
    scheduler.step(data, data)
    assert sorted(event.decision.target for event in events) == ["h1", "h2", "h3"]
    for event in events:
        assert event.decision.random == event.decision.neurons > 0
        assert event.reason.startswith(
            "rescue: every unit of `h2` is dead, and the network gives one prediction"
        )
    after = network(data[0][0])
    assert (after - after[:1]).abs().max() > 1e-3
    for name in ("h2", "h3", "y"):  # what is read of new neurons is not 0
        assert (network.growing(name).layer.weight[:, 2:] != 0.0).all()
    assert events[-1].loss_after == pytest.approx(loss_over(network, data), rel=1e-9)
    assert [event.loss_before for event in events[1:]] == [event.loss_after for event in events[:-1]]


def test_all_groups_are_undone_together() -> None:
    network, data = dead_chain(), batches()
    spec, state = network.spec, copy.deepcopy(network.state_dict())
    scheduler = scheduler_of(network)
    scheduler.step(data, data)
    scheduler.undo()
    assert network.spec == spec
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_events_are_counted() -> None:
    network, data, events = dead_chain(), batches(), []
    scheduler = scheduler_of(network)
    scheduler.policy = scheduler.policy.model_copy(
        update={"stop": scheduler.policy.stop.model_copy(update={"steps": 2})}
    )
    scheduler.on_event = events.append
    scheduler.step(data, data)
    assert [event.decision is not None for event in events] == [True, True]


def test_a_dead_branch_beside_a_living_one_changes_nothing() -> None:
    network = compile_network(
        parse_spec(f"""
nodes:
  x: {{kind: input, shape: [5]}}
  stem: {{kind: linear, from: x, features: 3, activation: tanh, grow: false}}
  branch: {{kind: linear, from: stem, features: 2, activation: relu}}
  back: {{kind: linear, from: branch, features: 3, grow: false}}
  sum: {{kind: merge, from: [stem, back]}}
  y: {{kind: linear, from: sum, features: 3}}
output: y
growth: {GROWTH}
"""),
        seed=0,
        dtype=torch.float64,
    )
    kill(network, "branch")
    data = batches()
    before = [network(x).detach() for x, _ in data]
    event = scheduler_of(network).step(data, data)
    assert event is not None
    assert event.decision is not None
    assert event.decision.target == "branch"
    for (x, _), old in zip(data, before, strict=True):
        torch.testing.assert_close(network(x), old)


def test_a_signal_keeps_its_size() -> None:
    """New weights of the standard deviation √(2 / fan_in), counted with the new inputs, keep E x² behind a relu."""
    network = chain(activation="relu", widths=(4, 60))
    (first, _) = [group for group in network.graph.groups if group.target in ("h1", "h2")]

    spread = kept_signal_spread(linked_group(network, first, kernel="full"), 196)
    assert spread.fan_in.tolist() == pytest.approx([(2 / 5) ** 0.5] * 6)  # five inputs and a constant
    assert spread.fan_out.tolist() == pytest.approx([(2 / 200) ** 0.5] * 60)
