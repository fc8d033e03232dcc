"""Held-out losses do not depend on how samples are cut into batches, or the loss is refused in words."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gromo_graph import GrowthError, GrowthScheduler, compile_network, from_torch, parse_spec
from gromo_graph.growth.losses import mean_loss
from gromo_graph.growth.means import check_mean, share_of
from gromo_graph.spec.settings import Growth

SPEC = """
nodes:
  x: {kind: input, shape: [6]}
  h: {kind: linear, from: x, features: 2, activation: relu}
  y: {kind: linear, from: h, features: 3}
output: y
growth: {when: {every: 1, until: 1.0}}
"""
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(120, 6, generator=GENERATOR)
Y = (X[:, :3] * X[:, 3:]).argmax(dim=1)
ORDER = torch.argsort(Y)
X, Y = X[ORDER], Y[ORDER]  # batches of one class: the worst case for weights of classes
WEIGHT = torch.tensor([1.0, 1.0, 50.0])
F = nn.functional


def in_batches(size: int, y: Tensor = Y) -> list[tuple[Tensor, Tensor]]:
    return list(zip(X.split(size), y.split(size), strict=True))


COUNTED: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "weights of classes": nn.CrossEntropyLoss(weight=WEIGHT),
    "smoothed": nn.CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.1),
    "a class is ignored": nn.CrossEntropyLoss(ignore_index=1),
    "a partial function": partial(F.cross_entropy, weight=WEIGHT, ignore_index=0),
    "plain": F.cross_entropy,
    "a penalty": lambda p, y: F.cross_entropy(p, y) + 0.1 * p.square().mean(),
}


@pytest.mark.parametrize("loss", COUNTED.values(), ids=COUNTED)
def test_the_loss_is_the_same_however_samples_are_cut(loss: Callable) -> None:
    network = compile_network(parse_spec(SPEC), seed=0)
    events = []
    for size in (120, 40, 7):
        data = in_batches(size)
        events.append(GrowthScheduler(copy.deepcopy(network), loss, epochs=9).step(data, data))
    with torch.no_grad():
        wanted = float(loss(network(X), Y))
    for event in events:
        assert event is not None
        assert event.loss_before == pytest.approx(wanted, rel=1e-5)


REFUSED: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "weights out of sight": lambda p, y: F.cross_entropy(p, y, weight=WEIGHT),
    "over pairs": lambda p, y: (p @ p.T).logsumexp(dim=1).mean(),
    "dice": lambda p, y: (
        1 - 2 * (p.softmax(1)[:, 0] * (y == 0)).sum() / (p.softmax(1)[:, 0] + (y == 0)).sum()
    ),
    "a sum": lambda p, y: F.cross_entropy(p, y, reduction="sum"),
}


@pytest.mark.parametrize("loss", REFUSED.values(), ids=REFUSED)
def test_a_loss_that_is_no_mean_is_refused(loss: Callable) -> None:
    network = compile_network(parse_spec(SPEC), seed=0)
    data = in_batches(30)
    scheduler = GrowthScheduler(network, loss, epochs=9)
    with pytest.raises(GrowthError, match=r"the loss is no mean over samples: .*held-out data in one batch"):
        scheduler.step(data, data)
    assert scheduler.step(data, in_batches(120)) is not None  # one batch can be cut in no other way


NO_LOSS: dict[str, tuple[Any, str]] = {
    "a class": (
        nn.CrossEntropyLoss,
        r"the class CrossEntropyLoss: give an object of it, CrossEntropyLoss\(\)",
    ),
    "nothing": (None, "the loss is None: expected a function"),
    "a sum": (nn.CrossEntropyLoss(reduction="sum"), "reduction='sum': expected the mean"),
    "a number": (lambda p, y: 1.0, "gave a float: expected a scalar tensor"),
    "a dict": (lambda p, y: {"loss": F.cross_entropy(p, y)}, "gave a dict"),
    "a row": (lambda p, y: F.cross_entropy(p, y)[None], r"has shape \(1,\)"),
    "complex": (lambda p, y: F.cross_entropy(p, y) * 1j, "is of torch.complex64"),
    "errors": (lambda p, y: (p.argmax(1) != y).sum(), "is of torch.int64"),
}


@pytest.mark.parametrize(("loss", "message"), NO_LOSS.values(), ids=NO_LOSS)
def test_what_is_no_loss_is_refused(loss: Any, message: str) -> None:
    network = compile_network(parse_spec(SPEC), seed=0)
    with pytest.raises(GrowthError, match=message):
        GrowthScheduler(network, loss).step(in_batches(40), in_batches(40))


def test_a_mean_over_the_batch_is_a_mean() -> None:
    network = compile_network(parse_spec(SPEC), seed=0)
    loss = nn.KLDivLoss(reduction="batchmean")
    data = [(x, F.one_hot(y, 3).float()) for x, y in in_batches(40)]
    found = [GrowthScheduler(copy.deepcopy(network), loss).step(data, held) for held in (data, _joined(data))]
    assert found[0].loss_before == pytest.approx(found[1].loss_before, rel=1e-5)


def _joined(data: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    return [(torch.cat([x for x, _ in data]), torch.cat([y for _, y in data]))]


def test_targets_with_positions_count_those_that_are_not_ignored() -> None:
    loss = nn.CrossEntropyLoss(ignore_index=0, weight=torch.tensor([1.0, 2.0, 4.0]))
    target = torch.tensor([[0, 1, 2], [0, 0, 0]])
    assert share_of(loss)(torch.zeros(2, 3, 3), target) == 6.0
    assert share_of(loss)(torch.zeros(2, 3, 3), torch.full((2, 3, 3), 0.3)) == 2.0  # probabilities


def test_a_batch_in_which_all_is_ignored_counts_nothing() -> None:
    network = compile_network(parse_spec(SPEC), seed=0)
    loss = nn.CrossEntropyLoss(ignore_index=0)
    whole = mean_loss(network, loss, in_batches(120))
    assert mean_loss(network, loss, in_batches(5)) == pytest.approx(whole, rel=1e-6)


def test_a_loss_that_needs_whole_batches_is_not_judged() -> None:
    def whole(prediction: Tensor, target: Tensor) -> Tensor:
        if len(target) != 30:
            raise ValueError("expected 30 samples")
        return prediction.mean()

    check_mean(whole, [(torch.randn(30, 2), torch.zeros(30))] * 2)


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.policy = nn.Linear(6, 4), nn.Linear(4, 3)
        self.critic, self.value = nn.Linear(4, 4), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.relu(self.body(x))
        return self.policy(x), self.value(torch.relu(self.critic(x)))


def test_a_loss_of_one_output_plans_for_what_it_reaches() -> None:
    torch.manual_seed(0)
    network = from_torch(TwoHeads(), X[:2])
    policy = Growth(actions=["widen", "prune"])
    scheduler = GrowthScheduler(
        network, lambda p, y: F.cross_entropy(p["policy"], y), policy=policy, epochs=9
    )
    plan = scheduler.plan(in_batches(40))
    reasons = {(each.kind, each.target): each.reason for each in plan.candidates}
    assert reasons["widen", "body"] is None
    assert reasons["widen", "critic"] == "no new neuron would lower the loss"
    assert reasons["prune", "critic"] == "the loss does not depend on it, which says nothing of its worth"


def test_a_loss_of_no_output_is_refused() -> None:
    network = compile_network(parse_spec(SPEC), seed=0)
    constant = torch.ones((), requires_grad=True)
    with pytest.raises(GrowthError, match="the loss does not depend on any layer that may grow"):
        GrowthScheduler(network, lambda p, y: constant * 2.0).plan(in_batches(120))


WIDE = """
nodes:
  x: {kind: input, shape: [6]}
  h: {kind: linear, from: x, features: 3, activation: tanh}
  g: {kind: linear, from: h, features: 3, activation: relu}
  y: {kind: linear, from: g, features: 3}
