"""`adaptive_avg_pool1d` and so on: the mean, or the largest value, of a given number of windows, channel by channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveMaxPool1d, AdaptiveMaxPool2d, functional

from gromo_graph.layers.pool import Resampling
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.spec import kinds
from gromo_graph.spec.kinds import adaptive_pool
from gromo_graph.translation.blueprint import ModelValue, Unmapped
from gromo_graph.translation.rows import FunctionRow, as_function
from gromo_graph.translation.torch_call import TorchCall, per_axis

_MEANS = (adaptive_pool.AdaptiveAvgPool1d, adaptive_pool.AdaptiveAvgPool2d)
_LARGEST = (adaptive_pool.AdaptiveMaxPool1d, adaptive_pool.AdaptiveMaxPool2d)
_MODULES: Mapping[type[kinds.Node], type[torch.nn.Module]] = {
    _MEANS[0]: AdaptiveAvgPool1d,
    _MEANS[1]: AdaptiveAvgPool2d,
    _LARGEST[0]: AdaptiveMaxPool1d,
    _LARGEST[1]: AdaptiveMaxPool2d,
}


def build(node: adaptive_pool.AdaptivePool, inputs: Sequence[kinds.Shape]) -> torch.nn.Module:
    """The torch module of the node."""
    return _MODULES[type(node)](node.size)


P = TypeVar("P", AdaptiveMaxPool1d, AdaptiveMaxPool2d)


class AdaptiveMaxPoolAdapter(Resampling[P]):
    """As a max pool: exact at first order as it is, in the statistics its mean."""

    bends = True

    def average(self, operation: P, maps: Tensor) -> Tensor:
        mean: Callable[..., Tensor] = (
            functional.adaptive_avg_pool1d if maps.dim() == 3 else functional.adaptive_avg_pool2d
        )
        return mean(maps, operation.output_size)


def adaptive(of_axes: Sequence[type[adaptive_pool.AdaptivePool]]) -> FunctionRow:
    """The row of an adaptive pool over one or two axes."""

    def read(call: TorchCall, input: Any, output_size: Any, return_indices: bool = False) -> ModelValue:
        size = call.shape[1:] if output_size is None or None in _listed(output_size) else output_size
        return call.add(of_axes[len(call.shape) - 2], sources=(call.exact(input),), size=per_axis(size))

    return read


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple | list) else (value,)


def over_positions(of_axes: Sequence[type[adaptive_pool.AdaptivePool]], what: str) -> FunctionRow:
    """The row of a function that takes something over all positions, which is a pool of size 1.

    Args:
        what: it takes, for messages.
    """

    def read(
        call: TorchCall, input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None
    ) -> ModelValue:
        view = call.view(input)
        dims = {place % (len(view.shape) + 1) for place in ([dim] if isinstance(dim, int) else dim or ())}
        positions = set(range(1, len(view.shape)) if view.features_last else range(2, len(view.shape) + 1))
        channels_first = not view.turned and view.own[:1] == view.shape[:1]
        if (
            not positions
            or dims != positions
            or not (channels_first or view.features_last)
            or dtype is not None
        ):
            raise Unmapped(
                f"it takes the {what} over {dim!r} of {list(view.shape)}: expected all positions of each channel"
            )
        pooled = call.add(of_axes[len(view.own) - 2], sources=(view.node,), size=1)
        return ModelValue(pooled.node, pooled.own, call.shape)

    return read


_MEAN, _MAX = adaptive(_MEANS), adaptive(_LARGEST)

TORCH = TorchHalf(
    build,
    [
        Resampling(AdaptiveAvgPool1d),
        Resampling(AdaptiveAvgPool2d),
        AdaptiveMaxPoolAdapter(AdaptiveMaxPool1d),
        AdaptiveMaxPoolAdapter(AdaptiveMaxPool2d),
    ],
    import_functions={
        **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d"), _MEAN),
        **dict.fromkeys(("adaptive_max_pool1d", "adaptive_max_pool2d"), _MAX),
        "mean": over_positions(_MEANS, "mean"),
        "amax": over_positions(_LARGEST, "largest value"),
    },
    import_modules={
        **dict.fromkeys((AdaptiveAvgPool1d, AdaptiveAvgPool2d), as_function(_MEAN, "output_size")),
        **dict.fromkeys((AdaptiveMaxPool1d, AdaptiveMaxPool2d), as_function(_MAX, "output_size")),
    },
)
