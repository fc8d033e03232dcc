"""`depthwise_conv1d`, `depthwise_conv2d`: a convolution with a kernel for each channel; it grows with its input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from gromo_graph.errors import GrowthError
from gromo_graph.layers.conv import keeps_positions
from gromo_graph.layers.operation import (
    Channels,
    Features,
    NewChannels,
    OperationAdapter,
    Passed,
    refuse_moving_rest,
    with_entries,
)
from gromo_graph.layers.replaced import Replaced, grown
from gromo_graph.layers.skip_init import skip_init
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.spec.kinds import Depthwise, Shape
from gromo_graph.spec.kinds.refusals import MIXED_GROUPS, no_middle_tap


def build(node: Depthwise, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch convolution with as many groups as there are; its weights are drawn by the compiler."""
    channels = inputs[0][0]
    return skip_init(
        (torch.nn.Conv1d, torch.nn.Conv2d)[node.dimensions - 1],
        channels,
        channels,
        node.kernel,
        stride=node.stride,
        padding=node.padding,
        dilation=node.dilation,
        groups=channels // node.group_width,
        bias=node.bias,
    )


C = TypeVar("C", torch.nn.Conv1d, torch.nn.Conv2d)


class DepthwiseAdapter(OperationAdapter[C]):
    """A new channel passes unchanged: the middle tap is 1, the others and the bias are 0."""

    slides = separable = True

    def __init__(self, operation_type: type[C]) -> None:
        self.operation_type = operation_type

    def obstacle(self, operation: C, entering: Features) -> str | None:
        if operation.in_channels != operation.out_channels:
            return "a convolution between layers must give as many channels as it reads"
        if entering.segments > 1 and self.unit(operation) > 1:
            return MIXED_GROUPS
        if any(size % 2 == 0 for size in operation.kernel_size):
            return no_middle_tap(operation.kernel_size)
        return None

    def unit(self, operation: C) -> int:
        return operation.in_channels // operation.groups

    def new_alone(self, operation: C, new: NewChannels) -> Tensor:
        return self.average(operation, new.values)

    def tangent(self, operation: C, channels: Channels) -> Channels:
        if any(_margin(operation, axis) > 0 for axis in range(len(operation.kernel_size))):
            refuse_moving_rest(operation, channels.resting)
        return Channels(self.average(operation, channels.values), channels.resting)

    def average(self, operation: C, maps: Tensor) -> Tensor:
        """It is linear: what new channels pass through is what stands in for it."""
        convolve: Callable[..., Tensor] = (
            functional.conv1d if len(operation.kernel_size) == 1 else functional.conv2d
        )
        return convolve(
            maps,
            self._kernel(operation, maps.shape[1], 1, maps),
            None,
            operation.stride,
            operation.padding,
            operation.dilation,
            groups=maps.shape[1],
        )

    def grow(self, operation: C, at: int, size: int, passed: Passed) -> list[Replaced]:
        kernel = self._kernel(operation, size, self.unit(operation), operation.weight)
        operation.groups += size // self.unit(operation)
        operation.in_channels += size
        operation.out_channels += size
        replaced = [grown(operation, "weight", kernel, dim=0, at=at)]
        if operation.bias is not None:
            replaced.append(grown(operation, "bias", kernel.new_zeros(size), dim=0, at=at))
        return replaced

    def left(self, operation: C, places: Tensor) -> torch.nn.Module:
        if self.unit(operation) > 1:
            raise GrowthError(f"{operation} cannot lose channels of its groups")
        new = with_entries(operation, places)
        new.groups = new.in_channels = new.out_channels = len(places)
        return new

    def check(self, operation: C, size: int, passed: Passed) -> None:
        if size % self.unit(operation):
            raise GrowthError(
                f"{operation} grows by whole groups of {self.unit(operation)} channels: found {size} new ones"
            )

    def _kernel(self, operation: C, channels: int, width: int, like: Tensor) -> Tensor:
        """The kernels with which channels pass groups of some width unchanged."""
        kernel = like.new_zeros(channels, width, *operation.kernel_size)
        every = torch.arange(channels, device=like.device)
        middle: list[Any] = [size // 2 for size in operation.kernel_size]
        kernel[(every, every % width, *middle)] = 1.0
        return kernel


def _margin(operation: torch.nn.Conv1d | torch.nn.Conv2d, axis: int) -> int:
    """The number of positions by which the middle tap reads beyond the image."""
    if isinstance(operation.padding, str):
        return 0
    return operation.padding[axis] - operation.dilation[axis] * (operation.kernel_size[axis] // 2)


def make_identity(layer: torch.nn.Conv1d | torch.nn.Conv2d) -> bool:
    """A 1 in the middle of each kernel."""
    if not keeps_positions(layer):
        return False
    with torch.no_grad():
        torch.nn.init.dirac_(layer.weight, groups=layer.groups)
        if layer.bias is not None:
            layer.bias.zero_()
    return True


TORCH = TorchHalf(
    build,
    [DepthwiseAdapter(torch.nn.Conv1d), DepthwiseAdapter(torch.nn.Conv2d)],
    identity=make_identity,
)
"""Import and export are those of `conv`: one class of torch is both."""
