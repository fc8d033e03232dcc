"""Exact slopes: what the loss really does per unit of γ, for all proposals in one pass (MATH.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from gromo_graph.growth.candidates.proposals import Widening
from gromo_graph.growth.candidates.widen import Solution
from gromo_graph.growth.observe import Loader, Loss, Observation, Watched, observe
from gromo_graph.growth.process_sums import Processes
from gromo_graph.modules.flowing import at_scale_one, given, tangents
from gromo_graph.modules.group import LinkedGroup, Slot
from gromo_graph.modules.measured import MeasuredModule
from gromo_graph.modules.neurons import FanOut, GroupNeurons, united
from gromo_graph.modules.surgery import layer_of_matrix
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Growth, Neurons

# Slopes below this share of the steepest one are rounding, and as well negative.
_ROUNDING = 1e-5

Arriving = Callable[[float], dict[Slot, Tensor]]
"""Sign of the neurons -> what arrives in each slot."""


class Measurement(Protocol):
    """Sums over samples for something whose slope is measured."""

    def add(self, seen: Observation) -> None:
        """Count a batch."""

    def share(self, processes: Processes) -> None:
        """Add what the other processes have counted."""


@dataclass
class NeuronSlopes:
    """Sums over samples for the new neurons of one connected group.

    Attributes:
        solution: the neurons. finite_scale: γ scales their fan-out alone. with_delta: slopes of deltas are wanted too.
        kept, flipped: slopes of the neurons, and of those with the opposite sign on both sides.
        deltas: slopes of the consumers' optimal deltas, by name.
    """

    solution: Solution
    finite_scale: bool
    with_delta: bool
    kept: Tensor
    flipped: Tensor
    deltas: dict[str, float] = field(default_factory=dict)
    layers: dict[MeasuredModule, torch.nn.Module] = field(default_factory=dict)

    @torch.no_grad()
    def add(self, seen: Observation) -> None:
        """Count a batch."""
        linked, neurons = self.solution.linked, self.solution.neurons
        if not neurons.size:
            return
        gradients, finite_scale = seen.gradients, self.finite_scale
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
            if self.with_delta:
                change = layer_of_matrix(consumer, self.solution.deltas[consumer.name])(consumer.input)
                before = self.deltas.get(consumer.name, 0.0)
                self.deltas[consumer.name] = before + float((change * gradient).sum())

    def share(self, processes: Processes) -> None:
        """Add what the other processes have counted."""
        processes.add_up([self.kept, self.flipped])
        totals = processes.totals(*self.deltas.values())
        self.deltas = dict(zip(self.deltas, totals, strict=True))

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


def measure(
    network: GrowingNetwork,
    loss: Loss,
    loader: Loader,
    watched: Watched,
    items: Sequence[Measurement],
    *,
    samples: int | None = None,
    processes: Processes,
) -> int:
    """Let everything whose slope is wanted see the data, in one pass; how many samples there were in all processes.

    No weight is touched, and the items know nothing of each other.
    """
    seen_samples = 0
    with processes.together():
        for seen in observe(network, loss, loader, watched, samples=samples):
            seen_samples += seen.samples
            for item in items:
                item.add(seen)
    for item in items:
        item.share(processes)
    return round(processes.totals(seen_samples)[0])


def neuron_slopes(solution: Solution, policy: Growth) -> NeuronSlopes:
    """Sums that are still empty."""
    zeros = solution.neurons.fan_in[0].weight.new_zeros(solution.neurons.size)
    return NeuronSlopes(solution, policy.scale == "alpha_std", policy.apply_delta, zeros, zeros.clone())


def chosen(
    proposal: Widening, union: LinkedGroup, parts: Sequence[NeuronSlopes], samples: int, policy: Growth
) -> Widening:
    """Best sign of each neuron, those of positive slope, the steepest first, as many as wanted.

    Where channels come in groups (group norm), a group is chosen and turned as a whole. Of groups that the author has
    tied, the first neuron of each is one neuron, the second is, and so on: their slopes add up.

    Args:
        union: the modules of all parts together. parts: measured, in the order of the group's parts.
    """
    unit = proposal.widened.unit
    found = [_sorted(part, unit, samples) for part in parts]
    size = min(len(best) for best, _, _ in found)
    total = torch.stack([best[:size] for best, _, _ in found]).sum(dim=0)
    count = enough(total, proposal.neurons // unit, policy.neurons)
    if count == 0:
        return proposal.left_out("no new neuron would lower the loss")
    slope, predicted = float(total[:count].sum()), 0.0
    neurons = []
    for part, (_, order, sign) in zip(parts, found, strict=True):
        places = (order[:count, None] * unit + torch.arange(unit, device=order.device)).flatten()
        of_part = part.solution.neurons.selected(places, sign[order[:count]].repeat_interleave(unit))
        neurons.append(of_part)
        predicted += _predicted(part.solution, of_part)
    deltas: dict[str, Tensor] = {}
    if policy.apply_delta:  # a consumer of several parts has one delta
        by_consumer = {name: value for part in parts for name, value in part.deltas.items()}
        deltas = {name: delta for part in parts for name, delta in part.solution.deltas.items()}
        slope += sum(by_consumer.values()) / samples
        predicted += sum(by_consumer.values()) / samples
    weights = neurons[0] if len(parts) == 1 else united(union, [p.solution.linked for p in parts], neurons)
    notes = [part.solution.note for part in parts]
    if count * unit < proposal.neurons:
        notes.append(f"{count * unit} of {proposal.neurons} neurons: more would not lower the loss enough")
    return replace(
        proposal,
        neurons=count * unit,
        predicted=predicted,
        slope=slope,
        weights=weights,
        deltas=deltas,
        note="; ".join(dict.fromkeys(filter(None, notes))),
    )


def _sorted(part: NeuronSlopes, unit: int, samples: int) -> tuple[Tensor, Tensor, Tensor]:
    """Slopes of whole units, the steepest first; their order; the best sign of each unit."""
    kept, flipped = (slopes.reshape(-1, unit).sum(dim=1) / samples for slopes in (part.kept, part.flipped))
    best, sign = best_signs(kept, flipped)
    order = torch.argsort(best, descending=True, stable=True)
    return best[order], order, sign


def best_signs(kept: Tensor, flipped: Tensor) -> tuple[Tensor, Tensor]:
    """Of each neuron the better of its two slopes, and the sign that has it."""
    best = torch.maximum(kept, flipped)
    return best, torch.where(flipped > kept, -1.0, 1.0).to(best.dtype)


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
