"""The rows of adaptive pools: a given number of windows, or all positions, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gromo_graph.spec.kinds.adaptive_pool import AdaptivePool
from gromo_graph.translation.blueprint import ModelValue, Unmapped
from gromo_graph.translation.rows import FunctionRow
from gromo_graph.translation.torch_call import TorchCall, per_axis


def adaptive(of_axes: Sequence[type[AdaptivePool]]) -> FunctionRow:
    """The row of an adaptive pool over one or two axes."""

    def read(call: TorchCall, input: Any, output_size: Any, return_indices: bool = False) -> ModelValue:
        size = call.shape[1:] if output_size is None or None in _listed(output_size) else output_size
        return call.add(of_axes[len(call.shape) - 2], sources=(call.exact(input),), size=per_axis(size))

    return read


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple | list) else (value,)


def over_positions(of_axes: Sequence[type[AdaptivePool]], what: str) -> FunctionRow:
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
