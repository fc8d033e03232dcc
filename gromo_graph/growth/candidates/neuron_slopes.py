"""Exact slopes of the new neurons of a width group (docs/maths.md, "Exact slopes")."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from gromo_graph.algebra.neuron_weights import GroupNeurons
from gromo_graph.graph.width_flow import GroupPlace
from gromo_graph.growth.candidates.group_neurons import PartSolution
from gromo_graph.growth.candidates.slope_scores import best_signs, total
from gromo_graph.growth.candidates.stages import Sums
from gromo_graph.growth.observe import Observation
from gromo_graph.modules.extensions import layer_of_matrix
from gromo_graph.modules.growing_module import GrowingModule, LinkedGroup
from gromo_graph.spec.settings import Growth
from gromo_graph.statistics.forward_new_channels import at_scale_one, given, tangents

Arriving: TypeAlias = Callable[[float], dict[GroupPlace, Tensor]]
"""Sign of the neurons -> the new channels that arrive in each place."""


@dataclass(frozen=True)
class Ordered:
    """The neurons of a part by their slopes, in whole units of channels.

    Attributes:
        slopes: (units,), the steepest first, each with its better sign. order: the unit that each of them is.
        sign: (units,), 1 or −1, in the order of the neurons.
        unit: neurons of each.
    """

    slopes: Tensor
    order: Tensor
    sign: Tensor
    unit: int

    def chosen(self, neurons: GroupNeurons, count: int) -> GroupNeurons:
        """The steepest `count` units of some neurons, turned to their better signs."""
        sign = self.sign[self.order[:count]].repeat_interleave(self.unit)
        return neurons.selected(self.places(count), sign)

    def places(self, count: int) -> Tensor:
        """The neurons of the steepest `count` units."""
        inside = torch.arange(self.unit, device=self.order.device)
        return (self.order[:count, None] * self.unit + inside).flatten()


class NeuronSlopes:
    """Measures the new neurons of one connected group.

    Args:
        solution: the neurons. linked: the modules of the group.
    """

    def __init__(self, solution: PartSolution, linked: LinkedGroup, policy: Growth) -> None:
        self.solution, self.linked = solution, linked
        self.finite_scale, self.with_delta = policy.scale == "alpha_std", policy.apply_delta
        self.layers: dict[GrowingModule, torch.nn.Module] = {}

    def of_batch(self, seen: Observation) -> dict[tuple[str, ...], Tensor]:
        """Slopes of a batch: "kept" and "flipped" (neurons,), as they are and with the opposite sign; "delta", name."""
        linked, neurons = self.linked, self.solution.neurons
        kept = neurons.fan_in[0].weight.new_zeros(neurons.size)
        flipped = kept.clone()
        found: dict[tuple[str, ...], Tensor] = {("kept",): kept, ("flipped",): flipped}
        if not neurons.size:
            return found
        arriving = _arriving(linked, neurons, finite_scale=self.finite_scale)
        plus = arriving(1.0)
        straight = not self.finite_scale and linked.linear_paths.odd
        minus = {place: -value for place, value in plus.items()} if straight else arriving(-1.0)
        for consumer in linked.consumers:
            for place, pull in self._pulls(consumer, plus, seen.gradients[consumer.name]).items():
                kept -= _by_neuron(pull * plus[place], place, consumer, neurons.size)
                flipped += _by_neuron(pull * minus[place], place, consumer, neurons.size)
            if self.with_delta:
                delta = self.solution.deltas[consumer.name]
                change = layer_of_matrix(consumer, delta)(consumer.input)
                found["delta", consumer.name] = total(change * seen.gradients[consumer.name])
        return found

    def of_samples(self, seen: Observation) -> Tensor:
        """Slopes of each sample, (samples, 2 · neurons): of all neurons as they are, then with the opposite sign; and
        behind them those of the deltas, if they are applied."""
        linked, neurons = self.linked, self.solution.neurons
        arriving = _arriving(linked, neurons, finite_scale=self.finite_scale)
        signs = arriving(1.0), arriving(-1.0)
        parts = [
            seen.gradients[linked.consumers[0].name].new_zeros(seen.samples, neurons.size) for _ in signs
        ]
        for consumer in linked.consumers:
            for place, pull in self._pulls(consumer, signs[0], seen.gradients[consumer.name]).items():
                for part, sign, channels in zip(parts, (-1.0, 1.0), signs, strict=True):
                    part += _by_sample(sign * pull * channels[place], place, consumer, neurons.size)
        for consumer in linked.consumers if self.with_delta else ():
            change = layer_of_matrix(consumer, self.solution.deltas[consumer.name])(consumer.input)
            parts.append((change * seen.gradients[consumer.name]).flatten(1).sum(dim=1, keepdim=True))
        return torch.cat(parts, dim=1)

    def along(self, found: Ordered, count: int) -> Tensor:
        """The direction that takes the first units: 1 for their entries of `sample_slopes`, else 0."""
        neurons = self.solution.neurons.size
        taken = found.places(count)
        signs = found.sign[found.order[:count]].repeat_interleave(found.unit)
        deltas = len(self.linked.consumers) if self.with_delta else 0
        result = torch.cat((signs.new_zeros(2 * neurons), signs.new_ones(deltas)))
        result[taken + neurons * (signs < 0)] = 1.0
        return result

    def in_order(self, slopes: Sums, index: int, unit: int) -> Ordered:
        """The neurons in the order of their slopes.

        Args:
            slopes: of all parts of the group. index: of this part. unit: channels that come together.
        """
        by_unit = (slopes[index, name].reshape(-1, unit).sum(dim=1) for name in ("kept", "flipped"))
        best, sign = best_signs(*by_unit)
        order = torch.argsort(best, descending=True, stable=True)
        return Ordered(best[order], order, sign, unit)

    def _pulls(
        self, consumer: GrowingModule, read: dict[GroupPlace, Tensor], gradient: Tensor
    ) -> dict[GroupPlace, Tensor]:
        """ωᵀ g for each value that a consumer reads of the new channels, shaped like them, by place."""
        places, dim = self.linked.reads[consumer], consumer.adapter.feature_dim
        if consumer not in self.layers:
            fan_out = self.solution.neurons.fan_out[self.linked.consumers.index(consumer)]
            self.layers[consumer] = consumer.adapter.layer_of(consumer.layer, fan_out.weight, None)
        values = torch.cat([read[place] for place in places], dim=dim).detach().requires_grad_(True)
        with torch.enable_grad():
            # A scalar, because torch imports sympy, half a second of it, to check `grad_outputs`.
            (pulls,) = torch.autograd.grad((self.layers[consumer](values) * gradient).sum(), values)
        parts = pulls.split([read[place].shape[dim] for place in places], dim)
        return dict(zip(places, parts, strict=True))


def _arriving(linked: LinkedGroup, neurons: GroupNeurons, *, finite_scale: bool) -> Arriving:
    """At first order in the scale, or as they are where γ does not scale the fan-in."""

    as_they_are = given(linked, neurons)

    def arriving(sign: float) -> dict[GroupPlace, Tensor]:
        starts = {place: sign * values for place, values in as_they_are.items()}
        if finite_scale:
            return at_scale_one(linked, neurons, starts)
        return {place: channels.values for place, channels in tangents(linked, starts).items()}

    return arriving


def _by_neuron(products: Tensor, place: GroupPlace, consumer: GrowingModule, size: int) -> Tensor:
    """Sums over samples and positions, (neurons,)."""
    by_feature = products.movedim(consumer.adapter.feature_dim, 0).flatten(1).sum(dim=1)
    return by_feature.reshape(size, place.repeat).sum(dim=1)


def _by_sample(products: Tensor, place: GroupPlace, consumer: GrowingModule, size: int) -> Tensor:
    """Sums over positions, (samples, neurons)."""
    by_feature = products.movedim(consumer.adapter.feature_dim, 1).unsqueeze(-1).flatten(2).sum(dim=2)
    return by_feature.reshape(len(by_feature), size, place.repeat).sum(dim=2)
