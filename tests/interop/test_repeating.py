"""A forward pass that does something else at the next call, for another batch, or without gradients is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gromo_graph import TorchImportError, from_torch


class Part(nn.Module):
    """Two layers, some state, and a forward pass of one's own."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 4)
        self.calls, self.kept = 0, None
        self.register_buffer("factor", torch.ones(()))
        self.function = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


class Whole(nn.Module):
    """A part between layers."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.before, self.part, self.after = nn.Linear(4, 4), part, nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.part(self.before(x).relu()))


def counter(self: Part, x: Tensor) -> Tensor:
    self.calls += 1
    return self.last(self.first(x) * self.calls)


def counter_in_a_buffer(self: Part, x: Tensor) -> Tensor:
    self.factor = self.factor + 1
    return self.last(self.first(x) * self.factor)


def cache(self: Part, x: Tensor) -> Tensor:
    h = self.first(x)
    self.kept = h if self.kept is None else self.kept
    return self.last(h + self.kept)


def larger_than(samples: int) -> Callable[[Part, Tensor], Tensor]:
    return lambda self, x: self.last(self.first(x).relu() if len(x) > samples else self.first(x))


def loop_over_samples(self: Part, x: Tensor) -> Tensor:
    h = self.first(x)
    for _ in range(x.shape[0]):
        h = h.relu()
    return self.last(h)


def equal(self: Part, x: Tensor) -> Tensor:
    return self.last(self.first(x).relu() if torch.equal(x, x.abs() + 1) else self.first(x))


def printed(self: Part, x: Tensor) -> Tensor:
    h = self.first(x)
    return self.last(h.relu() if "True" in repr(h[0, 0] > 0) else h)


def no_grad(self: Part, x: Tensor) -> Tensor:
    with torch.no_grad():
        h = self.first(x)
    return self.last(h)


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:  # type: ignore[override]
        return -slope


def random_numbers(draw: Callable[[Tensor], Tensor]) -> Callable[[Part, Tensor], Tensor]:
    return lambda self, x: self.last(self.first(x) * draw(x))


STATE, BATCH = "it keeps something from one call to the next", "it depends on the number of samples"
RANDOM, NO_GRAD = "it draws random numbers at each call", "it runs a part without gradients"
CASES: dict[str, tuple[Callable[[Any, Tensor], Tensor], str]] = {
    "counter": (counter, STATE),
    "counter in a buffer": (counter_in_a_buffer, STATE),
    "cache": (cache, STATE),
    "one sample": (larger_than(1), BATCH),
    "few samples": (larger_than(2), BATCH),
    "many samples": (larger_than(16), BATCH),
    "loop": (loop_over_samples, BATCH),
    "mean over the batch": (lambda self, x: self.last(self.first(x) / x.shape[0]), BATCH),
    "equal": (equal, "its path depends on values"),
    "printed values": (printed, "it depends on the values of the inputs"),
    "no_grad": (no_grad, NO_GRAD),
    "autograd.Function": (lambda self, x: self.last(Reversed.apply(self.first(x))), NO_GRAD),
    "mask": (random_numbers(lambda x: torch.rand(5) > 0.5), RANDOM),
    "mask of a number": (
        random_numbers(lambda x: torch.full((5,), 1.0 + (torch.rand(1) < 0.5).item())),
        RANDOM,
    ),
    "python": (random_numbers(lambda x: 1 if random.random() < 0.5 else 2), RANDOM),  # type: ignore[arg-type, return-value]
    "numpy": (random_numbers(lambda x: float(np.random.rand())), RANDOM),  # type: ignore[arg-type, return-value]
    "dropout": (lambda self, x: self.last(functional.dropout(self.first(x))), RANDOM),
}


@pytest.mark.parametrize("case", CASES)
def test_a_forward_pass_that_changes_is_refused_by_its_place_and_kept_with_the_module_around(
    case: str,
) -> None:
    function, reason = CASES[case]
    torch.manual_seed(0)
    model = Whole(Part(function)).eval()
    x = torch.randn(2, 4)
    with pytest.raises(TorchImportError) as caught:
        from_torch(model, x)
    (first, *_) = caught.value.obstacles
    assert first.path == "part"
    assert reason in first.reason
    if case not in ("python", "numpy"):
        assert "test_repeating.py" in first.reason
    kept = from_torch(model, x, allow_fixed=True)
    kinds = {name: node.kind for name, node in kept.spec.nodes.items()}
    assert {kinds["before"], kinds["after"]} == {"linear"}
    assert "fixed" in kinds.values()


@pytest.mark.parametrize("training", [True, False])
def test_no_gradient_through_frozen_weights_is_none_that_is_missed(training: bool) -> None:
    model = Whole(Part(no_grad)).train(training)
    for module in (model.before, model.part.first):
        module.requires_grad_(False)
    network = from_torch(model, torch.randn(2, 4))
    frozen = {name for name, weight in network.named_parameters() if not weight.requires_grad}
    assert len(frozen) == 4
    assert "part.last" in network.spec.nodes


def test_a_kept_cut_lets_no_gradient_through() -> None:
    model = nn.Sequential(Part(lambda self, x: self.last(self.first(x).detach())), nn.Linear(4, 2))
    with pytest.raises(TorchImportError, match="`detach`: it cuts the gradient"):
        from_torch(model, torch.randn(2, 4))
    network = from_torch(model, torch.randn(2, 4), allow_fixed=True)
    network(torch.randn(3, 4)).sum().backward()
    gradients = {name: weight.grad for name, weight in network.named_parameters()}
    assert [grad is None for name, grad in gradients.items() if "first" in name] == [True, True]
    assert all(grad is not None for name, grad in gradients.items() if "first" not in name)


class Masked(nn.Module):
    """A mask of positions that is made at the first call, and again for longer sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.mask = nn.Conv1d(2, 3, 1), torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        if len(self.mask) < x.shape[-1]:
            self.mask = torch.linspace(0, 1, x.shape[-1])
        return self.layer(x * self.mask[: x.shape[-1]].expand(len(x), 1, -1)[:1])


def test_a_cache_of_what_no_input_changes_is_none() -> None:
    model = nn.Sequential(Masked(), nn.Conv1d(3, 2, 1))
    assert "fixed" not in {node.kind for node in from_torch(model, torch.randn(2, 2, 4)).spec.nodes.values()}
