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


@pytest.mark.parametrize("ridge", [0.0, RIDGE])
def test_rows_that_repeat_need_no_ridge(ridge: float) -> None:
    b, g = problem(8, 30, 3)
    b, g = torch.cat((b, b[:3])), torch.cat((g, g[3:6]))  # the same inputs with other gradients
    s = b.T @ b / len(b)
    delta = delta_from_rows(b, g, ridge=ridge)
    expected = optimal_delta(s, b.T @ g / len(b), ridge=ridge)
    torch.testing.assert_close(delta.delta, expected.delta, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(delta.decrease, expected.decrease, rtol=1e-9, atol=0.0)
    assert delta.rank == (8 if ridge == 0.0 else len(b))
    neurons = extension_from_rows(b, g, ridge=ridge)
    dense = optimal_extension(s, -b.T @ g / len(b), ridge=ridge)
    torch.testing.assert_close(neurons.singular_values, dense.singular_values, rtol=1e-9, atol=0.0)
    torch.testing.assert_close(neurons.alpha, dense.alpha, rtol=1e-8, atol=1e-9)


def test_single_precision_is_as_good_as_double() -> None:
    generator = torch.Generator().manual_seed(1)
    # As of images: the squares of the directions fall by eight powers of ten.
    b = torch.randn(40, 200, generator=generator) @ torch.diag(torch.logspace(0, -4, 200))
    g = torch.randn(40, 5, generator=generator)
    found = extension_from_rows(b, g, ridge=1e-4)
    expected = extension_from_rows(b.double(), g.double(), ridge=1e-4)
    torch.testing.assert_close(found.singular_values.double(), expected.singular_values, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(found.alpha.double(), expected.alpha, rtol=1e-4, atol=1e-4)


def test_single_precision_hears_no_noise_where_the_rows_say_nothing() -> None:
    generator = torch.Generator().manual_seed(2)
    b = torch.randn(64, 4, generator=generator) @ torch.randn(4, 200, generator=generator)
    reached = torch.linalg.svd(b.double(), full_matrices=False).U[:, :4]
    g = torch.randn(64, 10, generator=generator).double()
    g = (g - 0.999 * reached @ (reached.T @ g)).float()  # nearly all of it is out of the reach of the rows
    found = delta_from_rows(b, g, ridge=1e-3)
    expected = delta_from_rows(b.double(), g.double(), ridge=1e-3)
    torch.testing.assert_close(found.decrease.double(), expected.decrease, rtol=1e-4, atol=0.0)
    neurons = extension_from_rows(b, g, ridge=1e-3, statistical_threshold=0.0)
    dense = extension_from_rows(b.double(), g.double(), ridge=1e-3, statistical_threshold=0.0)
    torch.testing.assert_close(
        neurons.singular_values[:4].double(), dense.singular_values[:4], rtol=1e-4, atol=0.0
    )


@pytest.mark.parametrize("maximum", [None, 3])
def test_more_outputs_than_rows(maximum: int | None) -> None:
    b, g = problem(6, 20, 50)
    found = extension_from_rows(b, g, ridge=RIDGE, maximum_neurons=maximum)
    expected = optimal_extension(b.T @ b / 6, -b.T @ g / 6, ridge=RIDGE, maximum_neurons=maximum)
    assert len(found.singular_values) == (maximum or 6)
    torch.testing.assert_close(found.singular_values, expected.singular_values, rtol=1e-9, atol=0.0)
    torch.testing.assert_close(found.alpha, expected.alpha, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(found.omega, expected.omega, rtol=1e-8, atol=1e-9)
