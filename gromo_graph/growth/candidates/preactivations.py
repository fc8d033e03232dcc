"""What fan-ins make of the inputs of a group over the data: its spread, and how alike two of them are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gromo_graph.algebra.neuron_weights import FanIn, GroupNeurons
from gromo_graph.modules.growing_module import LinkedGroup
from gromo_graph.statistics.growth_link import links_of_group
from gromo_graph.statistics.growth_moment import spans_of


class Preactivations:
    """The values W b of a group before its activation, from S = E[b bᵀ] alone, or from rows b that were kept.

    Without a constant column in b, spreads are root mean squares and correlations are cosines.

    Args:
        linked: the group, whose statistics have been gathered.
    """

    def __init__(self, linked: LinkedGroup) -> None:
        self._linked = linked
        link = links_of_group(linked)[linked.consumers[0]]
        constants = [span.stop - 1 for producer, span in spans_of(linked).items() if producer.use_bias]
        self._rows = link.rows.value() if link.follows == "rows" else None
        if self._rows is not None:
            self._constant = next(iter(constants), None)
            return
        self._s = link.s_growth.statistic()
        # A product may cancel a producer at rest, its constant included.
        counts = {float(self._s[column, column]): column for column in constants}
        self._constant = counts[max(counts)] if counts and max(counts) > 0.0 else None

    @property
    def old(self) -> list[FanIn]:
        """The fan-in of the units that are there."""
        return [FanIn(producer.weight.detach(), producer.bias) for producer in self._linked.producers]

    def deviations(self, fan_in: Sequence[FanIn]) -> Tensor:
        """(channels,), the standard deviation of each channel."""
        return self._covariances(fan_in, fan_in).diagonal().clamp_min(0).sqrt()

    def correlations(self, fan_in: Sequence[FanIn], others: Sequence[FanIn]) -> Tensor:
        """(channels, other channels), from −1 to 1; those of a constant channel are 0."""
        spreads = self.deviations(fan_in)[:, None] * self.deviations(others)[None, :]
        covariances = self._covariances(fan_in, others)
        return torch.where(spreads > 0, covariances / spreads, torch.zeros_like(spreads))

    def _covariances(self, first: Sequence[FanIn], second: Sequence[FanIn]) -> Tensor:
        if self._rows is not None:
            values = [self._rows @ self._joined(fan_in).to(self._rows).t() for fan_in in (first, second)]
            if self._constant is not None:
                values = [value - value.mean(dim=0) for value in values]
            return values[0].t() @ values[1] / len(self._rows)
        left, right = (self._joined(fan_in).to(self._s) for fan_in in (first, second))
        products = left @ self._s @ right.t()
        if self._constant is None:
            return products
        count = self._s[self._constant, self._constant].clamp_min(torch.finfo(self._s.dtype).tiny)
        means = [matrix @ self._s[:, self._constant] / count for matrix in (left, right)]
        return products / count - torch.outer(*means)

    def _joined(self, fan_in: Sequence[FanIn]) -> Tensor:
        """α of all producers side by side, (channels, columns)."""
        pairs = zip(self._linked.producers, fan_in, strict=True)
        parts = [producer.adapter.alpha(fan.weight, fan.bias).detach() for producer, fan in pairs]
        return torch.cat(parts, dim=1)


def to_layer_scale(linked: LinkedGroup, neurons: GroupNeurons) -> GroupNeurons:
    """Fan-in at the mean standard deviation of the group's channels before activation; fan-out takes it back.

    The product of α and ω stays, so that γ keeps its meaning; σ sees new units at the scale of the old ones.
    """
    values = Preactivations(linked)
    new, target = values.deviations(neurons.fan_in), values.deviations(values.old).mean()
    if not target > 0:
        return neurons
    factor = torch.where(new > 0, target / new, torch.ones_like(new)).to(neurons.fan_in[0].weight)
    return neurons.scaled(factor, 1.0 / factor)


def unlike_old(
    linked: LinkedGroup, neurons: GroupNeurons, most: float, *, wanted: int, unit: int = 1
) -> GroupNeurons:
    """Those whose values before activation are unlike those of each neuron that is there, or the least alike.

    What the gradient asks for at a growth step it often asks for again at the next one, and a second neuron of the same
    kind adds little (docs/maths.md, "Neurons unlike those that are there").

    Args:
        most: the highest correlation with a neuron that is there, without regard to its sign.
        wanted: so many are left in any case, if there are so many.
        unit: neurons that are added together, next to each other; what counts is their mean.
    """
    if neurons.size == 0:
        return neurons
    values = Preactivations(linked)
    each = values.correlations(neurons.fan_in, values.old).abs().amax(dim=1)
    alike = each[: len(each) - len(each) % unit].reshape(-1, unit).mean(dim=1)
    if len(alike) == 0:
        return neurons
    least = alike.kthvalue(max(1, min(wanted // unit, len(alike)))).values
    kept = torch.nonzero((alike <= least.clamp_min(most)).repeat_interleave(unit)).flatten()
    return neurons.selected(kept.to(neurons.device))
