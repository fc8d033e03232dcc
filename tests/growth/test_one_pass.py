"""A plan reads the data once for each purpose, within bounds, without a trace, and from loaders that end."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from gromo_graph import GrowthError, GrowthScheduler, compile_network, parse_spec
from gromo_graph.spec.settings import Growth, Statistics, When
from tests.growth.problems import batches, chain

MSE = torch.nn.functional.mse_loss
ALL = Growth(actions=("widen", "new_edge", "new_node", "prune"), when=When(every=1, until=1.0))


class Counted:
    """A loader that counts how often it is gone through."""

    def __init__(self, data: list[tuple[Tensor, Tensor]]) -> None:
        self.data, self.passes = data, 0

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.passes += 1
        return iter(self.data)


@pytest.mark.parametrize("project", ["rows", "never", "auto"])
def test_all_candidates_take_two_passes(project: str) -> None:
    loader = Counted(batches())
    policy = ALL.model_copy(update={"project": project, "when": When()})
    plan = GrowthScheduler(chain(), MSE, policy=policy).plan(loader)
    assert {candidate.kind for candidate in plan.candidates} == {"widen", "new_edge", "new_node", "prune"}
    assert loader.passes == 2


@pytest.mark.parametrize(("project", "passes"), [("rows", 2), ("never", 2), ("auto", 3)])
def test_in_front_of_a_convolution_a_third_pass_projects(project: str, passes: int) -> None:
    spec = parse_spec("""
    nodes:
      x: {kind: input, shape: [1, 5, 5]}
      a: {kind: conv2d, from: x, features: 2, kernel: 3, activation: tanh}
      b: {kind: conv2d, from: a, features: 2, kernel: 3, activation: tanh}
      f: {kind: flatten, from: b}
      y: {kind: linear, from: f, features: 1}
    output: y
    """)
    x = torch.randn(240, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    loader = Counted([(part, part.mean(dim=(2, 3))) for part in x.split(60)])
    policy = Growth(project=project)  # type: ignore[arg-type]
    GrowthScheduler(compile_network(spec, seed=0), MSE, policy=policy).plan(loader)
    assert loader.passes == passes


def test_memory_does_not_depend_on_the_number_of_samples() -> None:
    plans = [GrowthScheduler(chain(), MSE, policy=ALL).plan(batches(size)) for size in (80, 800)]
    assert plans[0].memory == plans[1].memory > 0
    assert [plan.samples for plan in plans] == [80, 800]


def test_a_plan_does_not_depend_on_how_samples_are_put_into_batches() -> None:
    x, y = (torch.cat(parts) for parts in zip(*batches(), strict=True))
    for size in (7, 120):
        data = list(zip(x.split(size), y.split(size), strict=True))
        found = GrowthScheduler(chain(), MSE, policy=ALL).plan(data)
        expected = GrowthScheduler(chain(), MSE, policy=ALL).plan([(x, y)])
        for one, other in zip(found.candidates, expected.candidates, strict=True):
            assert (one.kind, one.target, one.neurons) == (other.kind, other.target, other.neurons)
            assert (one.slope or 0.0) == pytest.approx(other.slope or 0.0, rel=1e-6)


def test_second_moments_of_the_data_are_kept_for_the_same_loader_alone() -> None:
    scheduler = GrowthScheduler(chain(), MSE, policy=ALL)
    first, other = batches(), batches(seed=9)
    expected = [
        scheduler.plan(first).candidates,
        GrowthScheduler(chain(), MSE, policy=ALL).plan(other).candidates,
    ]
    again, changed = scheduler.plan(first).candidates, scheduler.plan(other).candidates
    for found, reference in ((again, expected[0]), (changed, expected[1])):
        for one, same in zip(found, reference, strict=True):
            assert (one.slope or 0.0) == pytest.approx(same.slope or 0.0, rel=1e-9)


def test_measuring_draws_nothing_from_the_global_generator() -> None:
    x, y = (torch.cat(parts) for parts in zip(*batches(), strict=True))
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)

    def noisy(prediction: Tensor, target: Tensor) -> Tensor:
        return MSE(prediction + 0.01 * torch.randn_like(prediction), target)

    scheduler = GrowthScheduler(chain(), noisy, policy=ALL, epochs=10)
    before = torch.get_rng_state()
    scheduler.step(loader, loader)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_noisy_loss_is_compared_with_the_same_noise() -> None:
    """Else γ would be chosen by chance: two looks at the same network give the same loss."""

    def noisy(prediction: Tensor, target: Tensor) -> Tensor:
        return MSE(prediction, target) + torch.rand((), dtype=prediction.dtype)

    scheduler = GrowthScheduler(chain(), noisy, policy=ALL, epochs=10)
    event = scheduler.step(batches(), batches())
    quiet = GrowthScheduler(chain(), MSE, policy=ALL, epochs=10).step(batches(), batches())
    assert event.gamma == pytest.approx(quiet.gamma)
    assert event.loss_before - event.loss_after == pytest.approx(quiet.loss_before - quiet.loss_after)


class Endless(IterableDataset):
    """Samples for ever."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for seed in itertools.count():
            yield from ((x[0], y[0]) for x, y in batches(1, seed=seed))


def test_an_endless_loader_is_refused_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gromo_graph.growth.observe._MOST_BATCHES", 20)
    network = chain()
    before = json.dumps([p.tolist() for p in network.parameters()])
    scheduler = GrowthScheduler(network, MSE, policy=ALL, epochs=10)
    with pytest.raises(GrowthError, match=r"20 batches and says no length.*growth\.statistics\.samples"):
        scheduler.plan(DataLoader(Endless(), batch_size=4))
    with pytest.raises(GrowthError, match="held-out data must be a part of it"):
        scheduler.step(batches(), DataLoader(Endless(), batch_size=4))
    assert json.dumps([p.tolist() for p in network.parameters()]) == before


def test_a_loader_that_repeats_itself_is_refused_at_once() -> None:
    scheduler = GrowthScheduler(chain(), MSE, policy=ALL, epochs=10)
    with pytest.raises(GrowthError, match=r"begins to repeat itself after 3 batches \(itertools\.cycle\?\)"):
        scheduler.plan(itertools.cycle(batches()))


def test_so_many_samples_of_an_endless_loader_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gromo_graph.growth.observe._MOST_BATCHES", 20)
    policy = ALL.model_copy(update={"statistics": Statistics(samples=60)})
    scheduler = GrowthScheduler(chain(), MSE, policy=policy, epochs=10)
    plan = scheduler.plan(DataLoader(Endless(), batch_size=4))
    assert plan.samples == 60
    assert any(candidate.slope for candidate in plan.candidates)
    event = scheduler.step(DataLoader(Endless(), batch_size=4), batches())
    assert event.loss_after <= event.loss_before


@pytest.mark.parametrize("exhausted", [False, True])
def test_an_empty_and_an_exhausted_loader_are_refused(exhausted: bool) -> None:
    loader = iter(batches())
    if not exhausted:
        loader = iter([])
    with pytest.raises(GrowthError, match="a loader is read once per pass"):
        GrowthScheduler(chain(), MSE, policy=ALL).plan(loader)


def test_a_plan_tells_how_far_it_is() -> None:
    told: list[str] = []
    GrowthScheduler(chain(), MSE, policy=Growth(when=When()), on_batch=told.append).plan(batches())
    assert told == [f"{what} {n} of 3 batches" for what in ("statistics", "slopes") for n in (1, 2, 3)]
