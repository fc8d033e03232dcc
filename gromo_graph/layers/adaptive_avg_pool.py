"""`adaptive_avg_pool1d`, `adaptive_avg_pool2d`: the means of a given number of windows, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence

from torch.nn import AdaptiveAvgPool1d, AdaptiveAvgPool2d

from gromo_graph.layers.adaptive_pool import adaptive, over_positions
from gromo_graph.layers.pool import Resampling
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.spec import kinds
from gromo_graph.spec.kinds.adaptive_pool import AdaptivePool
from gromo_graph.translation.rows import as_function

_KINDS = (kinds.AdaptiveAvgPool1d, kinds.AdaptiveAvgPool2d)


def build(node: AdaptivePool, inputs: Sequence[kinds.Shape]) -> AdaptiveAvgPool1d | AdaptiveAvgPool2d:
    """The torch module of the node."""
    return (AdaptiveAvgPool1d, AdaptiveAvgPool2d)[node.dimensions - 1](node.size)


_FUNCTION = adaptive(_KINDS)
_MODULE = as_function(_FUNCTION, "output_size")

TORCH = TorchHalf(
    build,
    [Resampling(AdaptiveAvgPool1d), Resampling(AdaptiveAvgPool2d)],
    import_functions={
        "adaptive_avg_pool1d": _FUNCTION,
        "adaptive_avg_pool2d": _FUNCTION,
        "mean": over_positions(_KINDS, "mean"),
    },
    import_modules={AdaptiveAvgPool1d: _MODULE, AdaptiveAvgPool2d: _MODULE},
)
