"""Exact slopes: what the loss really does per unit of γ, for all proposals in one pass (MATH.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gromo_graph.growth.candidates import Proposal
from gromo_graph.growth.observe import Loader, Loss, observe
from gromo_graph.growth.solve import Solution
from gromo_graph.modules.flowing import at_scale_one, given, tangents
from gromo_graph.modules.group import LinkedGroup, Slot
from gromo_graph.modules.measured import MeasuredModule
from gromo_graph.modules.neurons import FanOut, GroupNeurons
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Growth, Neurons

# Slopes below this share of the steepest one are rounding, and as well negative.
_ROUNDING = 1e-5

Arriving = Callable[[float], dict[Slot, Tensor]]
"""Sign of the neurons -> what arrives in each slot."""


@dataclass
class _Measurement:
    """Sums over samples for one proposal.

    Attributes:
        kept, flipped: slopes of the neurons, and of those with the opposite sign on both sides.
        delta: slope of the consumers' optimal deltas.
    """

    proposal: Proposal
    solution: Solution
    kept: Tensor
    flipped: Tensor
    delta: float = 0.0
    layers: dict[MeasuredModule, torch.nn.Module] = field(default_factory=dict)

    @torch.no_grad()
    def add(self, gradients: dict[str, Tensor], *, finite_scale: bool) -> None:
        linked, neurons = self.solution.linked, self.solution.neurons
        arriving = _arriving(linked, neurons, finite_scale=finite_scale)
        plus = arriving(1.0)
        straight = not finite_scale and not linked.ways.bends
        minus = {slot: -value for slot, value in plus.items()} if straight else arriving(-1.0)
        for consumer, fan_out in zip(linked.consumers, neurons.fan_out, strict=True):
            gradient = gradients[consumer.name]
            layer = self._layer(consumer, fan_out)
            read = [plus[slot] for slot in linked.reads[consumer]]
            pulls = _pulls(layer, torch.cat(read, dim=consumer.adapter.feature_dim), gradient)
            parts = pulls.split(
                [part.shape[consumer.adapter.feature_dim] for part in read], consumer.adapter.feature_dim
            )
            for slot, pull in zip(linked.reads[consumer], parts, strict=True):
                self.kept -= _by_neuron(pull * plus[slot], slot, consumer, neurons.size)
                self.flipped += _by_neuron(pull * minus[slot], slot, consumer, neurons.size)
            change = _delta_layer(self.solution, consumer)(consumer.input)
            self.delta += float((change * gradient).sum())

    def _layer(self, consumer: MeasuredModule, fan_out: FanOut) -> torch.nn.Module:
        if consumer not in self.layers:
            self.layers[consumer] = consumer.adapter.layer_of(consumer.layer, fan_out.weight, None)
        return self.layers[consumer]


def _arriving(linked: LinkedGroup, neurons: GroupNeurons, *, finite_scale: bool) -> Arriving:
    """At first order in the scale, or as they are where γ does not scale the fan-in."""

    def arriving(sign: float) -> dict[Slot, Tensor]:
        starts = given(linked, neurons, sign)
        if finite_scale:
            return at_scale_one(linked, neurons, starts)
        return {slot: channels.values for slot, channels in tangents(linked, starts).items()}

    return arriving


def _pulls(layer: torch.nn.Module, read: Tensor, gradient: Tensor) -> Tensor:
    """What the consumer would give for each value it reads of the new channels: ωᵀ g, shaped like them."""
    with torch.enable_grad():
        read = read.detach().requires_grad_(True)
        (pulls,) = torch.autograd.grad(layer(read), read, grad_outputs=gradient)
    return pulls


def _by_neuron(products: Tensor, slot: Slot, consumer: MeasuredModule, size: int) -> Tensor:
    """Sums over samples and positions, (neurons,)."""
    by_feature = products.movedim(consumer.adapter.feature_dim, 0).flatten(1).sum(dim=1)
    return by_feature.reshape(size, slot.repeat).sum(dim=1)


def _delta_layer(solution: Solution, consumer: MeasuredModule) -> torch.nn.Module:
    delta = solution.deltas[consumer.name].to(consumer.weight)
    weight, bias = consumer.adapter.weight_and_bias(consumer.layer, delta)
    return consumer.adapter.layer_of(consumer.layer, weight, bias)


def measure(
    network: GrowingNetwork,
    loss: Loss,
    loader: Loader,
    solved: Sequence[tuple[Proposal, Solution]],
    *,
    policy: Growth,
) -> list[Proposal]:
    """The proposals with their best neurons, signs chosen, slopes measured; no weight is touched.

    Args:
        solved: proposals with more neurons than wanted; the best of positive slope are kept.
        policy: which of them are enough; whether the slope includes that of the optimal deltas; with
            `scale: alpha_std` γ scales the fan-out alone.
    """
    finite_scale = policy.scale == "alpha_std"
    work = []
    for proposal, solution in solved:
        zeros = solution.neurons.fan_in[0].weight.new_zeros(solution.neurons.size)
        work.append(_Measurement(proposal, solution, zeros, zeros.clone()))
    modules = {m: None for _, s in solved for m in (*s.linked.producers, *s.linked.consumers)}
    samples = 0
    for seen in observe(network, loss, loader, list(modules)):
        samples += seen.samples
        for item in work:
            if item.solution.neurons.size:
                item.add(dict(seen.gradients), finite_scale=finite_scale)
    return [_chosen(item, samples, policy) for item in work]


def _chosen(item: _Measurement, samples: int, policy: Growth) -> Proposal:
    """Best sign of each neuron, those of positive slope, the steepest first, as many as wanted.

    Where channels come in groups (group norm), a group is chosen and turned as a whole.
    """
    neurons, unit = item.solution.neurons, item.solution.linked.unit
    kept, flipped = (slopes.reshape(-1, unit).sum(dim=1) / samples for slopes in (item.kept, item.flipped))
    best = torch.maximum(kept, flipped)
    order = torch.argsort(best, descending=True, stable=True)
    order = order[: enough(best[order], item.proposal.neurons // unit, policy.neurons)]
    if not len(order):
        return item.proposal.left_out("no new neuron would lower the loss")
    sign = torch.where(flipped > kept, -1.0, 1.0).to(best.dtype)[order]
    places = (order[:, None] * unit + torch.arange(unit, device=order.device)).flatten()
    chosen = neurons.selected(places, sign.repeat_interleave(unit))
    slope, predicted = float(best[order].sum()), _predicted(item.solution, chosen)
    deltas = {}
    if policy.apply_delta:
        deltas = dict(item.solution.deltas)
        slope += item.delta / samples
        predicted += item.delta / samples
    return replace(
        item.proposal,
        neurons=len(places),
        predicted=predicted,
        slope=slope,
        weights=chosen,
        deltas=deltas,
        note=item.solution.note,
    )


def enough(slopes: Tensor, most: int, wanted: Neurons) -> int:
    """How many of some neurons are taken, the steepest first.

    Args:
        slopes: (neurons,), in descending order. most: how many at the most. wanted: which are worth it.

    >>> enough(torch.tensor([4.0, 3.0, 2.0, 1.0, -1.0]), 3, Neurons())
    3
    >>> enough(torch.tensor([4.0, 3.0, 2.0, 1.0, -1.0]), 8, Neurons(reach=0.7)), enough(torch.ones(4), 2, Neurons())
    (2, 2)
    """
    slopes = slopes[slopes > _ROUNDING * slopes[:1].clamp_min(0.0)]
    if len(slopes) == 0:
        return 0
    steep = int((slopes >= wanted.least * slopes[0]).sum())
    reached = slopes.cumsum(0) < wanted.reach * slopes.sum() * (1.0 - 1e-6)
    return min(most, steep, int(reached.sum()) + 1)


def _predicted(solution: Solution, neurons: GroupNeurons) -> float:
    """σ'(0⁺) Σ λ²."""
    assert neurons.values is not None
    return solution.linked.ways.gain * float(neurons.values.square().sum())
