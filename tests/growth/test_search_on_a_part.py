"""Step sizes are searched on a part of many held-out samples, and decided by all of them."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor

from gromo_graph import GrowthEvent, GrowthScheduler, compile_network, parse_spec
from gromo_graph.growth.losses import SEARCHED, HeldOut, mean_loss
from gromo_graph.growth.process_sums import ALONE

MSE = torch.nn.functional.mse_loss
SPEC = parse_spec("""
nodes:
  x: {kind: input, shape: [3]}
  h: {kind: linear, from: x, features: 2, activation: tanh}
  y: {kind: linear, from: h, features: 1}
output: y
growth: {stop: {parameters: 40}, when: {until: 1.0, steps: 1}}
""")


def sample(count: int, seed: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return x, x.square().sum(dim=1, keepdim=True)


def batches(x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
    return list(zip(x.split(128), y.split(128), strict=True))


def test_most_looks_are_at_a_part_and_the_event_tells_of_all() -> None:
    held_out = batches(*sample(4 * SEARCHED, 1))
    looked_at: Counter[int] = Counter()

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        looked_at[len(target)] += 1
        return MSE(prediction, target)

    network = compile_network(SPEC, seed=0)
    events: list[GrowthEvent] = []
    scheduler = GrowthScheduler(network, loss, epochs=1, on_event=events.append)
    scheduler.step(batches(*sample(512, 0)), held_out)
    (event,) = events
    assert event.gamma > 0.0
    assert event.loss_after == pytest.approx(mean_loss(network, MSE, held_out), rel=1e-6)
    passes_over_all = looked_at[128] / len(held_out)
    assert looked_at[SEARCHED] > passes_over_all / 2 > 0


def test_a_step_that_lowers_the_loss_of_the_part_alone_is_refused() -> None:
    x, y = sample(4 * SEARCHED, 1)
    against = -8.0 * y
    against[::4] = y[::4]  # the part
    scheduler = GrowthScheduler(compile_network(SPEC, seed=0), MSE, epochs=1)
    held_out = [(x, against)]
    network = scheduler.network
    before = mean_loss(network, MSE, held_out)
    plan = scheduler.plan(batches(*sample(512, 0)))
    event = scheduler.apply(plan.candidates[0], loader=held_out)
    assert event.decision is None
    assert "does not lower the loss of all of them" in event.reason
    assert mean_loss(network, MSE, held_out) == before


@pytest.mark.parametrize("count", [1, 300, 2 * SEARCHED - 1])
def test_few_samples_are_all_looked_at(count: int) -> None:
    network, held_out = compile_network(SPEC, seed=0), HeldOut(MSE, ALONE)
    held_out.loader = batches(*sample(count, 2))
    assert held_out.loss_of_part(network) == held_out.loss_of(network)


def test_the_part_is_every_nth_sample_of_all_batches() -> None:
    network, held_out = compile_network(SPEC, seed=0), HeldOut(MSE, ALONE)
    x, y = sample(3 * SEARCHED, 3)
    held_out.loader = batches(x, y)
    assert held_out.loss_of_part(network) == pytest.approx(
        mean_loss(network, MSE, [(x[::3], y[::3])]), rel=1e-6
    )
    held_out.loader = batches(*sample(2 * SEARCHED, 4))  # other data, another part
    assert held_out.loss_of_part(network) == pytest.approx(
        mean_loss(network, MSE, [(v[0][::2], v[1][::2]) for v in [sample(2 * SEARCHED, 4)]]), rel=1e-6
    )
