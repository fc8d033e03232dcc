"""Random sliding kernels, and their rows read value by value: slow and obvious."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from gromo_graph.algebra import AxisWeights, Patches, View

# What a convolution gives: rising and evenly spaced; from the reader back: falling; and what nobody promised to use.
rising = st.builds(
    lambda first, kernel, dilation: tuple(first + tap * dilation for tap in range(kernel)),
    st.integers(-5, 3),
    st.integers(1, 4),
    st.integers(1, 3),
)
falling = rising.map(lambda offsets: tuple(-offset for offset in offsets))
scattered = st.lists(st.integers(-4, 6), min_size=1, max_size=3, unique=True).map(tuple)
offsets = st.one_of(rising, falling, scattered)
strides = st.tuples(st.integers(1, 3), st.integers(1, 3))
sizes = st.integers(1, 5)
# Zeros, equal weights, and fractions: each is treated on its own.
weight = st.sampled_from((0.0, 0.0, 0.25, 1.0, 1.0, 2.0, 3.0))
seeds = st.integers(0, 1 << 16)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


images = st.builds(
    lambda n, channels, height, width, seed: normal(n, channels, height, width, seed=seed),
    st.integers(1, 3),
    st.integers(1, 2),
    sizes,
    sizes,
    seeds,
)


def patches(kernels: st.SearchStrategy[tuple[int, ...]] = offsets) -> st.SearchStrategy[Patches]:
    """Any kernel over any image: what it reads outside is zero, so every combination is valid."""
    grids = st.tuples(st.integers(1, 4), st.integers(1, 4))
    return st.builds(Patches, images, st.tuples(kernels, kernels), strides, grids, st.booleans())


def weights_for(grid: tuple[int, int]) -> st.SearchStrategy[AxisWeights]:
    height, width = (st.lists(weight, min_size=size, max_size=size).map(tuple) for size in grid)
    return st.tuples(height, width)


def views_for(
    grid: tuple[int, int], view_strides: st.SearchStrategy[tuple[int, int]] = strides
) -> st.SearchStrategy[View]:
    return st.builds(View, st.tuples(offsets, offsets), weights_for(grid), view_strides, st.booleans())


def patches_of(image: Tensor, view: View) -> Patches:
    """A view as patches of an image, without its weights."""
    grid = (len(view.weights[0]), len(view.weights[1]))
    return Patches(image, view.offsets, view.stride, grid, view.constant)


def read(image: Tensor, row: int, column: int) -> Tensor:
    """(n, channels) at one position, zeros outside."""
    inside = 0 <= row < image.shape[2] and 0 <= column < image.shape[3]
    return image[:, :, row, column] if inside else image.new_zeros(image.shape[:2])


def rows_of(some: Patches) -> Tensor:
    """(n, positions, columns), value by value: channels outermost, then the offsets, the constant last."""
    rows = []
    for q in range(some.grid[0]):
        for p in range(some.grid[1]):
            values = [
                read(some.image, some.stride[0] * q + a, some.stride[1] * p + b)
                for a in some.offsets[0]
                for b in some.offsets[1]
            ]
            row = torch.stack(values, dim=2).flatten(1)
            rows.append(torch.cat((row, row.new_ones(row.shape[0], 1)), dim=1) if some.constant else row)
    return torch.stack(rows, dim=1)


def unfolded_rows(some: Patches) -> Tensor:
    """(n, positions, columns) by torch's own unfold; offsets must rise evenly."""
    margin = 30  # more than any row reads on either side
    image = functional.pad(some.image, (margin,) * 4)
    dilations = []
    for axis in (0, 1):
        taps = some.offsets[axis]
        dilations.append(taps[1] - taps[0] if len(taps) > 1 else 1)
        reach = some.stride[axis] * (some.grid[axis] - 1) + taps[-1] - taps[0] + 1
        image = image.narrow(2 + axis, margin + taps[0], reach)
    kernel = tuple(map(len, some.offsets))
    rows = functional.unfold(image, kernel, dilation=dilations, stride=some.stride).transpose(1, 2)
    return torch.cat((rows, torch.ones_like(rows[:, :, :1])), dim=2) if some.constant else rows


def at_positions(weights: AxisWeights) -> Tensor:
    """(positions,), the weight of each."""
    height, width = (torch.tensor(axis, dtype=torch.float64) for axis in weights)
    return torch.outer(height, width).flatten()


def dense(left: Tensor, right: Tensor, weights: AxisWeights | None = None) -> Tensor:
    """Σ_q w(q) u_q v_qᵀ over samples and positions, of rows (n, positions, columns)."""
    at = left.new_ones(left.shape[1]) if weights is None else at_positions(weights)
    return torch.einsum("p,npi,npj->ij", at, left, right)
