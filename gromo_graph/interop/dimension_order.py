"""Models that have features behind positions, as transformers do: reordered dimensions are another view of a node.

A view says in which order the model reads the values of a node, so that no numbers are moved. Only if a node must
have positions for its features do `Blueprint.exact` and `Blueprint.by_features` add a `transpose`. Rows of functions
that give (n, length, features) in torch, as embedding and attention, give `TorchCall.behind_positions` of their node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gromo_graph.spec.kinds.channel_shuffle import ChannelShuffle
from gromo_graph.translation.blueprint import ModelValue, Unmapped
from gromo_graph.translation.torch_call import TorchCall


def transpose(call: TorchCall, input: Any, dim0: int, dim1: int) -> ModelValue:
    order = list(range(len(call.shape) + 1))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return _permuted(call, call.view(input), order)


def permute(call: TorchCall, input: Any, *dims: Any) -> ModelValue:
    given = dims[0] if len(dims) == 1 else dims
    return _permuted(call, call.view(input), [dim % (len(call.shape) + 1) for dim in given])


def movedim(call: TorchCall, input: Any, source: Any, destination: Any) -> ModelValue:
    if not isinstance(source, int) or not isinstance(destination, int):
        raise Unmapped("it moves several dimensions: expected one, or permute")
    dimensions = len(call.shape) + 1
    order = [dim for dim in range(dimensions) if dim != source % dimensions]
    order.insert(destination % dimensions, source % dimensions)
    return _permuted(call, call.view(input), order)


def turned(call: TorchCall, input: Any) -> ModelValue:
    """`x.mT`, as torch.export leaves it."""
    return transpose(call, input, -1, -2)


def attribute(call: TorchCall, input: Any, name: str) -> ModelValue:
    """`x.mT`; sizes and the like have been worked out."""
    if name not in ("mT", "mH"):
        raise Unmapped(f"it takes `.{name}` of a value: expected transpose, permute or mT")
    return turned(call, input)


def _permuted(call: TorchCall, view: ModelValue, order: Sequence[int]) -> ModelValue:
    """Features go to the end or come back, and positions stay in order; no numbers are moved for that."""
    if order[0] != 0:
        raise Unmapped("it moves the batch: expected it to stay the first dimension")
    axes = [dim - 1 for dim in order[1:]]
    places = list(range(len(axes)))
    if view.features_last and axes == [*places[-1:], *places[:-1]]:
        return replace(view, shape=call.shape, turned=False)
    channels_first = not view.turned and len(view.own) > 1 and view.own[:1] == view.shape[:1]
    if channels_first and axes == [*places[1:], 0]:
        return replace(view, shape=call.shape, turned=True)
    telling = [axis for axis in axes if view.shape[axis] != 1]
    if telling == sorted(telling):
        return replace(view, shape=call.shape)
    is_shuffle = axes[:2] == [1, 0] and axes[2:] == places[2:] and view.shape[2:] == view.own[1:]
    if is_shuffle and not view.turned and view.shape[0] * view.shape[1] == view.own[0]:
        shuffled = call.add(ChannelShuffle, sources=(view.node,), groups=view.shape[0])
        return replace(view, node=shuffled.node, shape=call.shape)
    if len(axes) != 2:
        raise Unmapped(
            f"it brings {list(view.shape)} into the order {[axis + 1 for axis in axes]}: expected the features to go "
            "behind all positions, or back to the front"
        )
    node = call.exact(view)
    return ModelValue(node, call.blueprint.shapes[node], call.shape, turned=True)


ORDERS: Mapping[str, Callable[..., ModelValue]] = {
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), transpose),
    "permute": permute,
    **dict.fromkeys(("movedim", "moveaxis"), movedim),
    **dict.fromkeys(("mT", "mH"), turned),
    "getattr": attribute,
}
"""By the names of methods, functions and operators; all may give the same memory."""
