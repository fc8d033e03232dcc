"""New channels on their way through the function behind a layer or a merge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gromo_graph.modules.adapters.operation import (
    Channels,
    NewChannels,
    Passed,
    operation_adapter,
    operations_of,
)


def as_factor(factor: float | Tensor | None, like: Tensor) -> Tensor:
    """A scaling factor as a scalar like another tensor; 0 while it has not been set."""
    if isinstance(factor, Tensor):
        return factor.reshape(()).to(like)
    return torch.tensor(0.0 if factor is None else factor, dtype=like.dtype, device=like.device)


@dataclass
class Moments:
    """Sums over samples and positions of each channel, for its mean and variance."""

    count: int = 0
    total: Tensor | None = None
    squares: Tensor | None = None

    def add(self, values: Tensor) -> None:
        """Count values (n, channels, ...)."""
        flat = values.detach().transpose(0, 1).flatten(1)
        wide = flat.to(torch.float64) if flat.device.type != "mps" else flat
        total, squares = wide.sum(dim=1), wide.square().sum(dim=1)
        self.total = total if self.total is None else self.total + total
        self.squares = squares if self.squares is None else self.squares + squares
        self.count += flat.shape[1]

    @property
    def mean(self) -> Tensor | None:
        """(channels,), None before the first value."""
        return None if self.total is None else self.total / self.count

    @property
    def variance(self) -> Tensor | None:
        """(channels,), biased."""
        if self.total is None or self.squares is None:
            return None
        return (self.squares / self.count - (self.total / self.count).square()).clamp_min(0.0)


@dataclass
class PassedChannels:
    """What is known of pending channels at the operations of one function, by their place in it.

    Attributes:
        factor: the scaling factor of the channels.
        moments: of the channels at that factor, where an operation needs them.
        spreads: their root mean squares at factor 1, where an operation needs them.
    """

    factor: float | Tensor | None = None
    moments: dict[int, Moments] = field(default_factory=dict)
    spreads: dict[int, Tensor] = field(default_factory=dict)

    def set_factor(self, factor: float | Tensor | None) -> None:
        """Moments at another factor are worth nothing."""
        if factor is None or self.factor is None or float(factor) != float(self.factor):
            self.moments = {}
        self.factor = factor

    def clear_measured(self) -> None:
        """Forget what was measured: other channels are pending now."""
        self.moments, self.spreads = {}, {}

    def clear(self) -> None:
        """Forget everything."""
        self.set_factor(None)
        self.clear_measured()

    def factor_like(self, like: Tensor) -> Tensor:
        """The factor as a scalar; 0 while it has not been set."""
        return as_factor(self.factor, like)

    def entering(self, place: int, operation: torch.nn.Module, new: Tensor) -> NewChannels:
        """New channels before an operation; counted where it will have to know their moments."""
        if operation_adapter(operation).needs_moments:
            self.moments.setdefault(place, Moments()).add(new)
        return NewChannels(new, self.factor_like(new), self.spreads.get(place))

    def at(self, place: int, device: torch.device) -> Passed:
        """What was measured where the channels enter an operation."""
        moments = self.moments.get(place, Moments())
        factor = 0.0 if self.factor is None else float(self.factor)
        mean, variance = moments.mean, moments.variance
        return Passed(
            factor,
            None if mean is None else mean.to(device),
            None if variance is None else variance.to(device),
            self.spreads.get(place),
        )


def pass_both(
    function: torch.nn.Module, extension: torch.nn.Module, x: Tensor, new: Tensor, passed: PassedChannels
) -> tuple[Tensor, Tensor]:
    """Old and new channels behind a function.

    Args:
        function: what the old channels pass. extension: what the new ones pass, the function itself where there is
            no other.
        x, new: before it.
        passed: takes what operations need to know of the new channels.
    """
    if extension is not function:
        return function(x), extension(new)
    for place, operation in enumerate(operations_of(function)):
        x, new = operation_adapter(operation).extended(operation, x, passed.entering(place, operation, new))
    return x, new


def pass_new(extension: torch.nn.Module, new: Tensor, passed: PassedChannels) -> Tensor:
    """New channels behind a function, the old ones left aside.

    Raises:
        GrowthError: an operation cannot tell the one without the other.
    """
    for place, operation in enumerate(operations_of(extension)):
        new = operation_adapter(operation).new_alone(operation, passed.entering(place, operation, new))
    return new


def pass_tangent(
    function: torch.nn.Module, channels: Channels, spreads: dict[int, Any] | None = None
) -> Channels:
    """New channels behind a function at first order.

    Args:
        function: what they pass. channels: before it.
        spreads: takes (sum of squares of each channel, count) where an operation needs the spread.
    """
    for place, operation in enumerate(operations_of(function)):
        adapter = operation_adapter(operation)
        channels = adapter.tangent(operation, channels)
        if spreads is not None and adapter.needs_spread:
            spreads.setdefault(place, Moments()).add(channels.values)
    return channels
