"""Parts of values: picks and slices of positions become a `pad` that cuts off, those of features a `slice`, or an
`index_select` of their numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from gromo_graph.plain_torch.arrangement import (
    BATCH,
    FEATURES,
    Arranged,
    Factor,
    factors_of,
    settled,
    size_of,
    turned_to_front,
)
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.torch_call import TorchCall
from gromo_graph.spec.kinds import AvgPool1d, AvgPool2d
from gromo_graph.spec.kinds.index_select import IndexSelect
from gromo_graph.spec.kinds.pad import Pad
from gromo_graph.spec.kinds.slice import Slice


def getitem(call: TorchCall, input: Any, index: Any) -> ModelValue:
    """`x[...]` with numbers, slices and None; the batch stays whole."""
    value = call.arranged(input)
    given = _for_each_dim(index if isinstance(index, tuple) else (index,), len(value.dims))
    for dim, each in enumerate(each for each in given if each is not None):
        value = _taken(call, value, dim, each)
    at = iter(value.dims)
    dims = [() if each is None else next(at) for each in given]
    return settled(
        value.with_dims(dim for dim, each in zip(dims, given, strict=True) if not isinstance(each, int))
    )


def _for_each_dim(index: Sequence[Any], dims: int) -> list[int | slice | list[int] | None]:
    """An index with a slice for each dimension that it leaves out, `...` too.

    Raises:
        Unmapped: there is something else in it than numbers, slices and None.
    """
    given = [_as_slice(each) for each in index]
    if not all(each is None or each is Ellipsis or isinstance(each, int | slice | list) for each in given):
        raise Unmapped("it takes values by a tensor: expected numbers and slices")
    place = given.index(Ellipsis) if Ellipsis in given else len(given)
    missing = [slice(None)] * (dims - sum(isinstance(each, int | slice | list) for each in given))
    return [*given[:place], *missing, *given[place + 1 :]]


def _as_slice(index: Any) -> Any:
    """`[-1]` keeps its dimension, as `-1:` does."""
    if isinstance(index, list) and len(index) == 1 and isinstance(index[0], int):
        return slice(index[0], index[0] + 1 or None)
    return index


def _taken(call: TorchCall, value: Arranged, dim: int, which: int | slice | list[int]) -> Arranged:
    """A part along one dimension; a single place keeps its dimension, of size 1."""
    size = value.sizes[dim]
    if isinstance(which, list):
        return _numbered(call, value, dim, which)
    if isinstance(which, int):
        place = which % size
        start, stop, step = place, place + 1, 1
    else:
        start, stop, step = which.indices(size)
    if (start, stop, step) == (0, size, 1):
        return value
    if any(factor.axis == BATCH for factor in value.dims[dim]):
        raise Unmapped("it takes some samples of the batch: expected all of them")
    if step < 1 or stop <= start:
        raise Unmapped(f"it takes {which} of {size}: expected one at least, in their order")
    if len(value.dims[dim]) != 1 and all(factor.axis == FEATURES for factor in value.dims[dim]):
        value = call.in_turns(
            value, value.dims[dim]
        )  # features that were shuffled: the part is one of them in turns
    if len(value.dims[dim]) != 1:
        raise Unmapped(
            f"it takes a part of dimension {dim} of {list(value.sizes)}, which is several of "
            f"{list(value.own)}: expected a part of one of them"
        )
    (factor,) = value.dims[dim]
    if factor.axis == FEATURES:
        return _features(call, value, factor, range(start, stop, step))
    return _positions(call, value, factor, range(start, stop, step))


def _features(call: TorchCall, value: Arranged, factor: Factor, taken: range) -> Arranged:
    """Neighbours along a factor of the features, which is brought to their front for that."""
    if taken.step != 1:
        raise Unmapped(f"it takes features at a distance of {taken.step}: expected neighbours")
    inside = factors_of(value, FEATURES)
    before = inside[: inside.index(factor)]
    if before:
        value, factor = turned_to_front(value, call.blueprint.shuffled(value.node, size_of(before)), factor)
    start, stop = taken.start * factor.step, taken.stop * factor.step
    node = call.add(Slice, sources=(value.node,), start=start, stop=stop).node
    return value.of(node, call.blueprint.shapes[node], {factor: replace(factor, size=len(taken))})


def _numbered(call: TorchCall, value: Arranged, dim: int, index: list[int]) -> Arranged:
    """Features by their numbers."""
    numbers = [number % value.sizes[dim] for number in index if isinstance(number, int)]
    inside = factors_of(value, FEATURES)
    if value.dims[dim] != tuple(inside) or len(inside) != 1 or len(set(numbers)) < len(index):
        raise Unmapped(f"it takes {index} of dimension {dim}: expected features, each once")
    node = call.add(IndexSelect, sources=(value.node,), index=tuple(numbers)).node
    (factor,) = inside
    return value.of(node, call.blueprint.shapes[node], {factor: replace(factor, size=len(numbers))})


def _positions(call: TorchCall, value: Arranged, factor: Factor, taken: range) -> Arranged:
    """Neighbours along the outermost factor of an axis, those at a distance of a whole one, or one of the innermost."""
    size, own = factor.size * factor.step, value.own[factor.axis]
    rest = {other: other for other in factors_of(value, factor.axis)}
    if size == own and (factor.step == 1 or taken.step == 1):
        first, last, step = taken.start * factor.step, taken.stop * factor.step, taken.step
        rest[factor] = replace(factor, size=len(taken))
    elif factor.step == 1 and len(taken) == 1:
        first, last, step = taken.start, own - factor.size + taken.start + 1, factor.size
        rest = {other: replace(other, step=other.step // factor.size) for other in rest}
        rest[factor] = replace(factor, size=1)
    else:
        raise Unmapped(
            f"it takes a part of {list(value.sizes)} inside positions: expected neighbours of all of them"
        )
    node = _cut(call, value.node, factor.axis, first, own - last, step)
    return value.of(node, call.blueprint.shapes[node], rest)


def _cut(call: TorchCall, node: str, axis: int, before: int, behind: int, step: int) -> str:
    """Positions are cut off at either end of an axis, and each `step`th of the others is taken."""
    shape = call.blueprint.shapes[node]
    axes = len(shape) - 1
    if before or behind:
        sides = (*[0, 0] * (axes - axis), -before, -behind)
        node = call.add(Pad, sources=(node,), padding=sides).node
    if step > 1:
        strides = [step if place == axis - 1 else 1 for place in range(axes)]
        kind = (AvgPool1d, AvgPool2d)[axes - 1]
        stride = strides[0] if axes == 1 else tuple(strides)
        # The mean of one position, at each of these distances, is the position.
        node = call.add(kind, sources=(node,), kernel=1, stride=stride).node
    return node


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
    return (*[slice(None)] * (dim % len(call.arranged(input).dims)), which)


def chunk(call: TorchCall, input: Any, chunks: int, dim: int = 0) -> tuple[ModelValue, ...]:
    return split(call, input, -(-call.arranged(input).sizes[dim] // chunks), dim)


def split(call: TorchCall, input: Any, split_size: Any, dim: int = 0) -> tuple[ModelValue, ...]:
    """Parts of one size, the last of which may be smaller, or of given sizes."""
    size = call.arranged(input).sizes[dim]
    if isinstance(split_size, int):
        lengths: Sequence[int] = [min(split_size, size - at) for at in range(0, size, split_size)]
    else:
        lengths = list(split_size)
    ends = list(accumulate(lengths))
    return tuple(
        narrow(call, input, dim, end - length, length) for end, length in zip(ends, lengths, strict=True)
    )


def unbind(call: TorchCall, input: Any, dim: int = 0) -> tuple[ModelValue, ...]:
    return tuple(select(call, input, dim, index) for index in range(call.arranged(input).sizes[dim]))


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
