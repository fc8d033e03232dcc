"""`adaptive_max_pool1d`, `adaptive_max_pool2d`: the largest value of a given number of windows, channel by channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from torch import Tensor
from torch.nn import AdaptiveMaxPool1d, AdaptiveMaxPool2d, functional

from gromo_graph.layers.adaptive_pool import adaptive_half
from gromo_graph.layers.pool import Resampling
from gromo_graph.plain_torch.blueprint import Unmapped
from gromo_graph.plain_torch.torch_call import Absent, TorchCall
from gromo_graph.spec.kinds import adaptive_max_pool as kind

P = TypeVar("P", AdaptiveMaxPool1d, AdaptiveMaxPool2d)


class AdaptiveMaxPoolAdapter(Resampling[P]):
    """Like a max pool: exact at first order, replaced by its mean in the statistics."""

    bends = True

    def average(self, operation: P, maps: Tensor) -> Tensor:
        mean: Callable[..., Tensor] = (
            functional.adaptive_avg_pool1d if maps.dim() == 3 else functional.adaptive_avg_pool2d
        )
        return mean(maps, operation.output_size)


_HALF = adaptive_half(
    (kind.AdaptiveMaxPool1d, kind.AdaptiveMaxPool2d),
    (AdaptiveMaxPool1d, AdaptiveMaxPool2d),
    AdaptiveMaxPoolAdapter,
    whole="amax",
    taken="largest value",
)


def largest(call: TorchCall, input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """`x.max(dim)`, which gives the values and their places."""
    if not isinstance(dim, int):
        raise Unmapped(
            "it takes the largest of all values, or of two tensors: expected a dimension, or `amax`"
        )
    values = _HALF.import_functions["amax"](call, input, dim, keepdim)
    return values, Absent("the places of the largest values")


TORCH = replace(_HALF, import_functions={**_HALF.import_functions, "max": largest})
