"""`max_pool*`, `avg_pool*`, `adaptive_avg_pool*`: neighbouring positions become one, channel by channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gromo_graph.layers.operation import (
    Channels,
    OperationAdapter,
    refuse_moving_rest,
    register_operation,
)
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.pool import AdaptivePool, Pool

_POOLS: dict[str, Callable[..., torch.nn.Module]] = {
    "max_pool1d": torch.nn.MaxPool1d,
    "max_pool2d": torch.nn.MaxPool2d,
    "avg_pool1d": torch.nn.AvgPool1d,
    "avg_pool2d": torch.nn.AvgPool2d,
}
_ADAPTIVE: dict[str, Callable[..., torch.nn.Module]] = {
    "adaptive_avg_pool1d": torch.nn.AdaptiveAvgPool1d,
    "adaptive_avg_pool2d": torch.nn.AdaptiveAvgPool2d,
}


def build(node: Pool, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch module of a pool with a window."""
    return _POOLS[node.kind](node.kernel, stride=node.stride, padding=node.padding)


def build_adaptive(node: AdaptivePool, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch module of a pool with a given number of windows."""
    return _ADAPTIVE[node.kind](node.size)


class Resampling(OperationAdapter):
    """Linear and the same for every channel: it passes as it is."""

    slides = True

    def __init__(self, operation_type: type[torch.nn.Module]) -> None:
        self.operation_type = operation_type


class AvgPool(Resampling):
    """Linear; zeros of the padding count, which moves the mean of a channel that does not rest at 0."""

    def tangent(self, operation: Any, channels: Channels) -> Channels:
        if any(_each(operation.padding)) and operation.count_include_pad:
            refuse_moving_rest(operation, channels.resting)
        return Channels(operation(channels.values), channels.resting)


class MaxPool(Resampling):
    """Exact at first order as it is, for all values of a new channel start equal; its mean stands in where sums are
    taken.

    Which position wins depends on the weights that are to be found, so the statistics cannot know it.
    """

    bends = True

    def average(self, operation: Any, maps: Tensor) -> Tensor:
        if any(dilation != 1 for dilation in _each(operation.dilation)):
            return _mean_with_gaps(operation, maps)
        mean = functional.avg_pool1d if maps.dim() == 3 else functional.avg_pool2d
        result: Tensor = mean(
            maps,
            operation.kernel_size,
            operation.stride,
            operation.padding,
            operation.ceil_mode,
            count_include_pad=False,
        )
        return result


def _mean_with_gaps(operation: Any, maps: Tensor) -> Tensor:
    """The mean of what each window of a dilated max pool sees, without its padding; (n, channels, ...)."""
    sizes, axes = operation(maps).shape[2:], maps.dim() - 2
    kernel, stride, padding, dilation = (
        _each(value) if isinstance(value, tuple) else (value,) * axes
        for value in (operation.kernel_size, operation.stride, operation.padding, operation.dilation)
    )
    margins: list[int] = []
    for axis in reversed(range(axes)):  # of the last axis first, as `pad` wants them
        reach = (sizes[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1
        margins += (padding[axis], max(0, reach - padding[axis] - maps.shape[2 + axis]))
    convolve = functional.conv1d if axes == 1 else functional.conv2d
    ones = maps.new_ones(1, 1, *kernel)

    def summed(values: Tensor) -> Tensor:
        """Over each window; one channel."""
        found: Tensor = convolve(functional.pad(values, margins), ones, stride=stride, dilation=dilation)
        for axis, size in enumerate(sizes):
            found = found.narrow(2 + axis, 0, size)
        return found

    counts = summed(maps.new_ones(1, 1, *maps.shape[2:]))
    return summed(maps.flatten(0, 1)[:, None]).reshape(*maps.shape[:2], *sizes) / counts


def _each(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


for _adapter in (
    Resampling(torch.nn.AdaptiveAvgPool1d),
    Resampling(torch.nn.AdaptiveAvgPool2d),
    AvgPool(torch.nn.AvgPool1d),
    AvgPool(torch.nn.AvgPool2d),
    MaxPool(torch.nn.MaxPool1d),
    MaxPool(torch.nn.MaxPool2d),
):
    register_operation(_adapter)
