"""The bases of pools: an operation that is linear and the same for every channel, and the options of a window."""

from __future__ import annotations

from typing import Any, TypeVar

import torch

from gromo_graph.layers.operation import OperationAdapter
from gromo_graph.translation.torch_call import same_along_axes

M = TypeVar("M", bound=torch.nn.Module)


class Resampling(OperationAdapter[M]):
    """Linear and the same for every channel, along each axis: new channels pass it as it is."""

    slides = separable = True

    def __init__(self, operation_type: type[M]) -> None:
        self.operation_type = operation_type


def along_axes(value: int | tuple[int, ...], axes: int = 1) -> tuple[int, ...]:
    """An option of a pool for each axis."""
    return value if isinstance(value, tuple) else (value,) * axes


def window_fields(kernel: Any, stride: Any, padding: Any) -> dict[str, Any]:
    """The fields of a node for a window of torch.

    Raises:
        Unmapped: they differ between axes.
    """
    size, step = same_along_axes(kernel, "kernel"), same_along_axes(stride, "stride")
    return {
        "kernel": size,
        "stride": None if step == size else step,
        "padding": same_along_axes(padding, "padding"),
    }
