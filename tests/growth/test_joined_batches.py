"""Small batches are joined for the passes of a plan: the candidates are those of the batches as they were given."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from gromo_graph import GrowthError, GrowthScheduler, compile_network, parse_spec
from gromo_graph.growth.effort.joined_batches import JoinedBatches, joined_parts
from gromo_graph.growth.effort.sample_parts import SampleParts
from gromo_graph.growth.means import adds_up, share_of
from gromo_graph.records import Plan
from tests.growth.problems import batches, chain

MSE = torch.nn.functional.mse_loss
MASKED = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 4.0, 2.0], dtype=torch.float64), ignore_index=2)


class _AsTheyAre:
    """A loss of which nothing is known but the weights of its batches, so that these are left as they are."""

    def __init__(self, loss: Any) -> None:
        self.loss, self.share = loss, share_of(loss)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        found: Tensor = self.loss(prediction, target)
        return found


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
    _same(_plan(MSE, data), _plan(_AsTheyAre(MSE), data))


def test_classes_that_weigh_and_targets_that_are_ignored_count_as_before() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(90, 5, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 3, (90,), generator=generator)
    y[40:50] = 2  # a batch of nothing that counts
    data = list(zip(x.split(10), y.split(10), strict=True))
    _same(_plan(MASKED, data), _plan(_AsTheyAre(MASKED), data))


@pytest.mark.parametrize(("known", "largest"), [(True, 120), (False, 10)])
def test_only_losses_of_which_it_is_known_see_joined_batches(known: bool, largest: int) -> None:
    loss = _Seen(known=known)
    _plan(loss, batches(120, size=10))
    assert max(loss.sizes) == largest


def test_what_is_known_of_losses() -> None:
    assert adds_up(torch.nn.MSELoss())
    assert adds_up(torch.nn.functional.cross_entropy)
    assert not adds_up(lambda prediction, target: (prediction @ prediction.T - target).square().mean())

    class Own(torch.nn.Module):
        pass

    assert not adds_up(Own())


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


def test_large_samples_are_not_joined() -> None:
    network = compile_network(
        parse_spec(
            "nodes: {x: {kind: input, shape: [3, 64, 64]}, c: {kind: conv2d, from: x, features: 64, kernel: 3},"
            " m: {kind: adaptive_avg_pool2d, from: c, size: 1}, f: {kind: flatten, from: m},"
            " y: {kind: linear, from: f, features: 2}}\noutput: y"
        ),
        seed=0,
    )
    data = [(torch.zeros(4, 3, 64, 64), torch.zeros(4, 2))] * 3
    parts = joined_parts(SampleParts(data, data, 12), network.graph)
    assert [len(y) for _, y in parts.statistics] == [4, 4, 4]
