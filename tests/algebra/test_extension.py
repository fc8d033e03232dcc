from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gromo_graph.algebra import extension_score, optimal_extension
from gromo_graph.algebra.extension import singular_triplets
from gromo_graph.errors import GrowthError
from tests import reference


def problem(fan_in: int, out: int, rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    b = torch.randn(rows, fan_in, generator=generator, dtype=torch.float64)
    g = torch.randn(rows, out, generator=generator, dtype=torch.float64)
    return b.T @ b / rows, -b.T @ g / rows


@settings(deadline=None, max_examples=40)
@given(fan_in=st.integers(1, 6), out=st.integers(1, 6), rows=st.integers(1, 12), seed=st.integers(0, 3))
def test_equals_the_dense_decomposition(fan_in: int, out: int, rows: int, seed: int) -> None:
    s, n = problem(fan_in, out, rows, seed)
    result = optimal_extension(s, n, statistical_threshold=1e-4)
    expected = reference.neurons(s, n)
    k = result.singular_values.shape[0]
    assert k == int((expected.values >= 1e-4).sum())
    torch.testing.assert_close(result.singular_values, expected.values[:k], rtol=1e-4, atol=1e-7)
    found = reference.products(result.alpha, result.omega)
    for one, other in zip(found, reference.products(expected.alpha, expected.omega), strict=False):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("fan_in", "out"), [(65, 10), (10, 65), (32, 32)])
def test_single_precision_is_close_to_double(fan_in: int, out: int) -> None:
    s, n = problem(fan_in, out, 400)
    exact = optimal_extension(s, n)
    single = optimal_extension(s.float(), n.float())
    assert single.solver == "cholesky"
    torch.testing.assert_close(single.singular_values.double(), exact.singular_values, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(
        (single.omega @ single.alpha).double(), exact.omega @ exact.alpha, rtol=1e-3, atol=1e-5
    )


def test_predicted_slope_of_the_neurons_is_the_sum_of_squares() -> None:
    s, n = problem(6, 4, 50)
    result = optimal_extension(s, n, statistical_threshold=0.0)
    # ⟨−g, ω α b⟩ on average is tr(ω α N)
    slope = torch.trace(result.omega @ result.alpha @ n)
    torch.testing.assert_close(slope, result.singular_values.square().sum())


def test_score_is_the_sum_without_any_decomposition() -> None:
    for rows in (50, 4):
        s, n = problem(6, 4, rows)
        result = optimal_extension(s, n, statistical_threshold=0.0)
        torch.testing.assert_close(extension_score(s, n).score, result.singular_values.square().sum())
        assert extension_score(s, n).solver == result.solver


def test_limits_keep_the_largest() -> None:
    s, n = problem(6, 4, 50)
    everything = optimal_extension(s, n, statistical_threshold=0.0)
    assert everything.singular_values.shape == (4,)
    two = optimal_extension(s, n, maximum_neurons=2, statistical_threshold=0.0)
    assert torch.equal(two.alpha, everything.alpha[:2])
    assert torch.equal(two.omega, everything.omega[:, :2])
    threshold = float(everything.singular_values[2])
    assert optimal_extension(s, n, statistical_threshold=threshold).alpha.shape[0] == 3
    assert optimal_extension(s, n, maximum_neurons=0).alpha.shape == (0, 6)


def test_nothing_to_gain_gives_no_neurons() -> None:
    result = optimal_extension(torch.eye(3), torch.zeros(3, 2), statistical_threshold=0.0)
    assert result.alpha.shape == (0, 3)
    assert result.omega.shape == (2, 0)
    dead = optimal_extension(torch.zeros(3, 3), torch.zeros(3, 2))
    assert (dead.rank, dead.alpha.shape[0]) == (0, 0)


@pytest.mark.parametrize(("fan_in", "out"), [(0, 2), (3, 0), (1, 1)])
def test_degenerate_widths(fan_in: int, out: int) -> None:
    result = optimal_extension(torch.eye(fan_in), torch.ones(fan_in, out))
    assert result.alpha.shape == (min(fan_in, out), fan_in)
    assert result.omega.shape == (out, min(fan_in, out))


def test_sign_does_not_depend_on_the_library() -> None:
    _, n = problem(6, 4, 50)
    omega = optimal_extension(torch.eye(6, dtype=torch.float64), n).omega
    largest = omega.gather(0, omega.abs().argmax(dim=0, keepdim=True))
    assert (largest > 0).all()


def test_singular_triplets_of_wide_and_tall_matrices() -> None:
    for shape in ((5, 3), (3, 5), (4, 4)):
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        found = singular_triplets(matrix)
        torch.testing.assert_close((found.left * found.values) @ found.right.T, matrix)
        torch.testing.assert_close(found.values, torch.linalg.svdvals(matrix))


def test_arguments_are_not_changed() -> None:
    s, n = problem(6, 4, 50)
    copies = s.clone(), n.clone()
    optimal_extension(s, n, ridge=0.1)
    assert torch.equal(s, copies[0])
    assert torch.equal(n, copies[1])


def test_misuse() -> None:
    with pytest.raises(GrowthError, match="maximum of neurons is -1"):
        optimal_extension(torch.eye(2), torch.eye(2), maximum_neurons=-1)
    with pytest.raises(GrowthError, match="N holds NaN"):
        optimal_extension(torch.eye(2), torch.full((2, 2), torch.nan))
