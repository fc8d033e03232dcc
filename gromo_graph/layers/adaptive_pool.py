"""The torch half of adaptive pools: a given number of windows, or all positions, channel by channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from gromo_graph.layers.torch_half import Adapter, TorchHalf
from gromo_graph.plain_torch.blueprint import Misread, ModelValue
from gromo_graph.plain_torch.rows import FunctionRow, as_function
from gromo_graph.plain_torch.torch_call import TorchCall, per_axis
from gromo_graph.spec.kinds.adaptive_pool import AdaptivePool
from gromo_graph.spec.kinds.base import Shape


def adaptive_half(
    of_axes: Sequence[type[AdaptivePool]],
    modules: Sequence[type[torch.nn.Module]],
    adapter: Callable[[type[Any]], Adapter],
    *,
    whole: str,
    taken: str,
) -> TorchHalf:
    """The torch half of adaptive pools over one and two axes.

    Args:
        of_axes, modules: the kinds and torch's classes, in the order of the number of axes.
        adapter: makes the adapter of such a class.
        whole, taken: torch's function that does the same over all positions, and what it takes, for messages.
    """

    def build(node: AdaptivePool, inputs: Sequence[Shape]) -> torch.nn.Module:
        return modules[node.dimensions - 1](node.size)

    function = adaptive(of_axes)
    rows = {kind.model_fields["kind"].default: function for kind in of_axes}
    return TorchHalf(
        build,
        [adapter(module) for module in modules],
        import_functions={**rows, whole: over_positions(of_axes, taken)},
        import_modules=dict.fromkeys(modules, as_function(function, "output_size")),
    )


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
        of_axes: the kinds, in the order of the number of axes. what: the values it takes, for messages.
    """

    def read(
        call: TorchCall, input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None
    ) -> ModelValue:
        view = call.view(input)
        dims = {place % (len(view.shape) + 1) for place in ([dim] if isinstance(dim, int) else dim or ())}
        if dims == {1} and len(view.shape) == 2 and not view.features_last:
            view = call.by_features(view)
        positions = set(range(1, len(view.shape)) if view.features_last else range(2, len(view.shape) + 1))
        channels_first = not view.turned and view.own[:1] == view.shape[:1]
        if (
            not positions
            or dims != positions
            or not (channels_first or view.features_last)
            or dtype is not None
        ):
            raise Misread(
                f"it takes the {what} over {dim!r} of {list(view.shape)}: expected all positions of each channel"
            )
        pooled = call.add(of_axes[len(view.own) - 2], sources=(view.node,), size=1)
        return ModelValue(pooled.node, pooled.own, call.shape)

    return read
