"""The multiply-adds of a decision: as they are expected, and as they bound what is looked at."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gromo_graph import GrowingNetwork, GrowthEvent, GrowthScheduler, SpecError, compile_network, parse_spec
from gromo_graph.growth.effort.decision_cost import decision_cost
from gromo_graph.growth.effort.spending import Allowance, Spending
from gromo_graph.network.linked_groups import linked_group
from gromo_graph.spec.settings import Growth, Statistics, Stop, When

LOSS = torch.nn.functional.cross_entropy
CNN = """
nodes:
  x: {kind: input, shape: [1, 12, 12]}
  a: {kind: conv2d, from: x, features: 6, kernel: 3, padding: 1, activation: relu}
  p: {kind: max_pool2d, from: a, kernel: 2}
  b: {kind: conv2d, from: p, features: 8, kernel: 3, padding: 1, activation: relu}
  m: {kind: adaptive_avg_pool2d, from: b, size: 1}
  f: {kind: flatten, from: m}
  y: {kind: linear, from: f, features: 4}
output: y
"""
MLP = """
nodes:
  x: {kind: input, shape: [300]}
  a: {kind: linear, from: x, features: 6, activation: relu}
  b: {kind: linear, from: a, features: 8, activation: relu}
  y: {kind: linear, from: b, features: 4}
output: y
"""


class Counted(TorchDispatchMode):
    """Counts multiply-adds of convolutions and matrix products."""

    madds = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.addmm_.default:
            self.madds += args[1].numel() * args[2].shape[1]
        elif func._overloadpacket in flop_registry:
            self.madds += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=result) / 2
        return result


def network_of(text: str) -> GrowingNetwork:
    return compile_network(parse_spec(text), seed=0)


def batches(network: GrowingNetwork, samples: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(samples, *network.graph.shapes["x"], generator=generator)
    y = torch.randint(0, 4, (samples,), generator=generator)
    return list(zip(x.split(32), y.split(32), strict=True))


def cost_of(network: GrowingNetwork, policy: Growth, tried: int = 16):  # type: ignore[no-untyped-def]
    groups = [linked_group(network, group) for group in network.graph.groups if group.target in ("a", "b")]
    return decision_cost(network.graph, groups, policy, tried)


def test_samples_follow_from_the_inputs_of_layers_and_a_convolution_has_many_rows() -> None:
    assert cost_of(network_of(CNN), Growth()).needed == 256
    assert cost_of(network_of(MLP), Growth()).needed == 301
    wide = network_of(MLP.replace("[300]", "[3000]"))
    assert cost_of(wide, Growth()).needed == 1024
    assert cost_of(wide, Growth(statistics=Statistics(samples=70))).needed == 70


@pytest.mark.parametrize("text", [CNN, MLP])
def test_the_expected_cost_is_that_of_the_operations(text: str) -> None:
    network, policy = network_of(text), Growth(project="never")
    data = batches(network, 480)
    with Counted() as counter:
        plan = GrowthScheduler(network, LOSS, policy=policy).plan(data)
    expected = cost_of(network, policy).of(plan.samples)
    assert 0.5 < expected / counter.madds < 3.0


def test_fewer_multiply_adds_allow_fewer_samples_and_too_few_allow_none() -> None:
    cost = cost_of(network_of(CNN), Growth())
    assert cost.samples_within(2.0 * cost.of(256)) == 256
    assert cost.samples_within(cost.of(200)) == 200
    assert (cost.least, cost.samples_within(cost.of(127))) == (128, 0)


def test_the_bound_is_none_where_samples_are_counted_otherwise() -> None:
    spending, cost = Spending(trained=1e6, decided=2e5), cost_of(network_of(CNN), Growth())

    def allowed(**settings: object) -> Allowance | None:
        return spending.allowance(Growth(**settings))  # type: ignore[arg-type]

    usual, strict = allowed(), allowed(statistics=Statistics(samples=60, cost=0.3))
    assert usual is not None
    assert strict is not None
    assert (usual.left, usual.samples(cost)) == (8e5, 128)
    assert (strict.left, strict.samples(cost)) == (pytest.approx(1e5), 0)
    assert allowed(statistics=Statistics(samples=60)) is None
    assert allowed(statistics=Statistics(error=0.1)) is None
    assert allowed(when=When(every=1)) is None


@pytest.mark.parametrize("cost", [0.0, -1.0, "much"])
def test_a_cost_is_a_positive_number(cost: object) -> None:
    with pytest.raises(SpecError):
        Statistics(cost=cost)  # type: ignore[arg-type]


def trained(cost: float) -> tuple[GrowthScheduler, list[GrowthEvent]]:
    """Two epochs of training with six ticks in it."""
    network = network_of(CNN)
    data = batches(network, 640)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    policy = Growth(
        when=When(until=0.9, steps=6), stop=Stop(parameters=1500), statistics=Statistics(cost=cost)
    )
    scheduler = GrowthScheduler(network, LOSS, policy=policy, optimizer=optimizer, training_steps=40)
    events: list[GrowthEvent] = []
    for x, y in data * 2:
        optimizer.zero_grad()
        LOSS(network(x), y).backward()
        optimizer.step()
        events += scheduler.after_batch(x, y, data[:2])
    return scheduler, events


def test_all_decisions_together_stay_within_their_share() -> None:
    scheduler, events = trained(0.8)
    spent = Spending(**scheduler.saved().plain["spending"])
    spent.settle(scheduler.network.graph.multiply_adds)
    assert 0.0 < spent.decided <= 0.8 * spent.trained
    waiting = [event for event in events if "the tick waits" in event.reason]
    assert 0 < len({event.tick for event in waiting}) < 6
    assert any(event.decision is not None for event in events)


def test_where_nothing_can_be_measured_the_last_tick_draws_what_is_due() -> None:
    scheduler, events = trained(1e-6)
    assert Spending(**scheduler.saved().plain["spending"]).decided == 0.0
    assert [event.decision is None for event in events[:5]] == [True] * 5
    assert "`growth.statistics.cost`" in events[0].reason
    assert all("random neurons" in event.reason for event in events[5:])
    assert scheduler.network.graph.parameter_count > 0.9 * 1500


def test_what_was_spent_is_saved() -> None:
    scheduler, _ = trained(0.8)
    again = GrowthScheduler(network_of(CNN), LOSS, policy=scheduler.policy, training_steps=40)
    again.restore(scheduler.saved())
    assert again.saved().plain["spending"] == scheduler.saved().plain["spending"]
