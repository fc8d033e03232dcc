"""The data that a plan looks at, and the gradient that new neurons follow."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from gromo_graph import GrowthScheduler, compile_network, parse_spec
from gromo_graph.growth.candidates.group_neurons import FEW_SAMPLES
from gromo_graph.growth.effort.sample_parts import sample_parts
from gromo_graph.growth.effort.sample_size import SampleSize, samples_for
from gromo_graph.run.data.samples import Part
from gromo_graph.run.data.tensor_loader import TensorLoader
from gromo_graph.spec.settings import Growth, Statistics, When
from tests.growth.problems import batches, chain

MSE = torch.nn.functional.mse_loss
CNN = """
version: 1
name: cnn
nodes:
  x: {kind: input, shape: [2, 6, 6]}
  a: {kind: conv2d, from: x, features: 2, kernel: 3, padding: 1, activation: tanh}
  b: {kind: conv2d, from: a, features: 3, kernel: 3, stride: 2}
  c: {kind: conv2d, from: a, features: 3, kernel: 3, stride: 2}
  s: {kind: merge, from: [b, c], activation: tanh}
  f: {kind: flatten, from: s}
  y: {kind: linear, from: f, features: 2}
output: y
"""


def test_n_from_a_second_pass_is_that_of_the_cross_covariance() -> None:
    network = compile_network(parse_spec(CNN), seed=0, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(600, 2, 6, 6, generator=generator, dtype=torch.float64)
    y = torch.randn(600, 2, generator=generator, dtype=torch.float64)
    data = list(zip(x.split(50), y.split(50), strict=True))
    looked_at = Statistics(samples=600)
    plans = [
        GrowthScheduler(network, MSE, policy=Growth(project=each, statistics=looked_at)).plan(data)  # type: ignore[arg-type]
        for each in ("auto", "rows")
    ]
    targets = [{c.target: c for c in plan.candidates if c.reason is None} for plan in plans]
    assert targets[0].keys() == targets[1].keys()
    assert len(targets[0]) >= 2
    for target, crossed in targets[1].items():
        projected = targets[0][target]
        assert FEW_SAMPLES not in projected.note
        assert projected.slope == pytest.approx(crossed.slope, rel=1e-9)
        assert projected.predicted == pytest.approx(crossed.predicted, rel=1e-9)
    assert plans[0].memory < plans[1].memory


def test_few_samples_for_each_input_leave_the_gradient_as_it_is() -> None:
    data = batches(20)
    plans = {
        project: GrowthScheduler(chain(), MSE, policy=Growth(project=project)).plan(data)  # type: ignore[arg-type]
        for project in ("auto", "never")
    }
    for one, other in zip(plans["auto"].candidates, plans["never"].candidates, strict=True):
        assert (one.target, one.slope) == (other.target, other.slope)
        assert one.reason is not None or FEW_SAMPLES in one.note
        assert FEW_SAMPLES not in other.note, "it was asked for, and has nothing to do with the samples"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Growth(), SampleSize(1024, 512)),
        (Growth(statistics=Statistics(samples=60)), SampleSize(60, 30)),
        (Growth(when=When(every=1)), SampleSize(None, None)),
        (Growth(when=When(plateau=2), statistics=Statistics(samples=60)), SampleSize(60, None)),
    ],
)
def test_the_number_of_samples_follows_from_the_policy(policy: Growth, expected: SampleSize) -> None:
    assert samples_for(policy) == expected


@pytest.mark.parametrize("shuffled", [False, True])
def test_neurons_are_solved_from_one_part_and_measured_on_another(shuffled: bool) -> None:
    x = torch.arange(40.0)[:, None]
    dataset = TensorDataset(x, x)
    loader = list(DataLoader(dataset, batch_size=4)) if shuffled else DataLoader(dataset, batch_size=4)
    parts = sample_parts(loader, SampleSize(16, 8))
    first, second = (torch.cat([x for x, _ in part]) for part in (parts.statistics, parts.slopes))
    assert (len(first), len(second), parts.samples) == (16, 8, 16)
    assert not set(first.flatten().tolist()) & set(second.flatten().tolist())
    assert len(list(parts.statistics)) == 4  # they can be read again


def test_a_loader_with_too_few_samples_is_used_whole_for_both() -> None:
    data = batches(40)
    parts = sample_parts(data, SampleSize(32, 16))
    assert parts.statistics is data
    assert parts.slopes is data
    assert parts.samples == 40


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_that_share_batches_read_the_same_ones(processes: int) -> None:
    """Shares of 25 samples are uneven: counted by each process alone, they would stop at different batches."""
    part = Part(torch.arange(1000.0)[:, None], torch.arange(1000))
    size = SampleSize(384, 192)

    def read(places: int) -> list[list[int]]:
        """The samples of both parts, of all processes together."""
        shares = [
            sample_parts(TensorLoader(part, 25, share=(place, places)), size, places)
            for place in range(places)
        ]
        both = ([each.statistics for each in shares], [each.slopes for each in shares])
        return [sorted(int(y) for share in shares for _, ys in share for y in ys) for shares in both]

    assert read(processes) == read(1)


LAYERS_OF_ONE_POSITION = {
    "rows": """
  x: {kind: input, shape: [80]}
  a: {kind: linear, from: x, features: 4, activation: tanh}
  y: {kind: linear, from: a, features: 3}
""",
    "a kernel as large as its image": """
  x: {kind: input, shape: [3, 5, 5]}
  a: {kind: conv2d, from: x, features: 4, kernel: 5, activation: tanh}
  b: {kind: conv_transpose2d, from: a, features: 2, kernel: 3, stride: 2, padding: 1, activation: tanh}
  c: {kind: conv2d, from: a, features: 2, kernel: 3, padding: 1, activation: tanh}
  s: {kind: merge, from: [b, c], merge: concat}
  f: {kind: flatten, from: s}
  y: {kind: linear, from: f, features: 3}
""",
}


@pytest.mark.parametrize("name", LAYERS_OF_ONE_POSITION)
def test_kept_rows_give_the_neurons_of_sums(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"nodes:{LAYERS_OF_ONE_POSITION[name]}output: y\n"
    network = compile_network(parse_spec(text), seed=0, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, *network.graph.shapes["x"], generator=generator, dtype=torch.float64)
    y = torch.randn(60, 3, generator=generator, dtype=torch.float64)
    data = list(zip(x.split(20), y.split(20), strict=True))
    kept = GrowthScheduler(network, MSE, policy=Growth(project="never")).plan(data)
    monkeypatch.setattr("gromo_graph.growth.statistics_sums.rows_can_be_kept", lambda group: False)
    summed = GrowthScheduler(network, MSE, policy=Growth(project="never")).plan(data)
    assert kept.memory != summed.memory
    one, other = (next(c for c in plan.candidates if c.target == "a") for plan in (kept, summed))
    assert one.neurons == other.neurons
    assert one.slope == pytest.approx(other.slope, rel=1e-6)
    assert one.predicted == pytest.approx(other.predicted, rel=1e-6)
