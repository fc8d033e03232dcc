"""Least squares in the space of samples against the dense reference that forms S."""

from __future__ import annotations

import pytest
import torch

from gromo_graph import GrowthError
from gromo_graph.algebra import (
    delta_from_rows,
    extension_from_rows,
    optimal_delta,
    optimal_extension,
    with_constant,
)

RIDGE = 0.1


def problem(rows: int, inputs: int, out: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    b = torch.randn(rows, inputs, generator=generator, dtype=torch.float64)
    return with_constant(b), torch.randn(rows, out, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("rows", "inputs"), [(12, 40), (40, 12), (1, 5)])
def test_delta_is_that_of_s_and_m(rows: int, inputs: int) -> None:
    b, g = problem(rows, inputs, 3)
    found = delta_from_rows(b, g, ridge=RIDGE)
    expected = optimal_delta(b.T @ b / rows, b.T @ g / rows, ridge=RIDGE)
    torch.testing.assert_close(found.delta, expected.delta, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.decrease, expected.decrease, rtol=1e-9, atol=0.0)


@pytest.mark.parametrize("maximum", [None, 2])
@pytest.mark.parametrize(("rows", "inputs"), [(12, 40), (40, 12)])
def test_neurons_are_those_of_s_and_n(rows: int, inputs: int, maximum: int | None) -> None:
    b, g = problem(rows, inputs, 4)
    found = extension_from_rows(b, g, ridge=RIDGE, maximum_neurons=maximum)
    expected = optimal_extension(b.T @ b / rows, -b.T @ g / rows, ridge=RIDGE, maximum_neurons=maximum)
    torch.testing.assert_close(found.singular_values, expected.singular_values, rtol=1e-9, atol=0.0)
    torch.testing.assert_close(found.alpha, expected.alpha, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(found.omega, expected.omega, rtol=1e-8, atol=1e-9)


def test_other_rows_and_a_negative_ridge_are_refused() -> None:
    b, g = problem(6, 3, 2)
    with pytest.raises(GrowthError, match="6 rows of inputs and 5 of gradients"):
        delta_from_rows(b, g[:5], ridge=RIDGE)
    with pytest.raises(GrowthError, match="ridge is -1"):
        extension_from_rows(b, g, ridge=-1.0)
