"""Products that are not multiplied out: what is added in place is what a dense product would have added."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gromo_graph.algebra import (
    Moment,
    PaddedRows,
    ParameterGradient,
    Product,
    accumulation_dtype,
    padded_rows,
    value_of,
    with_constant,
)
from tests.algebra.geometries import normal

# Around round numbers, and around the width from which a symmetric product is taken in bands.
WIDTHS = [0, 1, 15, 16, 17, 31, 127, 128, 129, 239, 240, 241, 255, 256, 257, 300, 400]


def rows(matrix: Tensor, constant: bool) -> Tensor:
    return with_constant(matrix) if constant else matrix


def outer_products(left: Tensor, right: Tensor) -> Tensor:
    """Σ u vᵀ, row by row."""
    total = torch.zeros(left.shape[1], right.shape[1], dtype=torch.float64)
    for u, v in zip(left.double(), right.double(), strict=True):
        total += torch.outer(u, v)
    return total


def read(total: Tensor, moment: Product | ParameterGradient) -> Tensor:
    """A sum as whoever keeps it reads it: without the padding, and with its upper triangle mirrored where it has only
    that.
    """
    total = total[: moment.shape[0], : moment.shape[1]].clone()
    if moment.upper:
        for i in range(total.shape[0]):
            for j in range(i):
                total[i, j] = total[j, i]
    return total


@pytest.mark.usefixtures("nan_in_new_memory")
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("columns", WIDTHS)
def test_padded_rows_are_the_rows_and_then_zeros_up_to_a_round_number(columns: int, constant: bool) -> None:
    matrix = normal(3, columns)
    before = matrix.clone()
    found = padded_rows(matrix, constant=constant)
    expected = rows(matrix, constant)
    assert found.columns == expected.shape[1]
    assert torch.equal(found.values, expected)
    assert found.values._base is not None  # a view
    width = found.padded.shape[1]
    step = 16 if found.columns >= 128 else 4
    assert width % step == 0
    assert 0 <= width - found.columns < step
    assert (found.padded[:, found.columns :] == 0.0).all()
    assert torch.equal(matrix, before)


@pytest.mark.parametrize("columns", [3, 16])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_padded_rows_are_detached_and_in_the_dtype_of_sums(columns: int, dtype: torch.dtype) -> None:
    matrix = torch.ones(2, columns, dtype=dtype, requires_grad=True)
    found = padded_rows(matrix)
    assert not found.padded.requires_grad
    assert found.padded.dtype == accumulation_dtype(dtype)
    assert torch.equal(found.values, torch.ones(2, columns, dtype=found.padded.dtype))


@settings(max_examples=25)
@given(
    n=st.integers(0, 5),
    p=st.integers(0, 35),
    q=st.integers(0, 35),
    left_constant=st.booleans(),
    right_constant=st.booleans(),
    seed=st.integers(0, 99),
)
def test_product_is_the_sum_of_outer_products(
    n: int, p: int, q: int, left_constant: bool, right_constant: bool, seed: int
) -> None:
    x, y = normal(n, p, seed=seed), normal(n, q, seed=seed + 100)
    moment = Product(padded_rows(x, constant=left_constant), padded_rows(y, constant=right_constant))
    expected = outer_products(rows(x, left_constant), rows(y, right_constant))
    assert moment.shape == tuple(expected.shape)
    assert not moment.upper
    torch.testing.assert_close(moment.value(), expected)
    torch.testing.assert_close(value_of(moment), expected)
    total = moment.zeros()
    assert not total.any()
    moment.add_to(total)
    torch.testing.assert_close(read(total, moment), expected)
    moment.add_to(total)
    torch.testing.assert_close(read(total, moment), 2.0 * expected)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("columns", [width for width in WIDTHS if width])
def test_product_of_rows_with_themselves_is_added_from_the_diagonal_on(columns: int, constant: bool) -> None:
    x = normal(7, columns)
    some = padded_rows(x, constant=constant)
    moment = Product(some, some)
    expected = outer_products(rows(x, constant), rows(x, constant))
    total = moment.zeros()
    moment.add_to(total)
    torch.testing.assert_close(read(total, moment), expected)
    torch.testing.assert_close(moment.value(), expected)  # multiplied out it is whole
    width = some.padded.shape[1]
    assert moment.upper is (width >= 256)
    if moment.upper:
        # What is left out below the diagonal is worth it.
        below = torch.ones(width, width).tril(-1).bool()
        assert (total[below] == 0.0).double().mean() > 0.45


def test_equal_rows_made_twice_are_added_as_a_whole() -> None:
    x = normal(4, 260)
    moment = Product(padded_rows(x), padded_rows(x))
    assert not moment.upper
    total = moment.zeros()
    moment.add_to(total)
    torch.testing.assert_close(total[:260, :260], outer_products(x, x))


@settings(max_examples=20)
@given(
    batches=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    p=st.sampled_from((1, 15, 16, 20)),
    q=st.sampled_from((2, 16, 33)),
    constant=st.booleans(),
)
def test_batches_add_up_to_one_large_batch(batches: list[int], p: int, q: int, constant: bool) -> None:
    x, y = normal(sum(batches), p), normal(sum(batches), q, seed=1)
    whole = Product(padded_rows(x, constant=constant), padded_rows(y, constant=True))
    total = whole.zeros()
    for u, v in zip(x.split(batches), y.split(batches), strict=True):
        Product(padded_rows(u, constant=constant), padded_rows(v, constant=True)).add_to(total)
    torch.testing.assert_close(read(total, whole), whole.value())


@pytest.mark.parametrize("columns", [20, 254, 255, 256, 300])
def test_batches_of_rows_with_themselves_add_up_to_one_large_batch(columns: int) -> None:
    x = normal(9, columns)
    some = padded_rows(x, constant=True)
    whole = Product(some, some)
    total = whole.zeros()
    for part in x.split([2, 0, 4, 3]):
        again = padded_rows(part, constant=True)
        Product(again, again).add_to(total)
    torch.testing.assert_close(read(total, whole), outer_products(with_constant(x), with_constant(x)))


@pytest.mark.parametrize("columns", [16, 40, 256, 300])
@pytest.mark.parametrize("symmetric", [False, True])
def test_the_rows_of_a_product_are_not_written_to(columns: int, symmetric: bool) -> None:
    x, y = normal(5, columns), normal(5, 3, seed=1)
    left = padded_rows(x, constant=False)
    right = left if symmetric else padded_rows(y)
    moment = Product(left, right)
    before = left.padded.clone(), right.padded.clone(), x.clone()
    total = moment.zeros()
    value = moment.value()
    moment.add_to(total)
    value.fill_(7.0)  # nor is the value a view of them
    moment.add_to(total)
    assert torch.equal(left.padded, before[0])
    assert torch.equal(right.padded, before[1])
    assert torch.equal(x, before[2])


def test_products_of_single_precision_are_summed_in_single_precision() -> None:
    some = padded_rows(normal(4, 3).float(), constant=True)
    moment = Product(some, some)
    assert moment.zeros().dtype == moment.value().dtype == torch.float32


@settings(max_examples=20)
@given(out=st.integers(0, 4), fan_in=st.integers(0, 4), bias=st.booleans(), seed=st.integers(0, 99))
def test_parameter_gradient_is_its_weight_and_bias_transposed(
    out: int, fan_in: int, bias: bool, seed: int
) -> None:
    weight, at_bias = normal(out, fan_in, seed=seed), normal(out, seed=seed + 100) if bias else None
    before = weight.clone(), None if at_bias is None else at_bias.clone()
    moment = ParameterGradient(weight, at_bias)
    expected = weight.T if at_bias is None else torch.cat((weight.T, at_bias[None, :]))
    assert moment.shape == tuple(expected.shape)
    assert not moment.upper
    assert torch.equal(moment.value(), expected)
    assert torch.equal(value_of(moment), expected)
    total = moment.zeros()
    assert total.shape == moment.shape
    assert total.T.is_contiguous()  # stored as the gradients are
    moment.add_to(total)
    moment.add_to(total)
    torch.testing.assert_close(total, 2.0 * expected)
    assert torch.equal(weight, before[0])
    assert at_bias is None or torch.equal(at_bias, before[1])


@pytest.mark.parametrize("bias", [False, True])
def test_gradients_of_a_layer_are_the_moment_of_its_input_and_its_gradient(bias: bool) -> None:
    layer = torch.nn.Linear(4, 3, bias=bias, dtype=torch.float64)
    x, g = normal(6, 4), normal(6, 3, seed=1)
    gradients = torch.autograd.grad((layer(x) * g).sum(), list(layer.parameters()))
    moment = ParameterGradient(gradients[0], gradients[1] if bias else None)
    expected = Product(padded_rows(x, constant=bias), padded_rows(g)).value()
    torch.testing.assert_close(moment.value(), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gradients_are_summed_in_single_precision(dtype: torch.dtype) -> None:
    moment = ParameterGradient(torch.ones(2, 3, dtype=dtype), torch.ones(2, dtype=dtype))
    total = moment.zeros()
    assert total.dtype == torch.float32
    for _ in range(3000):  # half precision stops at 2048, bfloat16 at 256
        moment.add_to(total)
    assert torch.equal(total, torch.full((4, 2), 3000.0))


def test_a_sum_that_is_written_down_is_its_own_value() -> None:
    total: Moment = normal(3, 2)
    assert value_of(total) is total


def test_values_leave_the_padding_out() -> None:
    some = PaddedRows(torch.arange(8.0).reshape(2, 4), columns=3)
    assert torch.equal(some.values, torch.tensor([[0.0, 1.0, 2.0], [4.0, 5.0, 6.0]]))
