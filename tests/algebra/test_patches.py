"""The rows of a sliding kernel against torch's unfold, and against reading value by value."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from gromo_graph.algebra import (
    Patches,
    accumulation_dtype,
    measured_image,
    patch_matrix,
    rows_of_matrix,
    spread_out,
    with_constant,
)
from gromo_graph.algebra.patches import gather
from gromo_graph.errors import GrowthError
from tests.algebra.geometries import (
    images,
    normal,
    offsets,
    patches,
    read,
    rising,
    rows_of,
    strides,
    unfolded_rows,
)


@settings(max_examples=30)
@given(some=patches(rising))
def test_rows_are_those_of_unfold(some: Patches) -> None:
    found = patch_matrix(some)
    assert found.shape == (some.image.shape[0], some.columns, some.grid[0] * some.grid[1])
    assert torch.equal(found, unfolded_rows(some).transpose(1, 2))


@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("constant", [False, True])
def test_grid_of_a_convolution_gives_what_unfold_gives(
    kernel: int, stride: int, dilation: int, constant: bool
) -> None:
    image = normal(2, 3, 7, 8)
    before, after = 2, 1  # not the same on both sides: that is what offsets stand for
    padded = functional.pad(image, (before, after, before, after))
    expected = functional.unfold(padded, kernel, dilation=dilation, stride=stride)
    grid = tuple((size - dilation * (kernel - 1) - 1) // stride + 1 for size in padded.shape[2:])
    taps = tuple(tap * dilation - before for tap in range(kernel))
    found = patch_matrix(Patches(image, (taps, taps), (stride, stride), grid, constant))
    assert torch.equal(found[:, : expected.shape[1]], expected)
    assert found.shape[1] == expected.shape[1] + constant
    assert (found[:, expected.shape[1] :] == 1.0).all()


@settings(max_examples=30)
@given(some=patches())
def test_offsets_of_any_order_and_distance_are_read_value_by_value(some: Patches) -> None:
    before = some.image.clone()
    found = patch_matrix(some)
    assert torch.equal(found, rows_of(some).transpose(1, 2))
    found.fill_(5.0)
    assert torch.equal(some.image, before)  # the rows are no view of the image


@settings(max_examples=15)
@given(some=patches(rising))
def test_descending_offsets_read_the_same_in_reverse(some: Patches) -> None:
    backwards = Patches(
        some.image, (some.offsets[0][::-1], some.offsets[1][::-1]), some.stride, some.grid, some.constant
    )
    taps = some.taps
    for channel in range(some.image.shape[1]):
        span = slice(channel * taps, (channel + 1) * taps)
        assert torch.equal(patch_matrix(backwards)[:, span], patch_matrix(some)[:, span].flip(1))


@pytest.mark.parametrize("far", [-100, -7, 5, 100])
@pytest.mark.parametrize("axis", [0, 1])
def test_outside_of_the_image_there_are_zeros_and_the_constant_stays(far: int, axis: int) -> None:
    taps: list[tuple[int, ...]] = [(0, 1), (0, 1)]
    taps[axis] = (far, far + 1)
    found = patch_matrix(
        Patches(normal(2, 3, 5, 5) + 9.0, (taps[0], taps[1]), (2, 2), grid=(3, 3), constant=True)
    )
    assert not found[:, :-1].any()
    assert (found[:, -1] == 1.0).all()


@pytest.mark.usefixtures("nan_in_new_memory")
def test_every_value_is_written() -> None:
    some = Patches(normal(2, 2, 3, 3), ((-2, 0, 5), (1, -1)), (2, 1), (3, 4), constant=True)
    assert torch.equal(patch_matrix(some), rows_of(some).transpose(1, 2))
    spread = spread_out(some.image, (2, 3))
    assert not spread.isnan().any()


@settings(max_examples=25)
@given(
    image=images,
    taps=st.tuples(offsets, offsets),
    stride=strides,
    rows=st.lists(st.integers(-3, 5), max_size=3),
    columns=st.lists(st.integers(-3, 5), max_size=3),
)
def test_gather_reads_any_positions_in_any_order(
    image: Tensor,
    taps: tuple[tuple[int, ...], tuple[int, ...]],
    stride: tuple[int, int],
    rows: list[int],
    columns: list[int],
) -> None:
    found = gather(image, taps, stride, rows, columns)
    n, channels = image.shape[:2]
    assert found.shape == (channels, len(taps[0]), len(taps[1]), n, len(rows), len(columns))
    for i, a in enumerate(taps[0]):
        for j, b in enumerate(taps[1]):
            for k, q in enumerate(rows):
                for m, p in enumerate(columns):
                    expected = read(image, stride[0] * q + a, stride[1] * p + b)
                    assert torch.equal(found[:, i, j, :, k, m], expected.T)


def test_constant_of_each_sample_stands_at_all_its_positions() -> None:
    some = Patches(normal(3, 1, 2, 2), ((0, 1), (0,)), grid=(2, 2), constant=True)
    values = torch.tensor([2.0, -1.0, 0.5])  # single precision: the rows keep their own dtype
    found = patch_matrix(some, constant=values)
    assert found.dtype == torch.float64
    assert torch.equal(found[:, -1], values.double()[:, None].expand(3, 4))
    assert torch.equal(found[:, :-1], patch_matrix(some)[:, :-1])
    without = Patches(some.image, some.offsets, grid=some.grid)
    assert torch.equal(patch_matrix(without, constant=values), found[:, :-1])


def test_no_samples_and_no_positions_give_no_rows() -> None:
    taps = ((-1, 0, 1), (-1, 0, 1))
    nobody = Patches(torch.zeros(0, 2, 4, 4), taps, grid=(4, 4), constant=True)
    assert patch_matrix(nobody).shape == (0, 19, 16)
    nowhere = Patches(torch.zeros(3, 2, 4, 4), taps, grid=(0, 4), constant=True)
    assert patch_matrix(nowhere).shape == (3, 19, 0)


def test_half_precision_stays_as_it_is_until_it_is_measured() -> None:
    image = normal(2, 1, 3, 3).half()
    assert patch_matrix(Patches(image, ((-1, 0), (0,)), grid=(3, 3), constant=True)).dtype == torch.float16


@pytest.mark.parametrize("constant", [False, True])
def test_rows_of_a_matrix_are_its_samples(constant: bool) -> None:
    matrix = normal(5, 3)
    some = rows_of_matrix(matrix, constant=constant)
    expected = with_constant(matrix) if constant else matrix
    assert some.is_matrix
    assert some.columns == expected.shape[1]
    assert torch.equal(some.rows.values, expected)
    assert some.rows is some.rows  # made once
    assert torch.equal(patch_matrix(some), expected[:, :, None])
    assert torch.equal(rows_of(some)[:, 0], expected)


def test_another_image_is_read_in_the_same_way_and_keeps_no_rows() -> None:
    first, second = normal(4, 2), normal(3, 2, seed=1)
    some = rows_of_matrix(first, constant=True)
    kept = some.rows
    other = some.of(second[:, :, None, None])
    assert torch.equal(other.rows.values, with_constant(second))
    assert some.rows is kept
    reading = Patches(normal(1, 2, 4, 4), ((0, 1), (2,)), (2, 1), (2, 2), constant=True)
    moved = reading.of(normal(2, 2, 4, 4, seed=1))
    assert (moved.offsets, moved.stride, moved.grid) == (reading.offsets, reading.stride, reading.grid)
    assert moved.constant
    assert torch.equal(patch_matrix(moved), rows_of(moved).transpose(1, 2))


@pytest.mark.parametrize(
    ("size", "taps", "expected"),
    [
        ((1, 1), ((0,), (0,)), True),
        ((1, 2), ((0,), (0,)), False),
        ((2, 1), ((0,), (0,)), False),
        ((1, 1), ((0,), (1,)), False),
        ((1, 1), ((-1,), (0,)), False),
        ((1, 1), ((0,), (0, 1)), False),
        ((1, 1), ((0, 1), (0,)), False),
    ],
)
def test_a_matrix_has_one_position_and_one_tap(
    size: tuple[int, int], taps: tuple[tuple[int, ...], tuple[int, ...]], expected: bool
) -> None:
    assert Patches(torch.zeros(2, 3, *size), taps).is_matrix is expected


def test_counts_of_taps_columns_and_positions() -> None:
    some = Patches(torch.zeros(2, 5, 6, 6), ((0, 1, 2), (0, 3)), grid=(2, 3), constant=True)
    assert some.taps == 6
    assert some.columns == 31
    assert Patches(some.image, some.offsets).columns == 30
    assert some.everywhere == ((1.0, 1.0), (1.0, 1.0, 1.0))


@settings(max_examples=20)
@given(image=images, stride=strides)
def test_spread_out_moves_each_position_to_its_stride(image: Tensor, stride: tuple[int, int]) -> None:
    before = image.clone()
    channels = image.shape[1]
    # A transposed convolution with a single tap of 1 does the same.
    expected = functional.conv_transpose2d(
        image, image.new_ones(channels, 1, 1, 1), stride=stride, groups=channels
    )
    assert torch.equal(spread_out(image, stride), expected)
    assert torch.equal(image, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_measured_image_is_detached_and_in_the_dtype_of_sums(dtype: torch.dtype) -> None:
    image = torch.ones(2, 3, 4, 4, dtype=dtype, requires_grad=True)
    found = measured_image(image)
    assert not found.requires_grad
    assert found.dtype == accumulation_dtype(dtype)
    assert torch.equal(found, torch.ones(2, 3, 4, 4, dtype=found.dtype))
    rows = rows_of_matrix(image[:, :, 0, 0], constant=True)
    assert not rows.image.requires_grad
    assert rows.rows.values.dtype == accumulation_dtype(dtype)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4), (1, 2, 3, 4, 5)])
def test_an_image_of_other_dimensions_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(GrowthError, match=r"expected \(n, channels, height, width\)"):
        measured_image(torch.zeros(shape))
