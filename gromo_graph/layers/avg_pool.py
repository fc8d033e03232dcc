"""`avg_pool1d`, `avg_pool2d`: the mean of each window, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from torch.nn import AvgPool1d, AvgPool2d

from gromo_graph.layers.operation import Channels, refuse_moving_rest
from gromo_graph.layers.pool import Resampling, along_axes, window_fields
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.rows import as_function
from gromo_graph.plain_torch.torch_call import TorchCall
from gromo_graph.spec import kinds
from gromo_graph.spec.kinds.avg_pool import AvgPool


def build(node: AvgPool, inputs: Sequence[kinds.Shape]) -> AvgPool1d | AvgPool2d:
    """The torch module of the node."""
    kind: Any = (AvgPool1d, AvgPool2d)[node.dimensions - 1]
    module: AvgPool1d | AvgPool2d = kind(
        node.kernel,
        stride=node.stride or node.kernel,
        padding=node.padding,
        ceil_mode=node.ceil_mode,
        count_include_pad=node.count_include_pad,
    )
    return module


P = TypeVar("P", AvgPool1d, AvgPool2d)


class AvgPoolAdapter(Resampling[P]):
    """Linear; zeros of the padding count, which moves the mean of a channel that does not rest at 0."""

    def tangent(self, operation: P, channels: Channels) -> Channels:
        if any(along_axes(operation.padding)) and operation.count_include_pad:
            refuse_moving_rest(operation, channels.resting)
        return Channels(operation(channels.values), channels.resting)


def avg_pool(
    call: TorchCall,
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: Any = None,
) -> ModelValue:
    """Over one or two axes."""
    window = window_fields(kernel_size, stride, padding, ceil_mode)
    if divisor_override is not None:
        raise Unmapped(f"it divides by {divisor_override}: expected the number of positions")
    kind = (kinds.AvgPool1d, kinds.AvgPool2d)[len(call.shape) - 2]
    return call.add(kind, sources=(call.exact(input),), count_include_pad=count_include_pad, **window)


_ATTRIBUTES = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")

TORCH = TorchHalf(
    build,
    [AvgPoolAdapter(AvgPool1d), AvgPoolAdapter(AvgPool2d)],
    import_functions={"avg_pool1d": avg_pool, "avg_pool2d": avg_pool},
    import_modules={
        AvgPool1d: as_function(avg_pool, *_ATTRIBUTES),
        AvgPool2d: as_function(avg_pool, *_ATTRIBUTES, "divisor_override"),
    },
)
