from __future__ import annotations

import copy

import pytest
import torch

from gromo_graph.errors import GrowthError
from gromo_graph.modules import TensorStatistic


def test_value_is_sum_over_samples() -> None:
    statistic = TensorStatistic("E")
    statistic.update(torch.tensor([6.0]), 2)
    statistic.update(torch.tensor([0.0]), 1)
    assert statistic().item() == 2.0
    assert (statistic.samples, statistic.shape) == (3, (1,))


def test_merging_adds_exactly() -> None:
    parts = [torch.randint(-9, 9, (3, 2)).double() for _ in range(4)]
    whole, one, two = (TensorStatistic(name) for name in ("whole", "one", "two"))
    for part in parts:
        whole.update(part, 5)
    for part in parts[:1]:
        one.update(part, 5)
    for part in parts[1:]:
        two.update(part, 5)
    one.merge(two)
    assert torch.equal(one(), whole())
    assert two.samples == 15
    one.merge(TensorStatistic("empty"))
    assert torch.equal(one(), whole())


def test_the_given_tensor_is_neither_kept_nor_changed() -> None:
    total = torch.ones(2)
    statistic = TensorStatistic("E")
    statistic.update(total, 1)
    statistic.update(total, 1)
    assert torch.equal(total, torch.ones(2))
    total += 5
    assert torch.equal(statistic(), torch.ones(2))


def test_empty_and_reset() -> None:
    statistic = TensorStatistic("S of stem")
    with pytest.raises(GrowthError, match=r"S of stem has no samples yet: call init_computation\(\)"):
        statistic()
    statistic.update(torch.ones(2), 1)
    statistic.reset()
    with pytest.raises(GrowthError, match="no samples"):
        statistic()
    statistic.update(torch.ones(3), 1)  # another width is fine after a reset


def test_shape_is_checked() -> None:
    statistic = TensorStatistic("S of stem", shape=(2, 2))
    with pytest.raises(GrowthError, match=r"S of stem has shape \(2, 2\) and got \(3, 3\)"):
        statistic.update(torch.ones(3, 3), 1)
    with pytest.raises(GrowthError, match="-1 samples"):
        statistic.update(torch.ones(2, 2), -1)


def test_half_precision_is_summed_in_single_and_stays_there() -> None:
    statistic = TensorStatistic("E")
    statistic.update(torch.ones(1, dtype=torch.float16), 1)
    assert statistic().dtype == torch.float32
    statistic.apply(lambda tensor: tensor.half())
    assert statistic().dtype == torch.float32
    statistic.apply(lambda tensor: tensor.double())
    assert statistic().dtype == torch.float64


def test_copies_are_independent() -> None:
    statistic = TensorStatistic("E")
    statistic.update(torch.ones(1), 1)
    other = copy.deepcopy(statistic)
    other.update(torch.ones(1), 1)
    assert (statistic.samples, other.samples) == (1, 2)
