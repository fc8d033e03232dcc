"""Σ u vᵀ over the positions of two images, all products of one distance at once.

The product of a pixel that u reads with one that v reads depends, up to the borders, only on how far the two are
apart. So all products of one distance are summed together: the table of them is the gradient of a convolution's weight,
which every device has a fast kernel for. What the table counts too much (positions outside the grid, or of another
weight) is a thin set at the border and taken back row by row. For a
3×3 kernel 13 products of C×C remain (docs/maths.md, "Convolutions").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import gcd

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.grad import conv2d_weight

from gromo_graph.algebra.chosen_positions import View, row_by_row
from gromo_graph.algebra.patches import Patches


def by_distance(left: Patches, image: Tensor, views: Sequence[View]) -> list[Tensor]:
    axes = [_distances(left, views, axis) for axis in (0, 1)]
    table = _table(left, image, axes)
    found = []
    for view in views:
        block, weight = _expanded(table, left, view, axes), _main_weight(left, image, view)
        if weight != 1.0:
            block *= weight
        _take_back(block, left, image, view)
        found.append(block)
    return found


@dataclass(frozen=True)
class _Distances:
    """Distances low, low + step, ..., along one axis."""

    low: int
    step: int
    count: int


def _distances(left: Patches, views: Sequence[View], axis: int) -> _Distances:
    stride = left.stride[axis]
    found = {a - stride * b for view in views for a in left.offsets[axis] for b in view.offsets[axis]}
    low, high = min(found), max(found)
    step = gcd(*(distance - low for distance in found)) or 1
    return _Distances(low, step, (high - low) // step + 1)


def _table(left: Patches, image: Tensor, axes: Sequence[_Distances]) -> Tensor:
    """Σ_r x(stride · r + distance) y(r)ᵀ for all distances, (channels of y, channels of x, distances, distances)."""
    padded = left.image
    for axis in (0, 1):
        reach = left.stride[axis] * (image.shape[2 + axis] - 1) + axes[axis].step * (axes[axis].count - 1) + 1
        padded = _window(padded, 2 + axis, axes[axis].low, reach)
    if tuple(image.shape[2:]) == (1, 1):
        sampled = padded[:, :, :: axes[0].step, :: axes[1].step]
        return torch.einsum("ny,nxij->yxij", image[:, :, 0, 0], sampled)
    shape = (image.shape[1], left.image.shape[1], axes[0].count, axes[1].count)
    table: Tensor = conv2d_weight(
        padded, shape, image, stride=left.stride, dilation=tuple(axis.step for axis in axes)
    )
    return table


def _window(values: Tensor, axis: int, start: int, length: int) -> Tensor:
    """Positions start, start + 1, ... of an axis, zeros if there is nothing."""
    before, after = max(0, -start), max(0, start + length - values.shape[axis])
    values = pad(values, (*(0, 0) * (values.dim() - 1 - axis), before, after))
    return values.narrow(axis, start + before, length)


def _expanded(table: Tensor, left: Patches, view: View, axes: Sequence[_Distances]) -> Tensor:
    """The entry of each pair of offsets, (channels, offsets, offsets, other channels, offsets, offsets)."""
    places = [
        torch.tensor(
            [
                [(a - left.stride[axis] * b - axes[axis].low) // axes[axis].step for b in view.offsets[axis]]
                for a in left.offsets[axis]
            ]
        )
        for axis in (0, 1)
    ]
    pairs = places[0][:, None, :, None] * axes[1].count + places[1][None, :, None, :]
    other, channels = table.shape[:2]
    by_distance = table.permute(2, 3, 1, 0).reshape(-1, channels, other)
    found: Tensor = by_distance.index_select(0, pairs.flatten().to(table.device))
    return found.reshape(*pairs.shape, channels, other).permute(4, 0, 1, 5, 2, 3)


def _reached(left: Patches, image: Tensor, view: View, axis: int) -> range:
    """Positions, also outside the grid, where both rows may hold something."""
    stride, size, other = left.stride[axis], left.image.shape[2 + axis], image.shape[2 + axis]
    lowest = max(-max(view.offsets[axis]), -(max(left.offsets[axis]) // stride))
    highest = min(other - 1 - min(view.offsets[axis]), (size - 1 - min(left.offsets[axis])) // stride)
    return range(lowest, highest + 1)


def _weight(view: View, axis: int, position: int) -> float:
    weights = view.weights[axis]
    return weights[position] if 0 <= position < len(weights) else 0.0


def _usual(left: Patches, image: Tensor, view: View, axis: int) -> float:
    """The weight that most positions have along an axis."""
    counts = Counter(_weight(view, axis, q) for q in _reached(left, image, view, axis))
    return counts.most_common(1)[0][0] if counts else 0.0


def _main_weight(left: Patches, image: Tensor, view: View) -> float:
    return _usual(left, image, view, 0) * _usual(left, image, view, 1)


def _unusual(left: Patches, image: Tensor, view: View) -> list[tuple[list[int], list[int]]]:
    """The positions of another weight than most: whole rows, and of the other rows some columns."""
    rows, columns = (list(_reached(left, image, view, axis)) for axis in (0, 1))
    usual = [_usual(left, image, view, axis) for axis in (0, 1)]
    odd_rows = [q for q in rows if _weight(view, 0, q) != usual[0]]
    odd_columns = [q for q in columns if _weight(view, 1, q) != usual[1]]
    other_rows = [q for q in rows if _weight(view, 0, q) == usual[0]]
    return [(odd_rows, columns), (other_rows, odd_columns)]


def _take_back(block: Tensor, left: Patches, image: Tensor, view: View) -> None:
    """Subtract what the usual weight counts too much at the positions that have another one, in place."""
    usual = _main_weight(left, image, view)
    for rows, columns in _unusual(left, image, view):
        for some_rows, a, b in _alike(left, image, view, 0, rows):
            for some_columns, c, d in _alike(left, image, view, 1, columns):
                weights = [
                    [usual - _weight(view, 0, q) * _weight(view, 1, p) for p in some_columns]
                    for q in some_rows
                ]
                some_left = replace(left, offsets=(left.offsets[0][a], left.offsets[1][c]))
                some_view = replace(view, offsets=(view.offsets[0][b], view.offsets[1][d]))
                block[:, a, c, :, b, d] -= row_by_row(
                    some_left, image, some_view, some_rows, some_columns, weights
                )


def _alike(
    left: Patches, image: Tensor, view: View, axis: int, positions: Sequence[int]
) -> Iterator[tuple[list[int], slice, slice]]:
    """Positions along an axis at which the same offsets read inside the two images, and those offsets."""
    groups: dict[tuple[int, int, int, int], list[int]] = {}
    for q in positions:
        mine = _inside(left.offsets[axis], left.stride[axis] * q, left.image.shape[2 + axis])
        theirs = _inside(view.offsets[axis], view.stride[axis] * q, image.shape[2 + axis])
        if mine[0] < mine[1] and theirs[0] < theirs[1]:
            groups.setdefault((*mine, *theirs), []).append(q)
    for (first, last, other_first, other_last), some in groups.items():
        yield some, slice(first, last), slice(other_first, other_last)


def _inside(offsets: tuple[int, ...], start: int, size: int) -> tuple[int, int]:
    """The offsets that stay inside, first and one after the last (offsets rise or fall, so they are neighbours)."""
    places = [place for place, offset in enumerate(offsets) if 0 <= start + offset < size]
    return (places[0], places[-1] + 1) if places else (0, 0)


def distances_pay(left: Patches, image: Tensor, views: Sequence[View]) -> bool:
    """True if the table and what is taken back cost fewer multiply-adds than the rows themselves."""
    if any(view.stride != (1, 1) for view in views):
        return False  # then the distance alone does not tell which products belong together
    if not left.image.shape[1] or not image.shape[1]:
        return False  # no channels, no products
    axes = [_distances(left, views, axis) for axis in (0, 1)]
    table = axes[0].count * axes[1].count * image.shape[2] * image.shape[3]
    direct = taken_back = 0.0
    for view in views:
        pairs = left.taps * view.taps
        direct += pairs * len([w for w in view.weights[0] if w]) * len([w for w in view.weights[1] if w])
        taken_back += pairs * sum(len(rows) * len(columns) for rows, columns in _unusual(left, image, view))
    cost = table + taken_back / 2  # at the border about half of the offsets read inside
    # At equal numbers the kernel of a convolution is faster than written rows, but for a single product.
    return cost < direct or (cost == direct and any(view.taps > 1 for view in views))
