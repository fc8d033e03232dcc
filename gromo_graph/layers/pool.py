"""The bases of pools: an operation that is linear and the same for every channel, and the options of a window."""

from __future__ import annotations

from typing import Any, TypeVar

import torch

from gromo_graph.layers.operation import OperationAdapter
from gromo_graph.plain_torch.torch_call import per_axis

M = TypeVar("M", bound=torch.nn.Module)


class Resampling(OperationAdapter[M]):
    """Linear and the same for every channel, along each axis: new channels pass it as it is."""

    slides = separable = True

    def __init__(self, operation_type: type[M]) -> None:
        self.operation_type = operation_type


def along_axes(value: int | tuple[int, ...], axes: int = 1) -> tuple[int, ...]:
    """An option of a pool for each axis."""
    return value if isinstance(value, tuple) else (value,) * axes


def window_fields(kernel: Any, stride: Any, padding: Any, ceil_mode: bool) -> dict[str, Any]:
    """The fields of a node for a window of torch."""
    size, step = per_axis(kernel), per_axis(stride)
    return {
        "kernel": size,
        "stride": None if step == size else step,
        "padding": per_axis(padding),
        "ceil_mode": ceil_mode,
    }
