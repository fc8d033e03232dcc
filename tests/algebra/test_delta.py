from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gromo_graph.algebra import optimal_delta, whitening
from gromo_graph.errors import GrowthError
from tests import reference


def problem(fan_in: int, out: int, rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    b = torch.randn(rows, fan_in, generator=generator, dtype=torch.float64)
    g = torch.randn(rows, out, generator=generator, dtype=torch.float64)
    return b.T @ b / max(rows, 1), b.T @ g / max(rows, 1)


@settings(max_examples=20)
@given(fan_in=st.integers(0, 6), out=st.integers(0, 4), rows=st.integers(1, 12), seed=st.integers(0, 3))
def test_equals_the_pseudo_inverse_whatever_the_rank(fan_in: int, out: int, rows: int, seed: int) -> None:
    s, m = problem(fan_in, out, rows, seed)
    result = optimal_delta(s, m)
    torch.testing.assert_close(result.delta, reference.delta(s, m), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(result.decrease, torch.trace(m @ result.delta), rtol=1e-6, atol=1e-9)
    assert result.decrease >= 0


def test_path_taken_is_in_the_result() -> None:
    s, m = problem(4, 2, 30)
    assert optimal_delta(s, m).solver == "cholesky"
    forced = optimal_delta(s, m, force_pseudo_inverse=True)
    assert forced.solver == "eigh"
    torch.testing.assert_close(forced.delta, optimal_delta(s, m).delta)
    few = optimal_delta(*problem(4, 2, 3))
    assert (few.solver, few.rank) == ("eigh", 3)


def test_duplicated_inputs_in_single_precision_do_not_blow_up() -> None:
    x = torch.randn(50, 5)
    x = torch.cat((x, x[:, :2]), dim=1)
    g = torch.randn(50, 3)
    result = optimal_delta(x.T @ x / 50, x.T @ g / 50)
    assert result.solver == "eigh"
    assert result.rank == 5
    expected = reference.delta((x.double().T @ x.double()) / 50, (x.double().T @ g.double()) / 50)
    torch.testing.assert_close(result.delta.double(), expected, rtol=1e-3, atol=1e-4)


def test_zero_statistics_give_a_zero_delta() -> None:
    result = optimal_delta(torch.zeros(3, 3), torch.zeros(3, 2))
    assert result.delta.abs().max() == 0
    assert result.decrease == 0
    assert result.rank == 0


def test_ridge_is_relative_to_the_mean_of_the_diagonal() -> None:
    s, m = problem(4, 2, 30)
    shifted = s + 0.1 * s.diagonal().mean() * torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(optimal_delta(s, m, ridge=0.1).delta, optimal_delta(shifted, m).delta)
    torch.testing.assert_close(
        optimal_delta(7 * s, 7 * m, ridge=0.1).delta, optimal_delta(s, m, ridge=0.1).delta
    )


def test_eigh_that_does_not_converge_is_replaced_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    s, m = problem(4, 2, 3)
    expected = optimal_delta(s, m).delta

    def fail(matrix: Tensor) -> None:
        raise torch.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(torch.linalg, "eigh", fail)
    result = optimal_delta(s, m)
    assert result.solver == "svd"
    torch.testing.assert_close(result.delta, expected)


def test_arguments_are_not_changed() -> None:
    for rows in (30, 3):
        s, m = problem(4, 2, rows)
        copies = s.clone(), m.clone()
        optimal_delta(s, m, ridge=0.1)
        optimal_delta(s, m, force_pseudo_inverse=True)
        assert torch.equal(s, copies[0])
        assert torch.equal(m, copies[1])


@pytest.mark.parametrize(
    ("s", "m", "message"),
    [
        (torch.eye(3), torch.zeros(2, 2), "one row of M"),
        (torch.zeros(3, 2), torch.zeros(3, 2), "square"),
        (torch.eye(3), torch.zeros(3, 2, dtype=torch.float64), "one dtype"),
        (torch.full((3, 3), torch.nan), torch.zeros(3, 2), "S holds NaN"),
        (torch.eye(3), torch.full((3, 2), torch.inf), "M holds NaN or infinite"),
    ],
)
def test_misuse(s: Tensor, m: Tensor, message: str) -> None:
    with pytest.raises(GrowthError, match=message):
        optimal_delta(s, m)


def test_negative_ridge_is_refused() -> None:
    with pytest.raises(GrowthError, match="ridge is -1"):
        optimal_delta(torch.eye(2), torch.eye(2), ridge=-1.0)


def test_whitening_is_a_root_of_the_inverse() -> None:
    for rows in (30, 3):
        s, _ = problem(4, 2, rows)
        factor = whitening(s)
        w = factor.whiten(torch.eye(4, dtype=torch.float64))
        torch.testing.assert_close(w.T @ w, torch.linalg.pinv(s, hermitian=True))
        torch.testing.assert_close(factor.unwhiten(w), w.T @ w)


def test_absolute_threshold_removes_small_directions() -> None:
    s = torch.diag(torch.tensor([1.0, 1e-4], dtype=torch.float64))
    assert whitening(s).rank == 2
    cut = whitening(s, threshold=1e-3)
    assert (cut.solver, cut.rank) == ("eigh", 1)
