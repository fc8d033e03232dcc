"""`batch_norm`: new channels start as the identity on what was measured of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from gromo_graph.errors import GrowthError
from gromo_graph.layers.operation import (
    NO_WEIGHTS,
    Features,
    Passed,
    Unchanging,
    register_operation,
    with_entries,
)
from gromo_graph.layers.replaced import Replaced, grown, inserted
from gromo_graph.spec.kinds import BatchNorm, Shape


def build(node: BatchNorm, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch module of the node, by the number of axes it reads."""
    kind = torch.nn.BatchNorm2d if len(inputs[0]) == 3 else torch.nn.BatchNorm1d
    return kind(inputs[0][0], eps=node.eps, momentum=node.momentum)


class BatchNormAdapter(Unchanging):
    """Growth through batch norm (MATH.md).

    A new channel gets its measured mean and variance as running statistics, the root of the variance as weight and the
    mean as bias: in evaluation mode it passes unchanged, in training mode on the measured batch likewise.
    """

    operation_type = _BatchNorm
    needs_moments = True

    def obstacle(self, operation: Any, entering: Features) -> str | None:
        if operation.num_features != entering.width:
            return (
                f"it normalises {operation.num_features} of something else than the {entering.width} features"
            )
        return None if operation.affine else NO_WEIGHTS

    def check(self, operation: Any, size: int, passed: Passed) -> None:
        if passed.mean is None or passed.variance is None:
            raise GrowthError(
                f"{operation} must know the mean and variance of the {size} new channels: run extended_forward on "
                "data with the scaling factor set, or keep the stored inputs of the last forward pass"
            )

    def grow(self, operation: Any, at: int, size: int, passed: Passed) -> list[Replaced]:
        """Insert channels with the measured statistics."""
        assert passed.mean is not None  # it was checked
        assert passed.variance is not None
        operation.num_features += size
        if operation.running_mean is not None:
            operation.running_mean = inserted(operation.running_mean, passed.mean, dim=0, at=at)
            operation.running_var = inserted(operation.running_var, passed.variance, dim=0, at=at)
        weight = (passed.variance + operation.eps).sqrt()
        return [
            grown(operation, "weight", weight, dim=0, at=at),
            grown(operation, "bias", passed.mean, dim=0, at=at),
        ]

    def left(self, operation: Any, places: Tensor) -> torch.nn.Module:
        new: torch.nn.Module = with_entries(operation, places)
        new.num_features = len(places)  # type: ignore[assignment]
        return new


register_operation(BatchNormAdapter())
