"""`OperationAdapter`: new channels on their way through activations, pools, norms, flatten, dropout.

A kind names its adapter in its `TorchHalf`. An operation without an adapter is taken for a function of each value alone
(an activation), and its derivatives are measured. Adapters hold no state: the operation is an argument, of the torch
class that the adapter serves.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torch.nn import Parameter

from gromo_graph.algebra import Tangent, tangent_of
from gromo_graph.errors import GrowthError
from gromo_graph.layers.replaced import Replaced

NO_WEIGHTS = "it has no weights with which a new channel could start as the identity (affine=True)"
"""A norm that cannot grow, in words."""

M = TypeVar("M", bound=torch.nn.Module)


@dataclass(frozen=True)
class Channels:
    """New channels at first order around the value they have while their weights are zero.

    Attributes:
        values: (n, channels, ...) or (n, ..., features), how they depart from it.
        resting: that value, the same for all samples and positions.
    """

    values: Tensor
    resting: float = 0.0


@dataclass(frozen=True)
class NewChannels:
    """New channels on their way through an operation, with what is known about them.

    Attributes:
        values: as they are at the scaling factor in force.
        factor: that scaling factor s.
        spread: root mean square of the channels of a group at s = 1, or None if it was not measured.
    """

    values: Tensor
    factor: Tensor
    spread: Tensor | None = None


@dataclass(frozen=True)
class Features:
    """The input of an operation.

    Attributes:
        width: number of features. segments: how many layers they come from, side by side.
        repeated: whether a channel has become several features.
    """

    width: int
    segments: int = 1
    repeated: bool = False


class OperationAdapter(Generic[M]):
    """Operations of one torch class, as new channels pass them.

    The members suit an operation that treats each channel alone and has no weights (pools, dropout).

    Attributes:
        operation_type: the torch module it serves, subclasses included.
        flattens: whether positions become features.
        slides: whether it mixes or moves positions.
        separable: whether it does so by one matrix along each axis, the same for each channel, in the statistics.
        bends: whether −x does not give minus what x gives, beyond what `gain` says.
        needs_moments: whether growing it takes the mean and variance of the new channels.
        needs_spread: whether it takes their root mean square at s = 1.
        jumps: whether its old outputs change at once when it grows.
        sees_samples: whether what it does to channels differs from sample to sample (attention).
    """

    operation_type: type[M]
    flattens: bool = False
    slides: bool = False
    separable: bool = False
    bends: bool = False
    needs_moments: bool = False
    needs_spread: bool = False
    jumps: bool = False
    sees_samples: bool = False

    def obstacle(self, operation: M, entering: Features) -> str | None:
        """Say why features that pass cannot grow; None if they can (as `why_fixed` of the kind in the spec)."""
        return None

    def unit(self, operation: M) -> int:
        """New channels come in multiples of this number."""
        return 1

    def extended(self, operation: M, x: Tensor, new: NewChannels) -> tuple[Tensor, Tensor]:
        """Old and new channels behind the operation as it will be once it has grown."""
        return operation(x), self.new_alone(operation, new)

    def new_alone(self, operation: M, new: NewChannels) -> Tensor:
        """The new channels behind it, if they do not depend on the old ones."""
        result: Tensor = operation(new.values)
        return result

    def tangent(self, operation: M, channels: Channels) -> Channels:
        """New channels behind the operation, at first order.

        Raises:
            GrowthError: their resting value would differ from position to position.
        """
        return Channels(operation(channels.values), channels.resting)

    def gain(self, operation: M, resting: float) -> Tangent:
        """Slope of a channel's value at its resting value, and the value behind; pools count as the mean they take."""
        return Tangent(resting, 1.0, 1.0)

    def average(self, operation: M, maps: Tensor) -> Tensor:
        """The linear operation that stands in for this one in the statistics, on any number of channels."""
        result: Tensor = operation(maps)
        return result

    def of_samples(self, operation: M, part: slice) -> torch.nn.Module:
        """The operation as it is for some samples of the last batch; itself if it does the same to all."""
        return operation

    def check(self, operation: M, size: int, passed: Passed) -> None:
        """Refuse what `grow` could not do, before anything has changed.

        Raises:
            GrowthError: so many channels do not fit, or something is not known of them.
        """

    def grow(self, operation: M, at: int, size: int, passed: Passed) -> list[Replaced]:
        """Insert `size` channels at place `at`, in place; it has been checked."""
        return []

    def left(self, operation: M, places: Tensor) -> torch.nn.Module:
        """The operation with only the features at some places left: itself if it has no weights for each.

        Raises:
            GrowthError: it cannot lose features.
        """
        if self.jumps or any(parameter.numel() > 1 for parameter in operation.parameters()):
            raise GrowthError(f"{operation} cannot lose features: what it gives of the others would change")
        return operation


class Unchanging(OperationAdapter[M]):
    """An operation that new channels pass as they are, for what it has for each of them begins as the identity."""

    def new_alone(self, operation: M, new: NewChannels) -> Tensor:
        return new.values

    def tangent(self, operation: M, channels: Channels) -> Channels:
        return channels

    def average(self, operation: M, maps: Tensor) -> Tensor:
        return maps


@dataclass(frozen=True)
class Passed:
    """The measured statistics of new channels at the input of an operation, and the scaling factor.

    Attributes:
        mean, variance: (size,), the biased variance over samples and positions; None if nothing was measured.
        spread: as in `NewChannels`.
    """

    factor: float
    mean: Tensor | None = None
    variance: Tensor | None = None
    spread: Tensor | None = None


class Elementwise(OperationAdapter[torch.nn.Module]):
    """Activations: each value alone, followed by its one-sided derivatives."""

    def obstacle(self, operation: M, entering: Features) -> str | None:
        if any(parameter.numel() > 1 for parameter in operation.parameters()):
            return (
                "it has weights for each channel that growth does not know how to widen (register an OperationAdapter "
                "for it)"
            )
        return None

    def tangent(self, operation: M, channels: Channels) -> Channels:
        tangent = tangent_of(operation, channels.resting)
        return Channels(tangent.apply(channels.values), tangent.value)

    def gain(self, operation: M, resting: float) -> Tangent:
        return tangent_of(operation, resting)

    def average(self, operation: M, maps: Tensor) -> Tensor:
        return maps  # its slope is the gain


def with_entries(operation: M, places: Tensor) -> M:
    """A copy with those entries of every parameter and buffer that has one for each feature."""
    new = copy.deepcopy(operation)
    for name, old in operation.named_parameters():
        setattr(new, name, Parameter(old.detach()[places], requires_grad=old.requires_grad))
    for name, buffer in operation.named_buffers():
        if buffer.dim():
            setattr(new, name, buffer[places].clone())
    return new


def refuse_moving_rest(operation: torch.nn.Module, resting: float) -> None:
    """Refuse channels that rest at another value than 0 before a padding of zeros: they would differ by position."""
    if resting != 0.0:
        raise GrowthError(
            f"new channels rest at {resting:g} before {operation}, whose padding of zeros makes that differ from "
            "position to position: expected no padding, or an activation that is 0 at 0"
        )
