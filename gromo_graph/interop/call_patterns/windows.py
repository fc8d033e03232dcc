"""Windows of positions, as the dimensions of a value and the mask of its attention say.

A model cuts each axis of an image into windows and positions of one, and brings the numbers of the windows to the
front, as further samples. Swin rolls the image before, and hides positions from each other between which an edge was.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from gromo_graph.layers.windows import Windows
from gromo_graph.plain_torch.arrangement import FEATURES, Arranged, Dim, Dims, Factor, joined, size_of
from gromo_graph.plain_torch.blueprint import Unmapped
from gromo_graph.plain_torch.torch_call import per_axis
from gromo_graph.spec.kinds import Shape

_HIDDEN = -100.0
"""A value added to the products of positions that do not see each other; with it or less, the softmax gives 0."""


def windows_of(side: Arranged) -> Windows | None:
    """The windows whose positions are the last dimension but one, and whose numbers stand in front.

    A window of all positions is one too; None if these are not windows of one sort, with their positions in order.
    """
    sizes, found = side.own[1:], side.dims[-2]
    window = tuple(
        size_of([factor for factor in found if factor.axis == axis]) for axis in range(1, len(side.own))
    )
    in_front = {factor for dim in side.dims[:-2] for factor in dim}
    for spread in (False, True):
        numbers, places = _factors(sizes, window, spread=spread)
        if places == found and in_front.issuperset(numbers):
            return Windows(sizes, window, spread)
    return None


def _factors(sizes: Shape, window: Shape, *, spread: bool) -> tuple[Dim, Dim]:
    """The numbers of windows along each axis, and the places in one."""
    numbers, places = [], []
    for axis, (size, part) in enumerate(zip(sizes, window, strict=True), start=1):
        count = size // part
        numbers.append(Factor(axis, count, 1 if spread else part))
        places.append(Factor(axis, part, count if spread else 1))
    return joined(numbers), joined(places)


def common_windows(sides: Sequence[Arranged]) -> Windows:
    """The windows of query, key and value.

    Raises:
        Unmapped: they are different ones.
    """
    query, *others = (windows_of(side) for side in sides)
    assert query is not None
    alike = all(other == query for other in others)
    if not alike and any(other is None or other.count > 1 for other in (query, *others)):
        raise Unmapped(
            "its queries, keys and values are in different windows: expected the same for all three"
        )
    return query


def in_words(windows: Windows, rolled: Shape) -> dict[str, Any]:
    """The options of an attention in windows."""
    if windows.window == windows.sizes and not rolled:
        return {}
    name = "grid" if windows.spread else "window"
    return {name: per_axis(windows.window), "rolled": per_axis(rolled or (0,))}


def shifts_of(query: Arranged, mask: Tensor) -> Shape | None:
    """The shifts of windows of which a mask (..., i, j) keeps those positions apart that came around an edge."""
    windows = windows_of(query)
    if windows is None or windows.count == 1 or windows.spread or mask.dtype is torch.bool:
        return None
    mask = mask.cpu()
    hidden = mask <= _HIDDEN
    if bool((~hidden & (mask != 0)).any()):
        return None
    choices = [sorted(range(part), key=lambda shift: shift != part // 2) for part in windows.window]
    for shifts in filter(any, product(*choices)):
        expected = _different_sides(query, shifts)
        shape = torch.broadcast_shapes(expected.shape, hidden.shape)
        if torch.equal(expected.expand(shape), hidden.expand(shape)):
            return shifts
    return None


def _different_sides(query: Arranged, shifts: Shape) -> Tensor:
    """(..., i, j), true for positions on different sides of an edge; of size 1 for samples and heads."""
    side = torch.zeros((), dtype=torch.long)
    for axis, (size, shift) in enumerate(zip(query.own[1:], shifts, strict=True), start=1):
        side = 2 * side + (_places(query.dims[:-1], axis) >= size - shift).long()
    return side[..., :, None] != side[..., None, :]


def _places(dims: Dims, axis: int) -> Tensor:
    """Places along an axis of positions, by dimensions, of which those without positions have a size of 1."""
    found = torch.zeros((), dtype=torch.long)
    for dim in dims:
        along_dim = torch.zeros(1, dtype=torch.long)
        for factor in dim if any(each.axis > FEATURES for each in dim) else ():
            steps = torch.arange(factor.size) * (factor.step if factor.axis == axis else 0)
            along_dim = (along_dim[:, None] + steps).flatten()
        found = found[..., None] + along_dim
    return found
