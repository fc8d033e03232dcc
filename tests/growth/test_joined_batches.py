"""Small batches are joined for the passes of a plan: the candidates are those of the batches as they were given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from gromo_graph import GrowthError, GrowthScheduler, compile_network, parse_spec
from gromo_graph.growth.effort.joined_batches import JoinedBatches, joined_parts
from gromo_graph.growth.effort.sample_parts import SampleParts
from gromo_graph.growth.means import share_of
from gromo_graph.records import Plan
from tests.growth.problems import batches, chain

MSE = torch.nn.functional.mse_loss
MASKED = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 4.0, 2.0], dtype=torch.float64), ignore_index=2)


class _AddsUp:
    """A loss that says whether batches may be joined."""

    def __init__(self, loss: Any, *, adds_up: bool) -> None:
        self.loss, self.share, self.adds_up = loss, share_of(loss), adds_up

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        found: Tensor = self.loss(prediction, target)
        return found


class Whole:
    """A loader of its length that is no list, whose first batches a plan takes."""

    def __init__(self, data: list[tuple[Tensor, Tensor]]) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.data)


class _Seen:
    """A loss that remembers the sizes of its batches."""

    def __init__(self, *, known: bool) -> None:
        self.adds_up, self.sizes = known, list[int]()

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        self.sizes.append(len(target))
        return MSE(prediction, target)


def _plan(loss: Any, loader: Any) -> Plan:
    generator = torch.Generator().manual_seed(0)
    policy = {"actions": ["widen", "new_edge", "prune"]}
    return GrowthScheduler(chain(), loss, policy=policy, generator=generator).plan(loader)


def _same(one: Plan, other: Plan) -> None:
    assert one.samples == other.samples
    assert [c.target for c in one.candidates] == [c.target for c in other.candidates]
    measured = [
        (ours, theirs)
        for ours, theirs in zip(one.candidates, other.candidates, strict=True)
        if theirs.reason is None
    ]
    assert len(measured) >= 3
    for ours, theirs in measured:
        assert ours.slope == pytest.approx(theirs.slope, rel=1e-9, abs=1e-15)
        assert ours.predicted == pytest.approx(theirs.predicted, rel=1e-9, abs=1e-15)


def test_a_plan_on_joined_batches_is_that_of_the_batches_themselves() -> None:
    data = batches(60, size=10)
    _same(*(_plan(_AddsUp(MSE, adds_up=each), data) for each in (True, False)))


def test_classes_that_weigh_and_targets_that_are_ignored_count_as_before() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(90, 5, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 3, (90,), generator=generator)
    y[40:50] = 2  # a batch of nothing that counts
    data = list(zip(x.split(10), y.split(10), strict=True))
    _same(*(_plan(_AddsUp(MASKED, adds_up=each), data) for each in (True, False)))


@pytest.mark.parametrize(("known", "largest"), [(True, 120), (False, 10)])
def test_only_losses_of_which_it_is_known_see_joined_batches(known: bool, largest: int) -> None:
    loss = _Seen(known=known)
    _plan(loss, batches(120, size=10))
    assert max(loss.sizes) == largest


def test_a_loss_with_a_tensor_of_the_size_of_a_batch_gets_batches_of_that_size() -> None:
    loss = torch.nn.BCEWithLogitsLoss(weight=torch.linspace(0.1, 3.0, 10, dtype=torch.float64)[:, None])
    data = [(x, (y > 0).double()) for x, y in batches(120, size=10)]
    assert any(each.reason is None for each in _plan(loss, data).candidates)


def test_a_loader_may_fill_the_same_memory_again() -> None:
    data = batches(120, size=10)

    class Reused:
        def __len__(self) -> int:
            return len(data)

        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            x, y = (torch.empty_like(each) for each in data[0])
            for pair in data:
                yield x.copy_(pair[0]), y.copy_(pair[1])

    _same(_plan(MSE, Reused()), _plan(MSE, Whole(data)))


def test_batches_of_other_shapes_stay_apart() -> None:
    short, long = (torch.zeros(2, 3), torch.zeros(2)), (torch.zeros(2, 4), torch.zeros(2))
    found = JoinedBatches([short, short, long, long, short], samples=10)
    assert [tuple(x.shape) for (x,), _ in found] == [(4, 3), (4, 4), (2, 3)]


def test_several_inputs_keep_their_order_and_samples_theirs() -> None:
    first = ((torch.tensor([[1.0]]), torch.tensor([[2]])), torch.tensor([0]))
    second = ((torch.tensor([[3.0]]), torch.tensor([[4]])), torch.tensor([1]))
    ((inputs, target),) = JoinedBatches([first, second], samples=10)
    assert [each.tolist() for each in inputs] == [[[1.0], [3.0]], [[2], [4]]]
    assert target.tolist() == [0, 1]


def test_what_is_no_batch_is_refused_as_before() -> None:
    x, y = batches(20)[0]
    with pytest.raises(GrowthError, match="the loader gave a dict"):
        _plan(MSE, [(x, y), {"x": x}])


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        (
            "nodes: {x: {kind: input, shape: [3, 64, 64]}, c: {kind: conv2d, from: x, features: 64, kernel: 3},"
            " m: {kind: adaptive_avg_pool2d, from: c, size: 1}, f: {kind: flatten, from: m},"
            " y: {kind: linear, from: f, features: 2}}\noutput: y",
            (3, 64, 64),
        ),
        (
            "nodes: {x: {kind: input, shape: [64]}, e: {kind: embedding, from: x, vocabulary: 5000, features: 2},"
            " f: {kind: flatten, from: e}, y: {kind: linear, from: f, features: 2}}\noutput: y",
            (64,),
        ),
    ],
)
def test_samples_that_are_large_or_become_large_are_not_joined(spec: str, shape: tuple[int, ...]) -> None:
    network = compile_network(parse_spec(spec), seed=0)
    data = [(torch.zeros(4, *shape), torch.zeros(4, 2))] * 3
    parts = joined_parts(SampleParts(data, data, 12), network, _AddsUp(MSE, adds_up=True))
    assert [len(y) for _, y in parts.statistics] == [4, 4, 4]
