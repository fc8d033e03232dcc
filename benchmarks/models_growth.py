"""The growth of an imported public model against what its loss and its outputs do (`models.py --grow`).

Everything is computed in float64, on a few random samples and a smooth loss of all outputs with random targets.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from gromo_graph import GrowingNetwork, GrowthScheduler
from gromo_graph.growth.candidates.stages import Applicable
from gromo_graph.records import Candidate

SAMPLES, BATCH = 16, 8
GAMMA, LARGEST, FALL = 1e-6, 1e-2, 1e-9
"""The step of a finite difference; if the slope is small, one by which the loss falls by more than its rounding.

A slope below FALL times the loss is not compared: the differences would say nothing of it. New weights are √γ large, so
that differences at γ and γ / 4 take out the next term.
"""
Batches = list[tuple[Any, Tensor]]


@dataclass(frozen=True)
class Grown:
    """The growth of a model.

    Attributes:
        slopes: candidates of the plan that have a slope. off: the largest relative error of the steepest, the flattest
            and one in the middle.
        widened: groups that grew together by units that change nothing yet. changed: the outputs then, at most.
        steps: 1 if the steepest candidate lowers the loss and was applied. exported: the largest difference of outputs
            between the network and its plain model after both.
    """

    slopes: int
    off: float
    widened: int
    changed: float
    steps: int
    exported: float


def outputs_of(value: Any) -> list[Tensor]:
    """The tensors of an output."""
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


def largest_difference(found: Any, expected: Any) -> float:
    """Between the tensors of two outputs."""
    pairs = zip(outputs_of(found), outputs_of(expected), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


def mean_loss(output: Any, target: Tensor) -> Tensor:
    """The mean over samples of a square and of the sizes of all outputs, each along a direction of its own."""
    total = torch.zeros_like(target)
    for place, value in enumerate(outputs_of(output)):
        generator = torch.Generator().manual_seed(place)
        flat = value.flatten(1)
        along = torch.randn(flat.shape[1], generator=generator, dtype=flat.dtype) / flat.shape[1] ** 0.5
        total = total + (flat @ along - target).square() + 0.1 * flat.square().mean(dim=1)
    return total.mean()


def grow(network: GrowingNetwork, x: Tensor) -> Grown:
    """Plan, compare slopes with differences of the loss, widen, and compare the outputs and those of the plain model.

    Args:
        network: is left as it is. x: an example, of which only shape and type count.
    """
    network = copy.deepcopy(network).double().eval()
    inputs = torch.randn(SAMPLES, *x.shape[1:], dtype=torch.float64)
    if not x.is_floating_point():
        inputs = torch.randint(100, inputs.shape)
    targets = torch.randn(SAMPLES, dtype=torch.float64)
    batches = list(zip(inputs.split(BATCH), targets.split(BATCH), strict=True))
    wider = copy.deepcopy(network)
    drawn = {"actions": ["widen"], "criterion": "random"}
    widened = _applied(_scheduler(wider, drawn), batches)
    scheduler = _scheduler(network, {"actions": ["widen"]})
    sloped = [each for each in scheduler.plan(batches).candidates if each.slope and each.inexact is None]
    able = sorted(sloped, key=lambda each: -(each.slope or 0.0))
    with torch.no_grad():
        before = network(inputs)
        loss = float(mean_loss(before, targets))
    told = [each for each in able if (each.slope or 0.0) >= FALL * loss]
    places = {0, len(told) // 2, len(told) - 1} if told else set()
    off = [_error(scheduler, told[place], loss) for place in sorted(places)]
    with torch.no_grad():
        changed = largest_difference(wider(inputs), before)
    steps = sum(scheduler.apply(each).decision is not None for each in able[:1])
    return Grown(
        len(able),
        max(off, default=float("nan")),
        widened,
        changed,
        steps,
        max(_exported(wider, inputs), _exported(network, inputs)),
    )


def _scheduler(network: GrowingNetwork, policy: dict[str, Any]) -> GrowthScheduler:
    return GrowthScheduler(network, mean_loss, policy=policy, epochs=1)


def _applied(scheduler: GrowthScheduler, batches: Batches) -> int:
    """Apply the first candidate of a plan for each group in turn; how many grew."""
    count = 0
    names = [each.target for each in scheduler.plan(batches).candidates if isinstance(each, Applicable)]
    for name in names:
        plan = scheduler.plan(batches)
        chosen = next(each for each in plan.candidates if each.target == name)
        count += scheduler.apply(chosen).decision is not None
    return count


def _error(scheduler: GrowthScheduler, candidate: Candidate, loss: float) -> float:
    """The relative error of a slope, of a network with this loss, which is as it was afterwards."""

    def difference(gamma: float) -> float:
        event = scheduler.apply(candidate, gamma)
        scheduler.undo()
        return (event.loss_before - event.loss_after) / gamma

    slope = candidate.slope or 0.0
    gamma = min(LARGEST, max(GAMMA, FALL * loss / slope))
    found = difference(gamma)
    if abs(found - slope) > 1e-3 * slope:
        found = 2 * difference(gamma / 4) - found
    return abs(found - slope) / slope


def _exported(network: GrowingNetwork, inputs: Tensor) -> float:
    """The largest difference of the outputs of the plain model."""
    with torch.no_grad():
        return largest_difference(network.to_torch().eval()(inputs), network(inputs))
