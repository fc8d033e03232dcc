"""Parts of values: picks and slices of positions become a `pad` that cuts off, those of features a `slice`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from gromo_graph.spec.kinds import AvgPool1d, AvgPool2d
from gromo_graph.spec.kinds.pad import Pad
from gromo_graph.spec.kinds.slice import Slice
from gromo_graph.translation.blueprint import ModelValue, Unmapped
from gromo_graph.translation.torch_call import TorchCall


def getitem(call: TorchCall, input: Any, index: Any) -> ModelValue:
    """`x[...]` with numbers, slices and None; the batch stays whole."""
    view = call.view(input)
    given = list(index) if isinstance(index, tuple) else [index]
    if not all(each is None or each is Ellipsis or isinstance(each, int | slice) for each in given):
        raise Unmapped("it takes values by a tensor: expected numbers and slices")
    taken = sum(each is not None and each is not Ellipsis for each in given)
    missing = [slice(None)] * (len(view.shape) + 1 - taken)
    if Ellipsis in given:
        place = given.index(Ellipsis)
        given[place : place + 1] = missing
    else:
        given += missing
    batch, *others = [each for each in given if each is not None]
    if batch != slice(None):
        raise Unmapped("it takes some samples of the batch: expected all of them")
    for axis, each in enumerate(others):
        view = _taken(call, view, axis, each)
    is_row = prod(view.own) == view.own[0]  # of a single position it does not matter where the features stand
    return replace(view, shape=call.shape, turned=view.turned and not is_row)


def _taken(call: TorchCall, view: ModelValue, axis: int, which: int | slice) -> ModelValue:
    """A part along one dimension of a sample; a single position keeps its dimension, of size 1."""
    size = view.shape[axis]
    if isinstance(which, int):
        place = which % size
        start, stop, step = place, place + 1, 1
    else:
        start, stop, step = which.indices(size)
    if (start, stop, step) == (0, size, 1):
        return view
    if step < 1 or stop <= start:
        raise Unmapped(f"it takes {which} of {size}: expected one at least, in their order")
    if view.features_last:
        return _of_axis(call, view, (axis + 1) % len(view.shape), start, stop, step)
    node = call.exact(view)
    shape = call.blueprint.shapes[node]
    return _of_axis(call, ModelValue(node, shape, shape), axis, start, stop, step)


def _of_axis(call: TorchCall, view: ModelValue, axis: int, start: int, stop: int, step: int) -> ModelValue:
    """A part along an axis of the node: the first are its features."""
    own = call.blueprint.shapes[view.node]
    if view.turned and len(own) != len(view.shape):
        raise Unmapped(
            f"it takes a part of {list(view.shape)}, which is {list(own)}: expected them as they are"
        )
    if axis == 0:
        if step != 1:
            raise Unmapped(f"it takes features at a distance of {step}: expected neighbours")
        found = call.add(Slice, sources=(view.node,), start=start, stop=stop)
    else:
        found = _cut(call, view.node, axis, start, own[axis] - stop, step)
    new = call.blueprint.shapes[found.node]
    shape = (*new[1:], new[0]) if view.turned else new
    return ModelValue(found.node, new, shape, turned=view.turned)


def _cut(call: TorchCall, node: str, axis: int, before: int, behind: int, step: int) -> ModelValue:
    """Positions are cut off at either end of an axis, and each `step`th of the others is taken."""
    axes = len(call.blueprint.shapes[node]) - 1
    shape = call.blueprint.shapes[node]
    if before or behind:
        sides = (*[0, 0] * (axes - axis), -before, -behind)
        node = call.add(Pad, sources=(node,), padding=sides).node
        shape = call.blueprint.shapes[node]
    if step > 1:
        strides = [step if place == axis - 1 else 1 for place in range(axes)]
        kind = (AvgPool1d, AvgPool2d)[axes - 1]
        stride = strides[0] if axes == 1 else tuple(strides)
        # The mean of one position, at each of these distances, is the position.
        node = call.add(kind, sources=(node,), kernel=1, stride=stride).node
        shape = call.blueprint.shapes[node]
    return ModelValue(node, shape, shape)


def select(call: TorchCall, input: Any, dim: int, index: int) -> ModelValue:
    """`x.select(dim, index)`."""
    return getitem(call, input, _at(call, input, dim, index))


def sliced(
    call: TorchCall, input: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> ModelValue:
    """The operator of `x[start:end:step]`."""
    return getitem(call, input, _at(call, input, dim, slice(start, end, step)))


def narrow(call: TorchCall, input: Any, dim: int, start: int, length: int) -> ModelValue:
    return getitem(call, input, _at(call, input, dim, slice(start, start + length)))


def _at(call: TorchCall, input: Any, dim: int, which: Any) -> tuple[Any, ...]:
    dimensions = len(call.view(input).shape) + 1
    return (*[slice(None)] * (dim % dimensions), which)


def chunk(call: TorchCall, input: Any, chunks: int, dim: int = 0) -> tuple[ModelValue, ...]:
    size = call.view(input).shape[dim % (len(call.view(input).shape) + 1) - 1]
    return split(call, input, -(-size // chunks), dim)


def split(call: TorchCall, input: Any, split_size: Any, dim: int = 0) -> tuple[ModelValue, ...]:
    """Parts of one size, the last of which may be smaller, or of given sizes."""
    view = call.view(input)
    dim %= len(view.shape) + 1
    if dim == 0:
        raise Unmapped("it splits the batch: expected all samples")
    size = view.shape[dim - 1]
    if isinstance(split_size, int):
        lengths: Sequence[int] = [min(split_size, size - at) for at in range(0, size, split_size)]
    else:
        lengths = list(split_size)
    found, start = [], 0
    for length in lengths:
        shape = (*view.shape[: dim - 1], length, *view.shape[dim:])
        part = call.inside_function(shape)
        found.append(narrow(part, view, dim, start, length))
        start += length
    return tuple(found)


def unbind(call: TorchCall, input: Any, dim: int = 0) -> tuple[ModelValue, ...]:
    view = call.view(input)
    dim %= len(view.shape) + 1
    if dim == 0:
        raise Unmapped("it takes the batch apart: expected all samples")
    shape = (*view.shape[: dim - 1], *view.shape[dim:])
    return tuple(
        select(call.inside_function(shape), view, dim, index) for index in range(view.shape[dim - 1])
    )


SLICING: Mapping[str, Callable[..., Any]] = {
    "getitem": getitem,
    "select": select,
    "slice": sliced,
    "narrow": narrow,
    "chunk": chunk,
    **dict.fromkeys(("split", "split_with_sizes"), split),
    "unbind": unbind,
}
"""By the names of functions, methods and operators; some give several values."""
