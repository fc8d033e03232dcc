"""Step sizes are searched on a part of many held-out samples, and decided by all of them."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor

from gromo_graph import GrowthEvent, GrowthScheduler, compile_network, parse_spec
from gromo_graph.growth.effort.held_out_parts import JUDGED, SEARCHED, numbered, thinned
from gromo_graph.growth.losses import mean_loss
from gromo_graph.growth.process_sums import ALONE
from gromo_graph.growth.steps.held_out import HeldOut, Losses
from gromo_graph.run.data.samples import Part
from gromo_graph.run.data.tensor_loader import TensorLoader

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


def test_most_looks_are_at_a_part_and_the_event_tells_of_a_larger_one() -> None:
    held_out = batches(*sample(SEARCHED + JUDGED, 1))
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
    assert looked_at[SEARCHED] > looked_at[JUDGED] == 2  # before, and at the γ that was found


def test_a_step_that_lowers_the_loss_of_the_part_alone_is_refused() -> None:
    x, y = sample(4 * SEARCHED, 1)
    against = -8.0 * y
    the_part = torch.arange(len(x)) // 16 % 4 == 0
    against[the_part] = y[the_part]
    scheduler = GrowthScheduler(compile_network(SPEC, seed=0), MSE, epochs=1)
    held_out = [(x, against)]
    network = scheduler.network
    before = mean_loss(network, MSE, held_out)
    plan = scheduler.plan(batches(*sample(512, 0)))
    event = scheduler.apply(plan.candidates[0], loader=held_out)
    assert event.decision is None
    assert "does not lower the loss of more of them" in event.reason
    assert mean_loss(network, MSE, held_out) == before


@pytest.mark.parametrize("count", [1, 300, 2 * SEARCHED - 1])
def test_few_samples_are_all_looked_at(count: int) -> None:
    network, held_out = compile_network(SPEC, seed=0), HeldOut(MSE, ALONE)
    held_out.loader = batches(*sample(count, 2))
    everything = held_out.losses_of(network, all_samples=True)
    assert held_out.losses_of(network, all_samples=False) == everything
    assert everything == Losses(everything.judged, everything.judged)


def part(x: Tensor, y: Tensor, every: int) -> list[tuple[Tensor, Tensor]]:
    chosen = torch.arange(len(x)) // 16 % every == 0
    return [(x[chosen], y[chosen])]


def test_the_part_is_from_all_over_the_data() -> None:
    network, held_out = compile_network(SPEC, seed=0), HeldOut(MSE, ALONE)
    # Other data, other parts. What is searched by is a part of what is judged by.
    for count, searched, judged in ((3, 3, 1), (2, 2, 1), (4, 4, 2), (5, 4, 2), (9, 8, 4)):
        x, y = sample(count * SEARCHED, count)
        held_out.loader = batches(x, y)
        losses = held_out.losses_of(network, all_samples=False)
        for found, every in ((losses.searched, searched), (losses.judged, judged)):
            assert found == pytest.approx(mean_loss(network, MSE, part(x, y, every)), rel=1e-6)


@pytest.mark.parametrize("processes", [2, 3, 5, 16])
def test_processes_have_together_the_part_of_one(processes: int) -> None:
    network, (x, y) = compile_network(SPEC, seed=0), sample(1667, 5)
    targets = []
    for place in range(processes):
        loader = TensorLoader(Part(x, y), 250, share=(place, processes))
        ((_, own),) = thinned(numbered(loader, network), lambda block: block % 6 == 0)
        targets.append(own)
    ((_, whole),) = thinned(numbered(TensorLoader(Part(x, y), 250), network), lambda block: block % 6 == 0)
    assert torch.cat(targets).flatten().sort().values.equal(whole.flatten().sort().values)
    assert max(map(len, targets)) - min(map(len, targets)) <= 24


def test_rows_that_are_no_samples_are_all_looked_at() -> None:
    tokens, flat = torch.zeros(10, 4), torch.zeros(40)
    assert thinned([((tokens,), flat, torch.arange(40))], lambda block: block % 2 == 0) == []


def test_if_the_targets_of_the_part_are_ignored_all_samples_decide() -> None:
    text = "nodes: {x: {kind: input, shape: [3]}, y: {kind: linear, from: x, features: 2}}\noutput: y"
    network = compile_network(parse_spec(text), seed=0)
    x = torch.randn(4 * SEARCHED, 3, generator=torch.Generator().manual_seed(3))
    y = (x[:, 0] > 0).long()
    y[torch.arange(len(x)) // 16 % 4 == 0] = -100
    held_out = HeldOut(torch.nn.CrossEntropyLoss(), ALONE)
    held_out.loader = [(x, y)]
    losses = held_out.losses_of(network, all_samples=False)
    assert losses == held_out.losses_of(network, all_samples=True)


@pytest.mark.parametrize(("share", "grows"), [(2e-8, False), (1e-3, True)])
def test_a_fall_of_the_loss_within_its_rounding_is_none(share: float, grows: bool) -> None:
    """A mean loss of 1 is known to some 1e-7: less than that is no reason to grow."""

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        return 1.0 + share * MSE(prediction, target)

    network = compile_network(SPEC, seed=0, dtype=torch.float64)
    data = [(x.double(), y.double()) for x, y in batches(*sample(384, 0))]
    scheduler = GrowthScheduler(network, loss, epochs=1, policy={"neurons": {"per_step": 2}})
    event = scheduler.step(data, data)
    assert event is not None
    assert (event.decision is not None) == grows
    assert ("which is rounding" in event.reason) != grows