output: y
growth: {actions: [widen, new_edge, new_node], neurons: {per_step: 2}, when: {every: 1, until: 1.0}}
"""


def in_double(loss: Callable) -> Callable:
    """The same loss with weights of classes in double precision."""
    if isinstance(loss, nn.Module):
        return copy.deepcopy(loss).double()
    if isinstance(loss, partial):
        given = {k: v.double() if isinstance(v, Tensor) else v for k, v in loss.keywords.items()}
        return partial(loss.func, **given)
    return loss


def _doubled(text: str) -> Any:
    return compile_network(parse_spec(text), seed=3).double()


@pytest.mark.parametrize("apply_delta", [False, True])
@pytest.mark.parametrize("loss", COUNTED.values(), ids=COUNTED)
def test_plans_weight_batches_as_the_loss_does(loss: Callable, apply_delta: bool) -> None:
    loss = in_double(loss)
    network, x = _doubled(WIDE), X.double()
    policy = network.spec.growth.model_copy(update={"apply_delta": apply_delta})
    slopes = []
    for size in (120, 40, 7):
        data = list(zip(x.split(size), Y.split(size), strict=True))
        plan = GrowthScheduler(copy.deepcopy(network), loss, policy=policy, epochs=9).plan(data)
        slopes.append(
            {(each.kind, each.target): (each.slope or 0.0, each.predicted or 0.0) for each in plan.candidates}
        )
    for other in slopes[1:]:
        for name, values in slopes[0].items():
            assert other[name] == pytest.approx(values, rel=1e-6), name


@pytest.mark.parametrize("loss", COUNTED.values(), ids=COUNTED)
def test_slopes_are_those_of_the_mean_loss(loss: Callable) -> None:
    """A small step along a candidate lowers the loss over all samples at once by γ times its slope."""
    loss = in_double(loss)
    network, x = _doubled(WIDE), X.double()
    data = list(zip(x.split(7), Y.split(7), strict=True))
    gamma = 1e-6
    for place in range(4):
        own = copy.deepcopy(network)
        scheduler = GrowthScheduler(own, loss, epochs=9)
        candidate = scheduler.plan(data).candidates[place]
        before = loss(network(x), Y).item()
        scheduler.apply(candidate, gamma)
        assert (before - loss(own(x), Y).item()) / gamma == pytest.approx(candidate.slope, rel=2e-2), (
            candidate.target
        )


def test_a_loss_that_ignores_all_targets_plans_nothing() -> None:
    network = compile_network(parse_spec(SPEC), seed=0)
    with pytest.raises(GrowthError, match="no target counts in the loss"):
        GrowthScheduler(network, nn.CrossEntropyLoss(ignore_index=1)).plan([(X, torch.ones_like(Y))])
