"""`adaptive_avg_pool1d`, `adaptive_avg_pool2d`: the means of a given number of windows, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.nn import AdaptiveAvgPool1d, AdaptiveAvgPool2d

from gromo_graph.layers.pool import Resampling
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.spec import kinds
from gromo_graph.spec.kinds.adaptive_avg_pool import AdaptivePool
from gromo_graph.translation.blueprint import ModelValue, Unmapped
from gromo_graph.translation.rows import as_function
from gromo_graph.translation.torch_call import TorchCall, same_along_axes

_KINDS = (kinds.AdaptiveAvgPool1d, kinds.AdaptiveAvgPool2d)


def build(node: AdaptivePool, inputs: Sequence[kinds.Shape]) -> AdaptiveAvgPool1d | AdaptiveAvgPool2d:
    """The torch module of the node."""
    return (AdaptiveAvgPool1d, AdaptiveAvgPool2d)[node.dimensions - 1](node.size)


def adaptive_avg_pool(call: TorchCall, input: Any, output_size: Any) -> ModelValue:
    """Over one or two axes, with as many windows along each."""
    size = same_along_axes(call.shape[1:] if output_size is None else output_size, "output size")
    return call.add(_KINDS[len(call.shape) - 2], sources=(call.exact(input),), size=size)


def mean(
    call: TorchCall, input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> ModelValue:
    """The mean over all positions is a pool of size 1."""
    view = call.view(input)
    dims = {place % (len(view.shape) + 1) for place in ([dim] if isinstance(dim, int) else dim or ())}
    positions = set(range(1, len(view.shape)) if view.features_last else range(2, len(view.shape) + 1))
    channels_first = not view.turned and view.own[:1] == view.shape[:1]
    if not positions or dims != positions or not (channels_first or view.features_last) or dtype is not None:
        raise Unmapped(
            f"it takes the mean over {dim!r} of {list(view.shape)}: expected all positions of each channel"
        )
    pooled = call.add(_KINDS[len(view.own) - 2], sources=(view.node,), size=1)
    return ModelValue(pooled.node, pooled.own, call.shape)


_MODULE = as_function(adaptive_avg_pool, "output_size")

TORCH = TorchHalf(
    build,
    [Resampling(AdaptiveAvgPool1d), Resampling(AdaptiveAvgPool2d)],
    import_functions={
        "adaptive_avg_pool1d": adaptive_avg_pool,
        "adaptive_avg_pool2d": adaptive_avg_pool,
        "mean": mean,
    },
    import_modules={AdaptiveAvgPool1d: _MODULE, AdaptiveAvgPool2d: _MODULE},
)
