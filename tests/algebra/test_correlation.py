"""Sums of products of two images' rows, by every way the code takes, against a dense sum over unfolded rows."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from gromo_graph.algebra import (
    AxisWeights,
    Moment,
    Patches,
    Product,
    View,
    chosen_positions,
    correlation,
    distances,
    patch_cross_moment,
    patch_cross_moments,
    patch_second_moment,
    rows_of_matrix,
    spread_out,
    summed_cross_moment,
    summed_second_moment,
    value_of,
    view_of,
    with_constant,
)
from gromo_graph.errors import GrowthError
from tests.algebra.geometries import (
    dense,
    images,
    normal,
    offsets,
    patches,
    patches_of,
    rising,
    rows_of,
    seeds,
    sizes,
    strides,
    unfolded_rows,
    views_for,
    weights_for,
)

ONE = ((0,), (0,))
THREE = ((-1, 0, 1), (-1, 0, 1))
FULL = ((-2, -1, 0, 1, 2), (-2, -1, 0, 1, 2))


def ones(*grid: int) -> AxisWeights:
    return (1.0,) * grid[0], (1.0,) * grid[1]


@st.composite
def weighted(draw: st.DrawFn) -> tuple[Patches, AxisWeights]:
    some = draw(patches())
    return some, draw(weights_for(some.grid))


@st.composite
def two_images(draw: st.DrawFn, *, sliding_by_one: bool = False) -> tuple[Patches, Tensor, list[View]]:
    """Patches, another image of the same samples, and up to three readings of it at the same positions."""
    left = draw(patches())
    channels, height, width = draw(st.integers(1, 2)), draw(sizes), draw(sizes)
    image = normal(left.image.shape[0], channels, height, width, seed=draw(seeds))
    by = st.just((1, 1)) if sliding_by_one else strides
    return left, image, draw(st.lists(views_for(left.grid, by), min_size=1, max_size=3))


def expected_of(left: Patches, image: Tensor, view: View) -> Tensor:
    return dense(rows_of(left), rows_of(patches_of(image, view)), view.weights)


def without_constants(left: Patches, image: Tensor, view: View) -> Tensor:
    """The result of `expected_of` without the last row and column if they belong to the constants."""
    whole = expected_of(left, image, view)
    return whole[: left.image.shape[1] * left.taps, : image.shape[1] * view.taps]


# -- the sums -----------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(some=patches(rising))
def test_second_moment_is_that_of_unfolded_rows(some: Patches) -> None:
    rows = unfolded_rows(some)
    torch.testing.assert_close(patch_second_moment(some), dense(rows, rows))


@settings(max_examples=25)
@given(case=weighted())
def test_second_moment_counts_each_position_with_its_weight(case: tuple[Patches, AxisWeights]) -> None:
    some, weights = case
    before = some.image.clone()
    rows = rows_of(some)
    torch.testing.assert_close(patch_second_moment(some, weights), dense(rows, rows, weights))
    assert torch.equal(some.image, before)


@settings(max_examples=30)
@given(case=two_images())
def test_cross_moment_pairs_the_rows_at_the_same_position(case: tuple[Patches, Tensor, list[View]]) -> None:
    left, image, (view, *_) = case
    right = patches_of(image, view)
    found = patch_cross_moment(left, right, view.weights)
    assert found.shape == (left.columns, right.columns)
    torch.testing.assert_close(found, expected_of(left, image, view))


@settings(max_examples=25)
@given(case=two_images())
def test_several_readings_at_once_are_each_the_dense_sum(case: tuple[Patches, Tensor, list[View]]) -> None:
    left, image, views = case
    before = left.image.clone(), image.clone()
    found = patch_cross_moments(left, image, views)
    assert len(found) == len(views)
    for moment, view in zip(found, views, strict=True):
        torch.testing.assert_close(moment, expected_of(left, image, view))
    assert torch.equal(left.image, before[0])
    assert torch.equal(image, before[1])


@settings(max_examples=20)
@given(case=two_images())
def test_exchanging_the_two_images_transposes_the_sum(case: tuple[Patches, Tensor, list[View]]) -> None:
    left, image, (view, *_) = case
    right = patches_of(image, view)
    torch.testing.assert_close(
        patch_cross_moment(right, left, view.weights), patch_cross_moment(left, right, view.weights).T
    )


@settings(max_examples=15)
@given(some=patches(), other=images)
def test_sums_of_batches_add_up_to_the_sum_of_all_samples(some: Patches, other: Tensor) -> None:
    channels, (height, width) = some.image.shape[1], some.image.shape[2:]
    more = normal(other.shape[0], channels, height, width, seed=3)
    whole = patch_second_moment(some.of(torch.cat((some.image, more))))
    torch.testing.assert_close(whole, patch_second_moment(some) + patch_second_moment(some.of(more)))


def test_a_position_of_weight_zero_counts_for_nothing() -> None:
    image = normal(2, 2, 4, 4)
    image[:, :, :, 2] = torch.nan  # only read at the position that does not count
    some = Patches(image, ONE, grid=(4, 4), constant=True)
    weights = ((1.0, 2.0, 0.0, 0.5), (1.0, 1.0, 0.0, 3.0))
    found = patch_second_moment(some, weights)
    rows = rows_of(some.of(image.nan_to_num(0.0)))
    torch.testing.assert_close(found[:2, :2], dense(rows, rows, weights)[:2, :2])


# -- each way, forced ---------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(case=two_images(sliding_by_one=True))
def test_by_distance_is_the_dense_sum_also_where_it_does_not_pay(
    case: tuple[Patches, Tensor, list[View]],
) -> None:
    left, image, views = case
    found = distances.by_distance(left, image, views)
    for block, view in zip(found, views, strict=True):
        assert block.shape == (
            left.image.shape[1],
            *map(len, left.offsets),
            image.shape[1],
            *map(len, view.offsets),
        )
        flat = block.reshape(left.image.shape[1] * left.taps, image.shape[1] * view.taps)
        torch.testing.assert_close(flat, without_constants(left, image, view))


@settings(max_examples=25)
@given(case=two_images())
def test_row_by_row_at_weighted_positions_is_the_dense_sum(case: tuple[Patches, Tensor, list[View]]) -> None:
    left, image, (view, *_) = case
    before = left.image.clone(), image.clone()
    block = chosen_positions.at_weighted_positions(left, image, view)
    assert block.shape == (
        left.image.shape[1],
        *map(len, left.offsets),
        image.shape[1],
        *map(len, view.offsets),
    )
    flat = block.reshape(left.image.shape[1] * left.taps, image.shape[1] * view.taps)
    torch.testing.assert_close(flat, without_constants(left, image, view))
    assert torch.equal(left.image, before[0])
    assert torch.equal(image, before[1])


@settings(max_examples=25)
@given(
    left=patches(),
    right=images,
    taps=st.tuples(offsets, offsets),
    stride=strides,
    rows=st.lists(st.integers(-3, 5), max_size=3, unique=True),
    columns=st.lists(st.integers(-3, 5), max_size=3, unique=True),
    data=st.data(),
)
def test_row_by_row_takes_any_positions_and_any_weight_for_each(
    left: Patches,
    right: Tensor,
    taps: tuple[tuple[int, ...], tuple[int, ...]],
    stride: tuple[int, int],
    rows: list[int],
    columns: list[int],
    data: st.DataObject,
) -> None:
    image = normal(left.image.shape[0], *right.shape[1:], seed=5)
    # Not a product of two weights along the axes: what is taken back at a border is none either.
    number = st.sampled_from((-1.0, 0.0, 0.5, 1.0))
    weights = [[data.draw(number) for _ in columns] for _ in rows]
    view = View(taps, ones(1, 1), stride)
    found = chosen_positions.row_by_row(left, image, view, rows, columns, weights)
    expected = torch.zeros(left.image.shape[1] * left.taps, image.shape[1] * view.taps, dtype=torch.float64)
    for q, of_row in zip(rows, weights, strict=True):
        for p, weight in zip(columns, of_row, strict=True):
            # One row each: the patches whose only position is moved to (q, p).
            u, v = (
                rows_of(
                    Patches(
                        source,
                        (
                            tuple(steps[0] * q + a for a in reach[0]),
                            tuple(steps[1] * p + b for b in reach[1]),
                        ),
                    )
                )
                for source, reach, steps in (
                    (left.image, left.offsets, left.stride),
                    (image, taps, stride),
                )
            )
            expected += weight * dense(u, v)
    torch.testing.assert_close(found.reshape(expected.shape), expected)


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param(((1.0, 1.0), (1.0, 1.0, 1.0)), id="all one"),
        pytest.param(((0.5, 0.5), (3.0, 3.0, 3.0)), id="all alike"),
        pytest.param(((0.5, 2.0), (1.0, 3.0, 1.0)), id="different"),
        pytest.param(((0.0, 2.0), (1.0, 0.0, 0.5)), id="some zero"),
        pytest.param(((0.0, 2.0), (0.0, 0.0, 0.0)), id="nothing left"),
        pytest.param(((2.0, 0.5), (0.5, 0.5, 0.5)), id="first is one"),
    ],
)
@pytest.mark.parametrize("budget", [1, 40, 1 << 20])
def test_weights_and_portions_of_samples_do_not_change_the_sum(
    weights: AxisWeights, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    gather = chosen_positions.gather

    def counted(image: Tensor, *rest: Any) -> Tensor:
        taken.append(image.shape[0])
        return gather(image, *rest)

    monkeypatch.setattr(chosen_positions, "gather", counted)
    monkeypatch.setitem(chosen_positions._GATHERED, "cpu", budget)
    left = Patches(normal(5, 1, 4, 4), ((0, 1), (0,)), (1, 2), (2, 3))
    image, view = normal(5, 1, 3, 3, seed=1), View(((0,), (-1, 0)), weights)
    block = chosen_positions.at_weighted_positions(left, image, view)
    torch.testing.assert_close(block.reshape(2, 2), without_constants(left, image, view))
    positions = sum(map(bool, weights[0])) * sum(map(bool, weights[1]))
    # Two columns on either side at every position that counts, of as many samples as fit: at least one.
    portion = max(1, min(5, budget // (4 * positions))) if positions else 0
    assert sum(taken) == (2 * 5 if positions else 0)
    assert max(taken, default=0) == portion


CASES = {
    # name: left, image, views; what is used
    "same padding": (
        Patches(normal(2, 2, 8, 8), THREE, grid=(8, 8)),
        normal(2, 2, 8, 8),
        [View(THREE, ones(8, 8))],
        "conv weight gradient",
    ),
    "strided": (
        Patches(normal(2, 2, 17, 17), THREE, (2, 2), (8, 8), constant=True),
        normal(2, 3, 8, 8, seed=1),
        [View(THREE, ones(8, 8))],
        "conv weight gradient",
    ),
    "dilated by as much": (
        Patches(normal(2, 2, 9, 9), ((-2, 0, 2), (-2, 0, 2)), (2, 2), (8, 8)),
        normal(2, 3, 8, 8, seed=1),
        [View(THREE, ones(8, 8), constant=True)],
        "conv weight gradient",
    ),
    "weights of a growth": (
        Patches(normal(2, 2, 8, 8), THREE, grid=(8, 8), constant=True),
        normal(2, 2, 8, 8),
        [View(THREE, ((2.0, *(3.0,) * 6, 2.0), (1.0, *(0.5,) * 6, 1.0)), constant=True)],
        "conv weight gradient",
    ),
    "two readings": (
        Patches(normal(2, 2, 8, 8), THREE, grid=(8, 8)),
        normal(2, 2, 8, 8, seed=2),
        [View(((1, 0, -1), (0,)), ones(8, 8)), View(THREE, ((0.0, *(1.0,) * 7), (1.0,) * 8), constant=True)],
        "conv weight gradient",
    ),
    "one pixel read by all": (
        Patches(normal(2, 2, 2, 1), THREE, grid=(3, 3), constant=True),
        normal(2, 3, 1, 1, seed=1),
        [View(THREE, ones(3, 3), constant=True), View(FULL, ones(3, 3))],
        "one pixel",
    ),
    "one pixel read with a stride": (
        Patches(normal(3, 2, 6, 5), ((-4, -2, 0, 2), (-3, 0, 3)), (2, 3), (3, 3)),
        normal(3, 1, 1, 1, seed=1),
        [View(((-2, -1, 0, 1), (-1, 0, 1)), ones(3, 3))],
        "one pixel",
    ),
    "one tap": (
        Patches(normal(2, 2, 4, 4), ONE, grid=(4, 4), constant=True),
        normal(2, 2, 4, 4),
        [View(ONE, ones(4, 4), constant=True)],
        "rows",
    ),
    "few positions": (
        Patches(normal(2, 2, 8, 8), THREE, grid=(8, 8)),
        normal(2, 2, 8, 8),
        [View(THREE, ((0.0, 1.0, *(0.0,) * 6), (0.0, 1.0, *(0.0,) * 6)))],
        "rows",
    ),
    "other side strided": (
        Patches(normal(2, 2, 8, 8), THREE, grid=(8, 8)),
        normal(2, 2, 17, 17),
        [View(THREE, ones(8, 8)), View(THREE, ones(8, 8), (2, 2))],
        "rows",
    ),
    "image of one position": (
        Patches(normal(4, 3, 1, 1), THREE, constant=True),
        normal(4, 2, 1, 1, seed=1),
        [View(THREE, ones(1, 1), constant=True)],
        "rows",
    ),
    "weighted matrix": (
        Patches(normal(4, 3, 1, 1), constant=True),
        normal(4, 2, 1, 1, seed=1),
        [View(ONE, ((0.5,), (1.0,)), constant=True)],
        "rows",
    ),
    "matrix with two weights": (
        Patches(normal(4, 3, 1, 1), constant=True),
        normal(4, 2, 1, 1, seed=1),
        [View(ONE, ones(1, 1)), View(ONE, ((0.5,), (1.0,)), constant=True)],
        "one pixel",
    ),
    "moved matrix": (
        Patches(normal(4, 3, 1, 1)),
        normal(4, 2, 1, 1, seed=1),
        [View(((0,), (1,)), ones(1, 1), constant=True)],
        "rows",
    ),
    "matrix": (
        Patches(normal(4, 3, 1, 1), constant=True),
        normal(4, 2, 1, 1, seed=1),
        [View(ONE, ones(1, 1)), View(ONE, ones(1, 1), constant=True)],
        "matrix product",
    ),
    "one sample": (
        Patches(normal(1, 2, 8, 8), THREE, grid=(8, 8), constant=True),
        normal(1, 2, 8, 8),
        [View(THREE, ones(8, 8), constant=True)],
        "conv weight gradient",
    ),
    "no sample": (
        Patches(normal(0, 2, 8, 8), THREE, grid=(8, 8), constant=True),
        normal(0, 2, 8, 8),
        [View(THREE, ones(8, 8), constant=True)],
        "conv weight gradient",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_way_that_is_taken_gives_the_dense_sum(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    left, image, views, expected_way = CASES[name]
    taken = set()

    def watch(module: Any, function: str, way: str) -> None:
        real = getattr(module, function)

        def watched(*arguments: Any, **options: Any) -> Any:
            taken.add(way)
            return real(*arguments, **options)

        monkeypatch.setattr(module, function, watched)

    watch(correlation, "cross_moment", "matrix product")
    watch(correlation, "at_weighted_positions", "rows")
    watch(correlation, "by_distance", "one pixel")
    watch(distances, "conv2d_weight", "conv weight gradient")
    found = patch_cross_moments(left, image, views)
    if "conv weight gradient" in taken:
        taken.discard("one pixel")
    assert taken == {expected_way}
    for moment, view in zip(found, views, strict=True):
        torch.testing.assert_close(moment, expected_of(left, image, view))


def test_what_is_counted_too_much_is_taken_back_only_where_positions_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[tuple[list[int], list[int]]] = []
    real = distances.row_by_row

    def watched(
        left: Patches, image: Tensor, view: View, rows: Sequence[int], columns: Sequence[int], weights: Any
    ) -> Tensor:
        taken.append((list(rows), list(columns)))
        return real(left, image, view, rows, columns, weights)

    monkeypatch.setattr(distances, "row_by_row", watched)
    some = Patches(normal(2, 1, 8, 8), THREE, grid=(8, 8))
    rows = rows_of(some)
    torch.testing.assert_close(patch_second_moment(some), dense(rows, rows))
    visited = {(q, p) for some_rows, some_columns in taken for q in some_rows for p in some_columns}
    # Positions just outside the grid, at which a kernel of three still reads the border.
    assert visited == {(q, p) for q in range(-1, 9) for p in range(-1, 9) if q in (-1, 8) or p in (-1, 8)}


# -- constants ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left_constant", [False, True])
@pytest.mark.parametrize("right_constant", [False, True])
@pytest.mark.parametrize("name", ["weights of a growth", "one pixel read by all", "other side strided"])
def test_constants_stand_last_on_either_side(left_constant: bool, right_constant: bool, name: str) -> None:
    left, image, (view, *_), _ = CASES[name]
    left = Patches(left.image, left.offsets, left.stride, left.grid, left_constant)
    view = View(view.offsets, view.weights, view.stride, right_constant)
    (found,) = patch_cross_moments(left, image, [view])
    torch.testing.assert_close(found, expected_of(left, image, view))
    if left_constant and right_constant:
        count = image.shape[0] * sum(view.weights[0]) * sum(view.weights[1])
        assert found[-1, -1] == count


@pytest.mark.parametrize("constant", [False, True])
def test_view_of_patches_counts_each_position_once(constant: bool) -> None:
    some = Patches(normal(1, 1, 4, 4), ((0, 1), (2,)), (2, 1), (2, 3), constant)
    assert view_of(some) == View(((0, 1), (2,)), ((1.0, 1.0), (1.0, 1.0, 1.0)), (2, 1), constant)
    weights = ((0.5, 0.0), (1.0, 2.0, 3.0))
    assert view_of(some, weights).weights == weights
    assert view_of(some).taps == some.taps == 2


# -- sums to be added to a statistic -----------------------------------------------------------------------------


@settings(max_examples=20)
@given(case=two_images())
def test_summed_moments_are_those_over_the_whole_grid(case: tuple[Patches, Tensor, list[View]]) -> None:
    left, image, (view, *_) = case
    left = left.of(functional.pad(left.image, (1, 0)))  # at least two positions, so that it is no matrix
    right = patches_of(image, view)
    torch.testing.assert_close(
        value_of(summed_cross_moment(left, right)), dense(rows_of(left), rows_of(right))
    )
    torch.testing.assert_close(value_of(summed_second_moment(left)), dense(rows_of(left), rows_of(left)))


@pytest.mark.parametrize("left_constant", [False, True])
@pytest.mark.parametrize("right_constant", [False, True])
def test_summed_moments_of_matrices_are_not_multiplied_out(left_constant: bool, right_constant: bool) -> None:
    x, g = normal(7, 3), normal(7, 2, seed=1)
    left, right = rows_of_matrix(x, constant=left_constant), rows_of_matrix(g, constant=right_constant)
    u, v = (with_constant(x) if left_constant else x), (with_constant(g) if right_constant else g)
    cross: Moment = summed_cross_moment(left, right)
    assert isinstance(cross, Product)
    torch.testing.assert_close(cross.value(), u.T @ v)
    second = summed_second_moment(left)
    assert isinstance(second, Product)
    assert second.left is second.right  # so that only its upper triangle may be multiplied
    torch.testing.assert_close(second.value(), u.T @ u)


def test_summed_moment_of_one_pixel_read_at_several_positions() -> None:
    some = Patches(normal(3, 2, 1, 1), grid=(1, 2), constant=True)
    rows = rows_of(some)
    torch.testing.assert_close(patch_second_moment(some), dense(rows, rows))
    torch.testing.assert_close(value_of(summed_second_moment(some)), dense(rows, rows))


# -- what growth of convolutions is made of (docs/maths.md, "Convolutions") ------------------------------------------


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("margin", [0, 1, 2])
def test_weights_of_positions_stand_for_every_output_and_tap_that_reads_them(
    stride: int, margin: int
) -> None:
    size, kernel = 7, 3
    some = Patches(normal(2, 2, size, size), THREE, grid=(size, size), constant=True)
    rows = rows_of(some).reshape(2, size, size, -1)
    outputs = (size + 2 * margin - kernel) // stride + 1
    counts = [0.0] * size
    expected = torch.zeros(some.columns, some.columns, dtype=torch.float64)
    read = [
        (stride * r + tap - margin, tap)
        for r in range(outputs)
        for tap in range(kernel)
        if 0 <= stride * r + tap - margin < size
    ]
    for q, _ in read:
        counts[q] += 1.0
        for p, _ in read:
            expected += torch.einsum("ni,nj->ij", rows[:, q, p], rows[:, q, p])
    if (stride, margin) == (1, 1):
        assert (counts[3] ** 2, counts[0] * counts[3], counts[0] ** 2) == (9.0, 6.0, 4.0)
    weights = (tuple(counts), tuple(counts))
    torch.testing.assert_close(patch_second_moment(some, weights), expected)


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (2, 3)])
@pytest.mark.parametrize("constant", [False, True])
def test_gradients_spread_out_and_read_backwards_give_the_moment_of_each_tap(
    stride: tuple[int, int], constant: bool
) -> None:
    size, taps = (7, 8), (-1, 0, 1)
    some = Patches(normal(2, 2, *size), ((0, 1), (-1, 0)), grid=size, constant=constant)
    outputs = tuple((size[axis] + 2 - 3) // stride[axis] + 1 for axis in (0, 1))
    g = normal(2, 3, *outputs, seed=1)
    rows = rows_of(some).reshape(2, *size, -1)
    expected = torch.zeros(some.columns, 3, 3, 3, dtype=torch.float64)
    for r in range(outputs[0]):
        for c in range(outputs[1]):
            for i, a in enumerate(taps):
                for j, b in enumerate(taps):
                    q, p = stride[0] * r + a, stride[1] * c + b
                    if 0 <= q < size[0] and 0 <= p < size[1]:
                        expected[:, :, i, j] += torch.einsum("ni,no->io", rows[:, q, p], g[:, :, r, c])
    back = View((tuple(-a for a in taps), tuple(-b for b in taps)), ones(*size))
    (found,) = patch_cross_moments(some, spread_out(g, stride), [back])
    torch.testing.assert_close(found, expected.flatten(1))


def test_gpus_keep_full_precision_meanwhile_and_only_meanwhile() -> None:
    flags = torch.backends.cudnn
    before = flags.enabled, flags.allow_tf32
    on_gpu = SimpleNamespace(device=torch.device("cuda"))  # all that is asked of the image, without a GPU
    with correlation._full_precision(on_gpu):  # type: ignore[arg-type]
        assert (flags.enabled, flags.allow_tf32) == (before[0], False)
    assert (flags.enabled, flags.allow_tf32) == before


# -- what does not fit, and what is empty ------------------------------------------------------------------------


def test_other_samples_are_refused() -> None:
    left, right = Patches(normal(2, 1, 4, 4), THREE, grid=(4, 4)), normal(3, 1, 4, 4)
    with pytest.raises(GrowthError, match="images of 2 and 3 samples"):
        patch_cross_moments(left, right, [View(THREE, ones(4, 4))])
    for moment in (patch_cross_moment, summed_cross_moment):
        with pytest.raises(GrowthError, match="images of 2 and 3 samples"):
            moment(rows_of_matrix(normal(2, 3)), rows_of_matrix(normal(3, 3)))


@pytest.mark.parametrize("grid", [(4, 5), (5, 4), (1, 4)])
def test_weights_for_another_grid_are_refused(grid: tuple[int, int]) -> None:
    left = Patches(normal(2, 1, 4, 4), THREE, grid=(4, 4))
    with pytest.raises(
        GrowthError, match=rf"weights for a grid of \({grid[0]}, {grid[1]}\): expected \(4, 4\)"
    ):
        patch_cross_moments(left, left.image, [View(THREE, ones(4, 4)), View(THREE, ones(*grid))])
    with pytest.raises(GrowthError, match="weights for a grid"):
        patch_second_moment(left, ones(*grid))


@pytest.mark.parametrize("channels", [(0, 2), (2, 0), (0, 0)])
@pytest.mark.parametrize("size", [1, 8])
def test_images_without_channels_have_only_their_constants(channels: tuple[int, int], size: int) -> None:
    left = Patches(normal(2, channels[0], size, size), THREE, grid=(size, size), constant=True)
    right = Patches(normal(2, channels[1], size, size), THREE, grid=(size, size), constant=True)
    torch.testing.assert_close(patch_cross_moment(left, right), dense(rows_of(left), rows_of(right)))


@pytest.mark.parametrize("name", CASES)
def test_single_precision_gives_single_precision(name: str) -> None:
    left, image, views, _ = CASES[name]
    found = patch_cross_moments(left.of(left.image.float()), image.float(), views)
    for moment, view in zip(found, views, strict=True):
        assert moment.dtype == torch.float32
        torch.testing.assert_close(moment.double(), expected_of(left, image, view), rtol=1e-4, atol=1e-3)
