"""`batch_norm`: new channels start as the identity on what was measured of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from gromo_graph.errors import GrowthError
from gromo_graph.modules.adapters.operation import (
    Channels,
    NewChannels,
    OperationAdapter,
    Passed,
    register_operation,
)
from gromo_graph.modules.adapters.replaced import Replaced, grown, inserted
from gromo_graph.spec.kinds import BatchNorm, Shape


def build(node: BatchNorm, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch module of the node, by the number of axes it reads."""
    kind = torch.nn.BatchNorm2d if len(inputs[0]) == 3 else torch.nn.BatchNorm1d
    return kind(inputs[0][0])


class BatchNormAdapter(OperationAdapter):
    """Growth through batch norm (MATH.md).

    A new channel gets its measured mean and variance as running statistics, the root of the variance as weight and the
    mean as bias: in evaluation mode it passes unchanged, in training mode on the measured batch likewise.
    """

    operation_type = _BatchNorm
    needs_moments = True

    def new_alone(self, operation: Any, new: NewChannels) -> Tensor:
        return new.values

    def tangent(self, operation: Any, channels: Channels) -> Channels:
        return channels

    def average(self, operation: Any, maps: Tensor) -> Tensor:
        return maps

    def grow(self, operation: Any, at: int, size: int, passed: Passed) -> list[Replaced]:
        """Insert channels with the measured statistics.

        Raises:
            GrowthError: nothing was measured, and the norm has something to keep it in.
        """
        remembers = operation.running_mean is not None
        if passed.mean is None or passed.variance is None:
            if remembers or operation.affine:
                raise GrowthError(
                    f"{operation} must know the mean and variance of the {size} new channels: run extended_forward on "
                    "data with the scaling factor set, or keep the stored inputs of the last forward pass"
                )
            return self._resized(operation, size)
        replaced = []
        if operation.affine:
            weight = (passed.variance + operation.eps).sqrt()
            replaced = [
                grown(operation, "weight", weight, dim=0, at=at),
                grown(operation, "bias", passed.mean, dim=0, at=at),
            ]
        if remembers:
            operation.running_mean = inserted(operation.running_mean, passed.mean, dim=0, at=at)
            operation.running_var = inserted(operation.running_var, passed.variance, dim=0, at=at)
        return [*replaced, *self._resized(operation, size)]

    def _resized(self, operation: Any, size: int) -> list[Replaced]:
        operation.num_features += size
        return []


register_operation(BatchNormAdapter())
