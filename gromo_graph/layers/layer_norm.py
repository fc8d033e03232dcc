"""`layer_norm`: new features change what the old ones become, at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gromo_graph.errors import GrowthError
from gromo_graph.layers.operation import (
    Channels,
    Features,
    NewChannels,
    OperationAdapter,
    Passed,
    register_operation,
)
from gromo_graph.layers.replaced import Replaced, grown
from gromo_graph.spec.kinds import LayerNorm, Shape


def build(node: LayerNorm, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch module of the node: all values of a sample together, or those of each position."""
    if node.over == "features" and len(inputs[0]) > 1:
        return FeatureNorm(inputs[0][0], eps=node.eps)
    return torch.nn.LayerNorm(list(inputs[0]), eps=node.eps)


class FeatureNorm(torch.nn.LayerNorm):
    """A layer norm of (n, features, ...) over the features of each position."""

    def forward(self, input: Tensor) -> Tensor:
        """The features stand last for the norm alone."""
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


class LayerNormAdapter(OperationAdapter):
    """It can grow, but not at first order: there is no slope, only the loss after the jump (MATH.md).

    New features get weight 1 and bias 0. The features are the first of the normalised dimensions, as in the spec.
    """

    operation_type = torch.nn.LayerNorm
    jumps = True

    def obstacle(self, operation: Any, entering: Features) -> str | None:
        if operation.normalized_shape[0] != entering.width:
            return (
                f"it normalises {tuple(operation.normalized_shape)}: expected the {entering.width} features to be the "
                "first of these"
            )
        return None

    def extended(self, operation: Any, x: Tensor, new: NewChannels) -> tuple[Tensor, Tensor]:
        if isinstance(operation, FeatureNorm):
            last = NewChannels(new.values.movedim(1, -1), new.factor, new.spread)
            y, y_new = self._extended(operation, x.movedim(1, -1), last)
            return y.movedim(-1, 1), y_new.movedim(-1, 1)
        return self._extended(operation, x, new)

    def _extended(self, operation: Any, x: Tensor, new: NewChannels) -> tuple[Tensor, Tensor]:
        dim = -len(operation.normalized_shape)
        old = x.shape[dim]
        shape = (old + new.values.shape[dim], *operation.normalized_shape[1:])
        both = functional.layer_norm(torch.cat((x, new.values), dim=dim), shape, eps=operation.eps)
        y, y_new = both.split([old, new.values.shape[dim]], dim=dim)
        if operation.elementwise_affine:
            y = y * operation.weight
            y = y if operation.bias is None else y + operation.bias
        return y, y_new

    def new_alone(self, operation: Any, new: NewChannels) -> Tensor:
        raise GrowthError(
            f"{operation} brings old and new features to one scale: expected both, as in extended_forward"
        )

    def tangent(self, operation: Any, channels: Channels) -> Channels:
        raise GrowthError(
            f"{operation} changes its old outputs at once when it grows: there is no slope to measure; "
            "expected the loss after the growth to decide (`allow_jump`)"
        )

    def average(self, operation: Any, maps: Tensor) -> Tensor:
        return maps

    def grow(self, operation: Any, at: int, size: int, passed: Passed) -> list[Replaced]:
        rest = operation.normalized_shape[1:]
        operation.normalized_shape = (operation.normalized_shape[0] + size, *rest)
        if not operation.elementwise_affine:
            return []
        old = operation.weight
        replaced = [grown(operation, "weight", old.new_ones(size, *rest), dim=0, at=at)]
        if operation.bias is not None:
            replaced.append(grown(operation, "bias", old.new_zeros(size, *rest), dim=0, at=at))
        return replaced


register_operation(LayerNormAdapter())
