"""New channels on their way through the function behind a layer or a merge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gromo_graph.layers import operation_adapter, operations_of
from gromo_graph.layers.operation import Channels, NewChannels, Passed


def as_factor(factor: float | Tensor | None, like: Tensor) -> Tensor:
    """A scaling factor as a scalar like another tensor; 0 while it has not been set."""
    if isinstance(factor, Tensor):
        return factor.reshape(()).to(like)
    return torch.tensor(0.0 if factor is None else factor, dtype=like.dtype, device=like.device)


def _number(factor: float | Tensor | None) -> float:
    if factor is None:
        return 0.0
    return float(factor.detach()) if isinstance(factor, Tensor) else factor


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
    """The pending channels of one segment, as they enter the operations of a function.

    Attributes:
        size: how many features they are before the function; 0 if nothing is pending or nothing has been told.
        factor: the scaling factor of the channels; a tensor may be moved by an optimizer meanwhile.
        spreads: their root mean squares at factor 1, if an operation needs them.
    """

    size: int = 0
    factor: float | Tensor | None = None
    spreads: dict[int, Tensor] = field(default_factory=dict)
    _moments: dict[int, Moments] = field(default_factory=dict)
    _measured_at: float = 0.0

    @property
    def moments(self) -> dict[int, Moments]:
        """Of the channels if operations need them, at the factor in force: those at another are worth nothing."""
        now = _number(self.factor)
        if now != self._measured_at:
            self._moments, self._measured_at = {}, now
        return self._moments

    def expect(self, size: int) -> None:
        """Other channels are pending now, so many features."""
        self.size, self._moments, self.spreads = size, {}, {}

    def clear(self) -> None:
        """Nothing is pending any more."""
        self.expect(0)
        self.factor = None

    def factor_like(self, like: Tensor) -> Tensor:
        """The factor as a scalar; 0 while it has not been set."""
        return as_factor(self.factor, like)

    def at(self, place: int, device: torch.device) -> Passed:
        """The measurements of the channels that enter an operation."""
        moments = self.moments.get(place, Moments())
        mean, variance = moments.mean, moments.variance
        return Passed(
            _number(self.factor),
            None if mean is None else mean.to(device),
            None if variance is None else variance.to(device),
            self.spreads.get(place),
        )


class Segments(defaultdict[int, PassedChannels]):
    """The pending channels of a module's output, by the place of their segment in it."""

    def __init__(self, known: Mapping[int, PassedChannels] | None = None) -> None:
        super().__init__(PassedChannels, known or {})

    def __reduce__(self) -> tuple[type[Segments], tuple[dict[int, PassedChannels]]]:
        return Segments, (dict(self),)

    def parts(self, width: int) -> list[tuple[PassedChannels, int]]:
        """Whose channels the further channels of an output are, and how many of them each has."""
        told = [(passed, passed.size) for _, passed in sorted(self.items()) if passed.size]
        if sum(size for _, size in told) == width:
            return told
        # Made by hand, one half of a growth alone: of a single segment it is still clear whose they are.
        return [(self[0] if len(self) < 2 else PassedChannels(), width)]


def _entering(
    segments: Segments, width: int, place: int, operation: torch.nn.Module, new: Tensor
) -> NewChannels:
    """New channels before an operation; counted if it will have to know their moments.

    Args:
        segments: whose they are. width: how many they were before the function; a flatten makes more of them.
    """
    parts = segments.parts(width)
    if operation_adapter(operation).needs_moments:
        sizes = [size * new.shape[1] // width for _, size in parts]
        for (passed, _), values in zip(parts, new.split(sizes, dim=1), strict=True):
            passed.moments.setdefault(place, Moments()).add(values)
    first = parts[0][0]  # an operation that needs more than moments stands behind a single segment
    return NewChannels(new, first.factor_like(new), first.spreads.get(place))


def pass_old(function: torch.nn.Module, x: Tensor) -> Tensor:
    """Channels behind a function, even if there are none, to which torch applies no norm and no pool."""
    if 0 not in x.shape[1:]:
        found: Tensor = function(x)
        return found
    for operation in operations_of(function):
        if operation_adapter(operation).needs_moments:
            continue
        if x.dim() == 2:
            x = operation(x)
        else:  # a channel of zeros tells the shape
            one = x.new_zeros(x.shape[0], 1, *x.shape[2:])
            x = operation(one)[:, :0] + x.sum()
    return x


def pass_both(
    function: torch.nn.Module, extension: torch.nn.Module, x: Tensor, new: Tensor, segments: Segments
) -> tuple[Tensor, Tensor]:
    """Old and new channels behind a function.

    Args:
        function: what the old channels pass. extension: what the new ones pass, the function itself if there is
            no other.
        x, new: before it.
        segments: take what operations need to know of the new channels.
    """
    width = new.shape[1]
    if extension is not function:
        _show(function, new, segments)
        return pass_old(function, x), extension(new)
    for place, operation in enumerate(operations_of(function)):
        entering, adapter = _entering(segments, width, place, operation, new), operation_adapter(operation)
        if 0 in x.shape[1:]:
            x, new = pass_old(operation, x), adapter.new_alone(operation, entering)
        else:
            x, new = adapter.extended(operation, x, entering)
    return x, new


def pass_new(
    function: torch.nn.Module, extension: torch.nn.Module, new: Tensor, passed: PassedChannels
) -> Tensor:
    """New channels behind a function, the old ones left aside.

    Args:
        function, extension, new: as in `pass_both`. passed: takes what operations need to know of the channels.

    Raises:
        GrowthError: an operation cannot tell the one without the other.
    """
    segments = Segments({0: passed})
    if extension is not function:
        _show(function, new, segments)
        result: Tensor = extension(new)
        return result
    return _alone(function, new, segments)


def _alone(function: torch.nn.Module, new: Tensor, segments: Segments) -> Tensor:
    width = new.shape[1]
    for place, operation in enumerate(operations_of(function)):
        entering = _entering(segments, width, place, operation, new)
        new = operation_adapter(operation).new_alone(operation, entering)
    return new


@torch.no_grad()
def _show(function: torch.nn.Module, new: Tensor, segments: Segments) -> None:
    """Let the norms of a function see channels that pass another one for now: they will have to grow for them."""
    if any(operation_adapter(operation).needs_moments for operation in operations_of(function)):
        _alone(function, new, segments)


def pass_tangent(
    function: torch.nn.Module, channels: Channels, spreads: dict[int, Any] | None = None
) -> Channels:
    """New channels behind a function at first order.

    Args:
        function: what they pass. channels: before it.
        spreads: takes (sum of squares of each channel, count) if an operation needs the spread.
    """
    for place, operation in enumerate(operations_of(function)):
        adapter = operation_adapter(operation)
        channels = adapter.tangent(operation, channels)
        if spreads is not None and adapter.needs_spread:
            spreads.setdefault(place, Moments()).add(channels.values)
    return channels
