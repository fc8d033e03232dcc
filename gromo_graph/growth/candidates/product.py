"""Widening a group whose channels are multiplied and all start at 0, such as the two halves of a SwiGLU.

If both sides were of order √γ, their product would be of order γ and have no slope (docs/maths.md, "Products"). So the
fan-in is drawn, at the size of first weights, and the fan-out alone is solved for and scaled by γ.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from gromo_graph.algebra.neuron_weights import FanOut, GroupNeurons
from gromo_graph.graph import WidthGroup
from gromo_graph.growth.bias_compensation import lost_in_a_product
from gromo_graph.growth.candidates.group_neurons import PartSolution, random_neurons
from gromo_graph.growth.candidates.widen import Widening, WideningProspect
from gromo_graph.growth.observe import Observation
from gromo_graph.growth.pace import UNPACED, Pace
from gromo_graph.growth.process_sums import Processes
from gromo_graph.growth.statistics_pass import Gathered
from gromo_graph.growth.wanted_statistics import Wanted
from gromo_graph.modules.growing_module import GrowingModule, LinkedGroup
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.linked_groups import linked_group
from gromo_graph.spec.kinds import Merge
from gromo_graph.spec.settings import Growth
from gromo_graph.statistics.cross_moments import readings_of
from gromo_graph.statistics.forward_new_channels import at_scale_one, given
from gromo_graph.statistics.running_mean import TensorStatistic

_DRAWS = 4
"""Neurons that are drawn for each one wanted."""
_FAN_OUT_ALONE = {"scale": "alpha_std", "apply_delta": False}
"""The policy for such a group: γ scales the fan-out alone, and no old weight moves."""


def starts_at_zero(network: GrowingNetwork, group: WidthGroup, policy: Growth) -> bool:
    """True if a group could grow but for products all of whose factors start at 0."""
    nodes = network.spec.nodes
    multiplied = any(isinstance(n := nodes[name], Merge) and n.merge == "product" for name in group.merges)
    if not multiplied or group.reason is not None or group.parts:
        return False
    return lost_in_a_product(linked_group(network, group, kernel=policy.kernel)) is not None


@dataclass
class FanOutStatistics:
    """The sums for the fan-out of neurons whose fan-in is known.

    Attributes:
        linked: the modules of the group. neurons: the drawn ones; None before they are drawn.
        moments: by consumer, E[g yᵀ] of its pre-activations and the new channels y that it reads, shaped like its
            weight (out, new inputs, ...).
        squares: by consumer, E[y yᵀ] of these channels, summed over positions, (new inputs, new inputs).
    """

    linked: LinkedGroup
    neurons: GroupNeurons | None = None
    moments: Mapping[GrowingModule, TensorStatistic] = field(init=False)
    squares: Mapping[GrowingModule, TensorStatistic] = field(init=False)

    def __post_init__(self) -> None:
        consumers = self.linked.consumers
        self.moments = {each: TensorStatistic(f"M of new inputs of {each.name}") for each in consumers}
        self.squares = {each: TensorStatistic(f"S of new inputs of {each.name}") for each in consumers}

    @property
    def sources(self) -> Sequence[str]:
        """Nodes whose values are needed: none."""
        return ()

    @property
    def targets(self) -> Sequence[str]:
        """The consumers, at whose pre-activations the gradients are needed."""
        return [each.name for each in self.linked.consumers]

    @property
    def outputs(self) -> Sequence[str]:
        """Nodes at whose values gradients are needed: none."""
        return ()

    @property
    def layers(self) -> Sequence[GrowingModule]:
        """The producers, whose inputs are needed."""
        return self.linked.producers

    @torch.no_grad()
    def update(self, seen: Observation) -> None:
        """Count a batch."""
        assert self.neurons is not None  # they are drawn before the pass
        starts = given(self.linked, self.neurons)
        arriving = at_scale_one(self.linked, self.neurons, starts)
        for (consumer, places), fan_out in zip(self.linked.reads.items(), self.neurons.fan_out, strict=True):
            dim = consumer.adapter.feature_dim
            values = torch.cat([arriving[place] for place in places], dim=dim)
            rows = values.movedim(dim, 0).flatten(1)
            self.squares[consumer].update(rows @ rows.T, seen.samples)
            moment = _weight_gradient(consumer, fan_out, values, seen.gradients[consumer.name])
            self.moments[consumer].update(moment, seen.samples)

    def statistics(self) -> list[TensorStatistic]:
        """All sums."""
        return [*self.moments.values(), *self.squares.values()]

    def of_gradients(self) -> list[TensorStatistic]:
        """The moments with the gradients."""
        return list(self.moments.values())

    def share(self, processes: Processes) -> None:
        """There is nothing beside the statistics."""
        return

    def entries(self) -> Mapping[Hashable, int]:
        """The number of entries that the statistics will have; 0 before the neurons are drawn."""
        fan_out = () if self.neurons is None else self.neurons.fan_out
        return {id(self): sum(each.weight.numel() + each.weight.shape[1] ** 2 for each in fan_out)}

    def solved(self, count: int) -> GroupNeurons:
        """The most promising neurons with their fan-out (docs/maths.md, "Products").

        Args:
            count: how many, in whole units of the group.
        """
        assert self.neurons is not None
        alone = [
            each.fan_out(drawn.repeats)
            for each, drawn in zip(self._by_consumer(), self.neurons.fan_out, strict=True)
        ]
        promises = torch.stack([promise for _, promise in alone]).sum(dim=0)
        unit = self.linked.unit
        best = torch.argsort(promises.reshape(-1, unit).sum(dim=1), descending=True)[: count // unit]
        chosen = (best[:, None] * unit + torch.arange(unit, device=best.device)).flatten()
        found = replace(self.neurons, fan_out=tuple(fan_out for fan_out, _ in alone), values=promises.sqrt())
        taken = torch.zeros_like(promises).index_fill(0, chosen, 1.0)
        effects = [
            each.effect(fan_out, taken) for each, (fan_out, _) in zip(self._by_consumer(), alone, strict=True)
        ]
        effect = float(torch.stack(effects).sum())
        return found.selected(chosen).scaled(1.0, float(promises[chosen].sum()) / effect if effect else 1.0)

    def _by_consumer(self) -> Iterator[_NewInputs]:
        for consumer, mask in zip(self.linked.consumers, self._readings(), strict=True):
            taps = float(mask[:, 0].sum()) / max(1, len(mask))
            yield _NewInputs(self.moments[consumer]() * mask, self.squares[consumer](), taps)

    def _readings(self) -> Iterator[Tensor]:
        """For each consumer 1 for the weights that new inputs get, 0 for taps that they have to leave alone."""
        assert self.neurons is not None
        group, size = self.linked, self.neurons.size
        for consumer, places in group.reads.items():
            out, kernel = consumer.pre_activations, group.kernel_of(consumer)
            parts = [
                consumer.adapter.fan_out_weight(
                    consumer.layer,
                    consumer.weight.new_ones(out, readings_of(consumer, group, place), size),
                    kernel,
                )
                for place in places
            ]
            yield torch.cat(parts, dim=1)


@dataclass(frozen=True)
class _NewInputs:
    """The sums of what one consumer reads of the drawn neurons.

    Attributes:
        moment: M, (out, new inputs, ...). second: S, (new inputs, new inputs). taps: of the kernel for new inputs.
    """

    moment: Tensor
    second: Tensor
    taps: float

    def fan_out(self, repeats: tuple[int, ...]) -> tuple[FanOut, Tensor]:
        """−M / tr S of each neuron by itself, and the decrease of the loss that this promises, (neurons,).

        S of all taps is at most `taps` times that of one, and no step along M is too long for the trace.
        """
        moment, diagonal = FanOut(self.moment, repeats), FanOut(self.second.diagonal()[None], repeats)
        traces = [self.taps * part.sum(dim=(0, 2)) for part in diagonal.by_place()]
        trace = torch.stack(traces).sum(dim=0)
        trace = trace.clamp_min(torch.finfo(trace.dtype).tiny)
        parts = [part.movedim(1, -1) for part in moment.by_place()]
        omegas = [(-part / trace).movedim(-1, 1) for part in parts]
        squares = torch.stack([part.square().flatten(0, -2).sum(dim=0) for part in parts])
        return moment.of(omegas), squares.sum(dim=0) / trace

    def effect(self, fan_out: FanOut, taken: Tensor) -> Tensor:
        """E‖ω y‖² of the neurons for which `taken` is 1 together, a bound if the kernel has several taps."""
        omega = fan_out.of([part * taken.reshape(-1, *[1] * (part.dim() - 2)) for part in fan_out.by_place()])
        rows = (
            omega.weight.flatten(2).movedim(1, -1).flatten(0, 1) if omega.weight.dim() > 2 else omega.weight
        )
        return self.taps * ((rows @ self.second) * rows).sum()


def _weight_gradient(consumer: GrowingModule, fan_out: FanOut, values: Tensor, gradient: Tensor) -> Tensor:
    """The sum over a batch of the gradient at the weights of new inputs, shaped like these."""
    layer = consumer.adapter.layer_of(consumer.layer, fan_out.weight, None)
    weight = layer.get_parameter("weight").requires_grad_(True)
    with torch.enable_grad():
        (found,) = torch.autograd.grad((layer(values) * gradient).sum(), weight)
    return found


class ProductProspect(WideningProspect):
    """A width group that may grow by neurons with a drawn fan-in.

    Attributes:
        statistics: the sums for their fan-out.
    """

    def __init__(
        self, network: GrowingNetwork, policy: Growth, group: WidthGroup, pace: Pace = UNPACED
    ) -> None:
        super().__init__(network, policy.model_copy(update=_FAN_OUT_ALONE), group, pace)
        self.statistics = FanOutStatistics(self.linked)

    def draw(self, generator: torch.Generator | None, processes: Processes) -> None:
        """The fan-in, drawn by the first process for all."""
        count = _DRAWS * self.neurons
        drawn = random_neurons(self.linked, self.policy, count, generator)
        self.statistics.neurons = processes.shared(drawn)

    def wanted(self) -> Wanted:
        """The moments of the drawn neurons alone."""
        return Wanted(counters=(self.statistics,))

    @torch.no_grad()
    def solve(self, gathered: Gathered) -> tuple[PartSolution, ...]:
        """The best of the drawn neurons with their fan-out."""
        found = self.statistics.solved(self.neurons)
        return (PartSolution(found, {}, "the best of drawn neurons"),)

    def widening(self, neurons: GroupNeurons, deltas: Mapping[str, Tensor], **facts: Any) -> Widening:
        """The candidate; what the drawn neurons promise is their slope, for it is exact."""
        return super().widening(neurons, deltas, **{**facts, "predicted": facts["slope"] or 0.0})
