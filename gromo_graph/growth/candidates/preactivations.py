"""The values of a group before its activation, from its statistics: their spread, and how alike two channels are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

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

    Attributes:
        old: the fan-in of the channels that are there, by producer.
    """

    def __init__(self, linked: LinkedGroup) -> None:
        self._linked = linked
        self.old = [FanIn(producer.weight.detach(), producer.bias) for producer in linked.producers]
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

    @cached_property
    def old_deviations(self) -> Tensor:
        """(channels,), the standard deviation of each channel that is there."""
        return self.deviations(self.old)

    def deviations(self, fan_in: Sequence[FanIn]) -> Tensor:
        """(channels,), the standard deviation of each channel with this fan-in."""
        return self._covariances(fan_in, fan_in).diagonal().clamp_min(0).sqrt()

    def correlations(self, fan_in: Sequence[FanIn]) -> Tensor:
        """(channels, channels that are there), from −1 to 1; those of a constant channel are 0."""
        spreads = self.deviations(fan_in)[:, None] * self.old_deviations[None, :]
        covariances = self._covariances(fan_in, self.old)
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


def to_layer_scale(values: Preactivations, neurons: GroupNeurons) -> GroupNeurons:
    """Fan-in at the mean standard deviation of the group's channels before activation; fan-out takes it back.

    The product of α and ω stays, so that γ keeps its meaning; σ sees new units at the scale of the old ones.
    """
    new, target = values.deviations(neurons.fan_in), values.old_deviations.mean()
    if not target > 0:
        return neurons
    factor = torch.where(new > 0, target / new, torch.ones_like(new)).to(neurons.fan_in[0].weight)
    return neurons.scaled(factor, 1.0 / factor)


def unlike_old(
    values: Preactivations, neurons: GroupNeurons, limit: float, *, wanted: int, unit: int = 1
) -> GroupNeurons:
    """Those of some neurons that are unlike each neuron that is there, and in any case the least alike ones.

    What the gradient asks for at a growth step it often asks for again at the next one, and a second neuron of the same
    kind adds little (docs/maths.md, "Neurons unlike those that are there").

    Args:
        limit: the highest correlation with a neuron that is there, without regard to its sign.
        wanted: how many are left at least, if there are so many.
        unit: neurons that are added together, next to each other; what counts is their mean.
    """
    alike = values.correlations(neurons.fan_in).abs().amax(dim=1)
    alike = alike[: len(alike) - len(alike) % unit].reshape(-1, unit).mean(dim=1)
    if len(alike) == 0:
        return neurons
    due = max(1, min(wanted // unit, len(alike)))
    limit_of_due = alike.kthvalue(due).values.clamp_min(limit)
    kept = torch.nonzero((alike <= limit_of_due).repeat_interleave(unit)).flatten()
    return neurons.selected(kept.to(neurons.device))
