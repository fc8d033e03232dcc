"""`adaptive_max_pool1d`, `adaptive_max_pool2d`: the largest value of a given number of windows, channel by channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor
from torch.nn import AdaptiveMaxPool1d, AdaptiveMaxPool2d, functional

from gromo_graph.layers.adaptive_pool import adaptive, over_positions
from gromo_graph.layers.pool import Resampling
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.spec import kinds
from gromo_graph.spec.kinds import adaptive_max_pool as kind
from gromo_graph.spec.kinds.adaptive_pool import AdaptivePool
from gromo_graph.translation.rows import as_function

_KINDS = (kind.AdaptiveMaxPool1d, kind.AdaptiveMaxPool2d)


def build(node: AdaptivePool, inputs: Sequence[kinds.Shape]) -> AdaptiveMaxPool1d | AdaptiveMaxPool2d:
    """The torch module of the node."""
    return (AdaptiveMaxPool1d, AdaptiveMaxPool2d)[node.dimensions - 1](node.size)


P = TypeVar("P", AdaptiveMaxPool1d, AdaptiveMaxPool2d)


class AdaptiveMaxPoolAdapter(Resampling[P]):
    """As a max pool: exact at first order as it is, in the statistics its mean."""

    bends = True

    def average(self, operation: P, maps: Tensor) -> Tensor:
        mean: Callable[..., Tensor] = (
            functional.adaptive_avg_pool1d if maps.dim() == 3 else functional.adaptive_avg_pool2d
        )
        return mean(maps, operation.output_size)


_FUNCTION = adaptive(_KINDS)
_MODULE = as_function(_FUNCTION, "output_size")

TORCH = TorchHalf(
    build,
    [AdaptiveMaxPoolAdapter(AdaptiveMaxPool1d), AdaptiveMaxPoolAdapter(AdaptiveMaxPool2d)],
    import_functions={
        "adaptive_max_pool1d": _FUNCTION,
        "adaptive_max_pool2d": _FUNCTION,
        "amax": over_positions(_KINDS, "largest value"),
    },
    import_modules={AdaptiveMaxPool1d: _MODULE, AdaptiveMaxPool2d: _MODULE},
)
