"""Models that have features behind positions, as transformers do: reordered dimensions are another view of a node.

A view says in which order the model reads the values of a node, so that no numbers are moved. Only if a node must
have positions for its features do `Blueprint.exact` and `Blueprint.by_features` add a `transpose`. Rows of functions
that give (n, length, features) in torch, as embedding and attention, give `TorchCall.behind_positions` of their node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gromo_graph.plain_torch.arrangement import permuted, settled
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.torch_call import TorchCall


def transpose(call: TorchCall, input: Any, dim0: int, dim1: int) -> ModelValue:
    order = list(range(len(call.shape) + 1))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return _permuted(call, input, order)


def permute(call: TorchCall, input: Any, *dims: Any) -> ModelValue:
    given = dims[0] if len(dims) == 1 else dims
    return _permuted(call, input, [dim % (len(call.shape) + 1) for dim in given])


def movedim(call: TorchCall, input: Any, source: Any, destination: Any) -> ModelValue:
    if not isinstance(source, int) or not isinstance(destination, int):
        raise Unmapped("it moves several dimensions: expected one, or permute")
    dimensions = len(call.shape) + 1
    order = [dim for dim in range(dimensions) if dim != source % dimensions]
    order.insert(destination % dimensions, source % dimensions)
    return _permuted(call, input, order)


def turned(call: TorchCall, input: Any) -> ModelValue:
    """`x.mT`, as torch.export leaves it."""
    return transpose(call, input, -1, -2)


def attribute(call: TorchCall, input: Any, name: str) -> ModelValue:
    """`x.mT`; sizes and the like have been worked out."""
    if name not in ("mT", "mH"):
        raise Unmapped(f"it takes `.{name}` of a value: expected transpose, permute or mT")
    return turned(call, input)


def _permuted(call: TorchCall, value: Any, order: Sequence[int]) -> ModelValue:
    return settled(permuted(call.arranged(value), order))


ORDERS: Mapping[str, Callable[..., ModelValue]] = {
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), transpose),
    "permute": permute,
    **dict.fromkeys(("movedim", "moveaxis"), movedim),
    **dict.fromkeys(("mT", "mH"), turned),
    "getattr": attribute,
}
"""By the names of methods, functions and operators; all may give the same memory."""
