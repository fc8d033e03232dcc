"""The data that the statistics of a step take: all, so many samples, or until they are known well enough."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from gromo_graph import GrowthScheduler, compile_network, parse_spec

ROWS, BATCHES = 20, 40


class Loader:
    """The same batches in every pass, and how many of them each pass has taken."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(ROWS * BATCHES, 4, generator=generator)
        self.y = self.x.prod(dim=1, keepdim=True) + self.x[:, :1].tanh()
        self.passes: list[int] = []

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.passes.append(0)
        for x, y in zip(self.x.split(ROWS), self.y.split(ROWS), strict=True):
            self.passes[-1] += 1
            yield x, y


def batches_taken(statistics: str) -> int:
    """By the pass of the statistics, which is the first of a plan."""
    network = compile_network(
        parse_spec(f"""
version: 1
name: counted
nodes:
  x: {{kind: input, shape: [4]}}
  h: {{kind: linear, from: x, features: 3, activation: tanh}}
  y: {{kind: linear, from: h, features: 1}}
output: y
growth: {{{statistics}}}
"""),
        seed=0,
    )
    loader = Loader()
    plan = GrowthScheduler(network, torch.nn.functional.mse_loss).plan(loader)
    assert plan.candidates
    return loader.passes[0]


def test_few_inputs_need_few_samples_by_default_and_the_clock_of_epochs_all() -> None:
    assert batches_taken("") == 13  # 256 samples
    assert batches_taken("when: {every: 1}") == BATCHES


@pytest.mark.parametrize(("samples", "batches"), [(1, 1), (100, 5), (101, 6), (10**6, BATCHES)])
def test_no_more_than_so_many_samples(samples: int, batches: int) -> None:
    """Batches are taken as a whole."""
    assert batches_taken(f"statistics: {{samples: {samples}}}") == batches


def test_the_pass_ends_when_the_error_is_small_enough() -> None:
    rough, fine, never = (batches_taken(f"statistics: {{error: {error}}}") for error in (0.6, 0.2, 1e-9))
    assert 4 <= rough < fine < BATCHES  # an error is judged from four batches on
    assert never == BATCHES


def test_whichever_comes_first() -> None:
    assert batches_taken("statistics: {samples: 100, error: 1e-9}") == 5
    assert batches_taken("statistics: {samples: 700, error: 0.6}") == batches_taken(
        "statistics: {error: 0.6}"
    )
