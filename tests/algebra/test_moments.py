from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gromo_graph.algebra import as_rows, cross_moment, second_moment, with_constant
from gromo_graph.errors import GrowthError
from tests import reference


@given(
    rows=st.integers(0, 9), p=st.integers(0, 4), q=st.integers(0, 4), left=st.booleans(), right=st.booleans()
)
def test_cross_moment_is_the_sum_of_outer_products(
    rows: int, p: int, q: int, left: bool, right: bool
) -> None:
    generator = torch.Generator().manual_seed(rows * 100 + p * 10 + q)
    u = torch.randn(rows, p, generator=generator, dtype=torch.float64)
    v = torch.randn(rows, q, generator=generator, dtype=torch.float64)
    expected = (with_constant(u) if left else u).T @ (with_constant(v) if right else v)
    found = cross_moment(u, v, left_constant=left, right_constant=right)
    torch.testing.assert_close(found, expected)


def test_second_moment_against_rows() -> None:
    x = torch.randn(7, 3, dtype=torch.float64)
    b = reference.rows_of(x, constant=True)
    torch.testing.assert_close(second_moment(x, constant=True) / 7, reference.mean_of_outer(b, b, 7))


def test_batches_add_up() -> None:
    x = torch.randn(9, 3, dtype=torch.float64)
    torch.testing.assert_close(second_moment(x), second_moment(x[:4]) + second_moment(x[4:]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_single(dtype: torch.dtype) -> None:
    rows = torch.ones(5000, 1, dtype=dtype)
    assert second_moment(rows, constant=True).tolist() == [[5000.0, 5000.0], [5000.0, 5000.0]]


def test_nothing_is_kept_in_the_graph_nor_written_to() -> None:
    x = torch.ones(2, 2, requires_grad=True)
    before = x.detach().clone()
    assert not second_moment(x, constant=True).requires_grad
    assert torch.equal(x, before)


def test_misuse() -> None:
    with pytest.raises(GrowthError, match=r"\(2, 3\) and \(4, 3\)"):
        cross_moment(torch.zeros(2, 3), torch.zeros(4, 3))
    with pytest.raises(GrowthError, match="at least 2 dimensions"):
        as_rows(torch.zeros(3))
