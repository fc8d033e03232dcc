"""The base of norms that take all features of a sample together: new features change the old ones at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import LayerNorm, RMSNorm

from gromo_graph.errors import GrowthError
from gromo_graph.layers.operation import Channels, Features, NewChannels, OperationAdapter, Passed
from gromo_graph.layers.replaced import Replaced, grown

N = TypeVar("N", LayerNorm, RMSNorm)


class FeaturesFirst(torch.nn.Module):
    """Makes a norm of (n, ..., features) one of (n, features, ...): `class FeatureNorm(FeaturesFirst, LayerNorm)`."""

    def forward(self, input: Tensor) -> Tensor:
        """The features stand last for the norm alone."""
        result: Tensor = super().forward(input.movedim(1, -1)).movedim(-1, 1)
        return result


class JointNormAdapter(OperationAdapter[N]):
    """It can grow, but not at first order: it has no slope, only a loss after the jump (docs/maths.md, "Norms").

    New features get weight 1 and bias 0. The features are the first of the normalised dimensions, as in the spec.
    """

    jumps = True

    @abstractmethod
    def scaled(self, operation: N, x: Tensor, shape: Sequence[int]) -> Tensor:
        """The norm of the last dimensions, which have this shape, before weight and bias."""

    def obstacle(self, operation: N, entering: Features) -> str | None:
        if operation.normalized_shape[0] != entering.width:
            return (
                f"it normalises {tuple(operation.normalized_shape)}: expected the {entering.width} features to be the "
                "first of these"
            )
        return None

    def extended(self, operation: N, x: Tensor, new: NewChannels) -> tuple[Tensor, Tensor]:
        if isinstance(operation, FeaturesFirst):
            y, y_new = self._extended(operation, x.movedim(1, -1), new.values.movedim(1, -1))
            return y.movedim(-1, 1), y_new.movedim(-1, 1)
        return self._extended(operation, x, new.values)

    def _extended(self, operation: N, x: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
        dim = -len(operation.normalized_shape)
        sizes = (x.shape[dim], new.shape[dim])
        shape = (sum(sizes), *operation.normalized_shape[1:])
        y, y_new = self.scaled(operation, torch.cat((x, new), dim=dim), shape).split(sizes, dim=dim)
        weight, bias = operation.weight, bias_of(operation)
        y = y if weight is None else y * weight
        return (y if bias is None else y + bias), y_new

    def new_alone(self, operation: N, new: NewChannels) -> Tensor:
        raise GrowthError(
            f"{operation} brings old and new features to one scale: expected both, as in extended_forward"
        )

    def tangent(self, operation: N, channels: Channels) -> Channels:
        raise GrowthError(
            f"{operation} changes its old outputs at once when it grows: there is no slope to measure; "
            "expected the loss after the growth to decide (`allow_jump`)"
        )

    def average(self, operation: N, maps: Tensor) -> Tensor:
        return maps

    def grow(self, operation: N, at: int, size: int, passed: Passed) -> list[Replaced]:
        rest: tuple[int, ...] = operation.normalized_shape[1:]
        operation.normalized_shape = (operation.normalized_shape[0] + size, *rest)
        weight, bias = operation.weight, bias_of(operation)
        replaced: list[Replaced] = []
        if weight is not None:
            replaced.append(grown(operation, "weight", weight.new_ones(size, *rest), dim=0, at=at))
        if bias is not None:
            replaced.append(grown(operation, "bias", bias.new_zeros(size, *rest), dim=0, at=at))
        return replaced


def bias_of(norm: torch.nn.Module) -> Tensor | None:
    """The bias of a norm, None if it has none."""
    bias = getattr(norm, "bias", None)
    return bias if isinstance(bias, Tensor) else None
