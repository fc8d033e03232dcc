"""`max_pool1d`, `max_pool2d`: the largest value of each window, channel by channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from torch import Tensor
from torch.nn import MaxPool1d, MaxPool2d, functional

from gromo_graph.layers.pool import Resampling, along_axes, window_fields
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.rows import as_function
from gromo_graph.plain_torch.torch_call import TorchCall, per_axis
from gromo_graph.spec import kinds
from gromo_graph.spec.kinds.pool import Pool


def build(node: Pool, inputs: Sequence[kinds.Shape]) -> MaxPool1d | MaxPool2d:
    """The torch module of the node."""
    return (MaxPool1d, MaxPool2d)[node.dimensions - 1](
        node.kernel, stride=node.stride, padding=node.padding, ceil_mode=node.ceil_mode
    )


P = TypeVar("P", MaxPool1d, MaxPool2d)


class MaxPoolAdapter(Resampling[P]):
    """Exact at first order as it is, for all values of a new channel start equal; in the statistics its mean.

    The position that wins depends on the weights that are to be found, so the statistics cannot know it.
    """

    bends = True

    def average(self, operation: P, maps: Tensor) -> Tensor:
        if any(dilation != 1 for dilation in along_axes(operation.dilation)):
            return _mean_with_gaps(operation, maps)
        mean: Callable[..., Tensor] = functional.avg_pool1d if maps.dim() == 3 else functional.avg_pool2d
        return mean(
            maps,
            operation.kernel_size,
            operation.stride,
            operation.padding,
            operation.ceil_mode,
            count_include_pad=False,
        )


def _mean_with_gaps(operation: MaxPool1d | MaxPool2d, maps: Tensor) -> Tensor:
    """The mean of the values that each window of a dilated max pool sees, without padding; (n, channels, ...)."""
    sizes, axes = operation(maps).shape[2:], maps.dim() - 2
    kernel, stride, padding, dilation = (
        along_axes(value, axes)
        for value in (operation.kernel_size, operation.stride, operation.padding, operation.dilation)
    )
    margins: list[int] = []
    for axis in reversed(range(axes)):  # of the last axis first, as `pad` wants them
        reach = (sizes[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1
        margins += (padding[axis], max(0, reach - padding[axis] - maps.shape[2 + axis]))
    convolve: Callable[..., Tensor] = functional.conv1d if axes == 1 else functional.conv2d
    ones = maps.new_ones(1, 1, *kernel)

    def summed(values: Tensor) -> Tensor:
        """Over each window; one channel."""
        found = convolve(functional.pad(values, margins), ones, stride=stride, dilation=dilation)
        for axis, size in enumerate(sizes):
            found = found.narrow(2 + axis, 0, size)
        return found

    counts = summed(maps.new_ones(1, 1, *maps.shape[2:]))
    return summed(maps.flatten(0, 1)[:, None]).reshape(*maps.shape[:2], *sizes) / counts


def max_pool(
    call: TorchCall,
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> ModelValue:
    """Over one or two axes, without dilation."""
    if per_axis(dilation) != 1:
        raise Unmapped(f"its dilation is {dilation}: expected 1")
    kind = (kinds.MaxPool1d, kinds.MaxPool2d)[len(call.shape) - 2]
    return call.add(
        kind, sources=(call.exact(input),), **window_fields(kernel_size, stride, padding, ceil_mode)
    )


_MODULE = as_function(max_pool, "kernel_size", "stride", "padding", "dilation", "ceil_mode")

TORCH = TorchHalf(
    build,
    [MaxPoolAdapter(MaxPool1d), MaxPoolAdapter(MaxPool2d)],
    import_functions={"max_pool1d": max_pool, "max_pool2d": max_pool},
    import_modules={MaxPool1d: _MODULE, MaxPool2d: _MODULE},
)
