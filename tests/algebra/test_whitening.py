"""One factorisation of S: what it must satisfy, at every rank and scale, and which path it says it took."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gromo_graph.algebra import Whitening, extension_score, optimal_delta, optimal_extension, whitening
from gromo_graph.errors import GrowthError
from tests import reference
from tests.algebra.geometries import normal

DTYPES = [torch.float32, torch.float64]
SCALES = [1e-20, 1e-3, 1.0, 1e20]


def inputs(kind: str, rows: int = 40, features: int = 6) -> Tensor:
    """Rows of an input; of all kinds but the first some directions hold nothing."""
    b = normal(rows, features)
    if kind == "duplicated":
        b[:, 3] = b[:, 0]
        b[:, 5] = b[:, 1]
    if kind == "dead":
        b[:, 0] = b[:, 4] = 0.0
    if kind == "duplicated and dead":
        b[:, 3] = b[:, 0]
        b[:, 5] = 0.0
    if kind == "combined":
        b[:, 5] = b[:, 0] - 2.0 * b[:, 1] + 0.5 * b[:, 2]
    if kind == "few samples":
        b = b[:4]
    if kind == "one sample":
        b = b[:1]
    if kind == "constant twice":
        b[:, 2] = b[:, 4] = 1.0
    return b


RANKS = {
    "full": 6,
    "duplicated": 4,
    "dead": 4,
    "duplicated and dead": 4,
    "combined": 5,
    "few samples": 4,
    "one sample": 1,
    "constant twice": 5,
}


def moment(kind: str, dtype: torch.dtype = torch.float64, scale: float = 1.0) -> Tensor:
    b = inputs(kind)
    return (b.T @ b / b.shape[0] * scale).to(dtype)


def matrix_of(factor: Whitening, fan_in: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """W written down, (rank, fan_in)."""
    return factor.whiten(torch.eye(fan_in, dtype=dtype))


def check_defining_equations(s: Tensor, factor: Whitening, tolerance: float) -> None:
    """W S Wᵀ = 1, Wᵀ W = S⁺, and `unwhiten` is the transpose of `whiten`; judged at the scale of S."""
    scale = float(s.abs().max())
    fan_in, rank = s.shape[0], factor.rank
    w = matrix_of(factor, fan_in, s.dtype).double()
    assert w.shape == (rank, fan_in)
    exact = s.double() / scale
    w = w * scale**0.5

    def close(found: Tensor, expected: Tensor) -> None:
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)

    close(w @ exact @ w.T, torch.eye(rank, dtype=torch.float64))
    inverse = w.T @ w
    close(exact @ inverse @ exact, exact)
    close(exact @ inverse, (exact @ inverse).T)
    assert torch.linalg.matrix_rank(inverse, hermitian=True, rtol=1e-6) == rank
    transposed = factor.unwhiten(torch.eye(rank, dtype=s.dtype)).double() * scale**0.5
    close(transposed, w.T)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", RANKS)
def test_defining_equations_hold_at_every_rank_and_scale(kind: str, dtype: torch.dtype, scale: float) -> None:
    s = moment(kind, dtype, scale)
    before = s.clone()
    factor = whitening(s)
    assert factor.rank == RANKS[kind]
    assert factor.solver == ("cholesky" if kind == "full" else "eigh")
    assert factor.factor.dtype == dtype
    check_defining_equations(s, factor, 1e-9 if dtype == torch.float64 else 2e-4)
    assert torch.equal(s, before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", RANKS)
def test_forced_pseudo_inverse_satisfies_the_same_equations(kind: str, dtype: torch.dtype) -> None:
    s = moment(kind, dtype)
    factor = whitening(s, force_pseudo_inverse=True)
    assert (factor.solver, factor.rank) == ("eigh", RANKS[kind])
    check_defining_equations(s, factor, 1e-9 if dtype == torch.float64 else 2e-4)


@settings(max_examples=25)
@given(
    fan_in=st.integers(0, 7),
    rows=st.integers(0, 12),
    q=st.integers(0, 3),
    exponent=st.integers(-20, 20),
    seed=st.integers(0, 50),
    forced=st.booleans(),
)
def test_solves_have_the_least_norm_and_the_least_error(
    fan_in: int, rows: int, q: int, exponent: int, seed: int, forced: bool
) -> None:
    b, right = normal(rows, fan_in, seed=seed), normal(fan_in, q, seed=seed + 1)
    s = 10.0**exponent * (b.T @ b)
    factor = whitening(s, force_pseudo_inverse=forced)
    assert factor.rank == min(rows, fan_in)
    whitened = factor.whiten(right)
    assert whitened.shape == (factor.rank, q)
    solution = factor.unwhiten(whitened)
    # The least squares of torch are those of the least norm, from the rows themselves: S = bᵀb.
    expected = torch.linalg.pinv(b) @ torch.linalg.pinv(b).T @ right / 10.0**exponent
    size = float(expected.abs().max()) if expected.numel() else 1.0
    torch.testing.assert_close(solution, expected, rtol=1e-5, atol=1e-7 * size)


@pytest.mark.parametrize("kind", RANKS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ridge", [0.0, 1e-3])
def test_scale_of_s_changes_neither_the_path_nor_the_solution(
    kind: str, dtype: torch.dtype, ridge: float
) -> None:
    m = normal(6, 3, seed=2).to(dtype)
    reference_one = whitening(moment(kind, dtype), ridge=ridge)
    expected = reference_one.unwhiten(reference_one.whiten(m))
    # Powers of two, so that only the range of the numbers can make a difference.
    for scale in (2.0**-66, 2.0**66):
        factor = whitening(moment(kind, dtype) * scale, ridge=ridge)
        assert (factor.solver, factor.rank) == (reference_one.solver, reference_one.rank)
        solution = factor.unwhiten(factor.whiten(m)) * scale
        torch.testing.assert_close(solution, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", RANKS)
def test_delta_of_any_rank_and_scale_is_that_of_the_pseudo_inverse(kind: str, scale: float) -> None:
    b = inputs(kind)
    g = normal(b.shape[0], 3, seed=7)
    s, m = b.T @ b / b.shape[0], b.T @ g / b.shape[0]
    found = optimal_delta(s * scale, m * scale)
    expected = reference.delta(s, m)
    torch.testing.assert_close(found.delta, expected, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(found.decrease, torch.trace(m @ expected) * scale, rtol=1e-7, atol=0.0)
    # S δᵀ = M, since M lies in what S spans.
    torch.testing.assert_close(s @ found.delta.T, m, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
@pytest.mark.parametrize("kind", RANKS)
def test_singular_values_and_score_do_not_depend_on_the_scale_of_the_input(kind: str, scale: float) -> None:
    b = inputs(kind)
    g = normal(b.shape[0], 3, seed=7)
    s, n = b.T @ b / b.shape[0], -b.T @ g / b.shape[0]
    # Scaling b by c scales S by c² and N by c, and leaves S^{-1/2} N as it is.
    found = optimal_extension(s * scale, n * scale**0.5, numerical_threshold=0.0, statistical_threshold=0.0)
    values = torch.linalg.svdvals(reference.inverse_root(s) @ n)[: min(3, RANKS[kind])]
    torch.testing.assert_close(found.singular_values, values, rtol=1e-6, atol=1e-9)
    score = extension_score(s * scale, n * scale**0.5, numerical_threshold=0.0)
    torch.testing.assert_close(score.score, values.square().sum(), rtol=1e-6, atol=1e-9)


# -- the ridge ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", RANKS)
@pytest.mark.parametrize("ridge", [1e-6, 0.1, 3.0])
def test_ridge_is_added_to_the_diagonal_relative_to_its_mean(kind: str, ridge: float, scale: float) -> None:
    s = moment(kind) * scale
    before = s.clone()
    factor = whitening(s, ridge=ridge)
    mean = float(sum(s[i, i] for i in range(6)) / 6)
    shifted = s.clone()
    for i in range(6):
        shifted[i, i] += ridge * mean
    assert (factor.solver, factor.rank) == ("cholesky", 6)  # with a ridge no direction is near zero
    w = matrix_of(factor, 6)
    torch.testing.assert_close(w @ shifted @ w.T, torch.eye(6, dtype=torch.float64), rtol=1e-6, atol=1e-8)
    assert torch.equal(s, before)


def test_ridge_shrinks_the_solution_towards_zero() -> None:
    s, m = moment("full"), normal(6, 2, seed=3)
    norms = []
    for ridge in (0.0, 0.01, 0.1, 1.0, 100.0):
        factor = whitening(s, ridge=ridge)
        norms.append(float(factor.unwhiten(factor.whiten(m)).norm()))
    assert all(later < earlier for earlier, later in itertools.pairwise(norms))


@pytest.mark.parametrize("dtype", DTYPES)
def test_ridge_of_a_zero_s_is_zero(dtype: torch.dtype) -> None:
    factor = whitening(torch.zeros(3, 3, dtype=dtype), ridge=0.5)
    assert (factor.solver, factor.rank) == ("eigh", 0)


# -- which path, and what counts as zero -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fan_in", [2, 8])
def test_eigenvalues_within_rounding_count_as_zero(dtype: torch.dtype, fan_in: int) -> None:
    rounding = 10.0 * fan_in * torch.finfo(dtype).eps
    for share, rank in ((4.0, fan_in), (0.25, fan_in - 1)):
        # Ones on the diagonal, so that the unit of no input plays a part, and one eigenvalue of this size.
        shared = (1.0 - share * rounding) / (fan_in - 1)
        s = torch.full((fan_in, fan_in), -shared, dtype=torch.float64)
        s.fill_diagonal_(1.0)
        smallest = torch.linalg.eigvalsh(s.to(dtype).double())[0]
        if abs(float(smallest) / (share * rounding) - 1.0) < 0.5:  # as far as the entries hold that much
            assert whitening(s.to(dtype), force_pseudo_inverse=True).rank == rank
        # The unit of one input is no rounding, however small.
        s = torch.eye(fan_in, dtype=torch.float64)
        s[0, 0] = share * rounding
        assert whitening(s.to(dtype), force_pseudo_inverse=True).rank == fan_in


@pytest.mark.parametrize("dtype", DTYPES)
def test_cholesky_is_left_where_a_variable_is_nearly_a_copy_of_another(dtype: torch.dtype) -> None:
    eps = torch.finfo(dtype).eps

    def nearly(rest: float) -> Tensor:
        """The second variance is `rest` once the first variable is known."""
        return torch.tensor([[1.0, 1.0], [1.0, 1.0 + rest]], dtype=dtype)

    # The smallest eigenvalue is half of that, and its bound 10 · fan_in · eps.
    assert whitening(nearly(60.0 * eps)).solver == "cholesky"
    assert whitening(nearly(28.0 * eps)).solver == "eigh"
    assert not torch.linalg.cholesky_ex(nearly(28.0 * eps)).info.item()  # Cholesky itself would go through


def test_scale_of_a_single_variable_is_no_reason_to_leave_cholesky() -> None:
    s = moment("full")
    units = torch.tensor([1.0, 1e-9, 1e9, 1.0, 1e-5, 1.0], dtype=torch.float64)
    factor = whitening(s * units[:, None] * units)
    assert (factor.solver, factor.rank) == ("cholesky", 6)
    w = matrix_of(factor, 6)
    unit_free = (w.T @ w) * units[:, None] * units
    torch.testing.assert_close(unit_free, torch.linalg.inv(s))
    forced = whitening(s * units[:, None] * units, force_pseudo_inverse=True)
    assert (forced.solver, forced.rank) == ("eigh", 6)


@pytest.mark.parametrize(
    ("smallest", "threshold", "solver", "rank"),
    [
        (1e-4, 0.0, "cholesky", 3),
        (1e-4, 1e-5, "cholesky", 3),
        (1e-4, 5e-5, "eigh", 3),  # within the slack of the bound that Cholesky's diagonal is
        (1e-4, 1e-3, "eigh", 2),
        (1e-4, 1e-4, "eigh", 2),  # up to this value
        (1e-4, 2.0, "eigh", 0),
    ],
)
def test_eigenvalues_up_to_the_threshold_count_as_zero(
    smallest: float, threshold: float, solver: str, rank: int
) -> None:
    s = torch.diag(torch.tensor([1.0, smallest, 1.0], dtype=torch.float64))
    found = whitening(s, threshold=threshold)
    assert (found.solver, found.rank) == (solver, rank)
    kept = s.diagonal() > threshold
    w = matrix_of(found, 3)
    torch.testing.assert_close(w.T @ w, torch.diag(kept.double() / s.diagonal()))


def test_absolute_threshold_is_met_by_a_tiny_s_as_a_whole() -> None:
    s = moment("full", scale=1e-20)
    assert whitening(s, threshold=1e-15).rank == 0
    assert whitening(s).rank == 6


def test_negative_eigenvalues_are_left_out() -> None:
    s = torch.diag(torch.tensor([2.0, -1.0, 3.0], dtype=torch.float64))
    found = whitening(s)
    assert (found.solver, found.rank) == ("eigh", 2)
    w = matrix_of(found, 3)
    torch.testing.assert_close(w.T @ w, torch.diag(torch.tensor([0.5, 0.0, 1.0 / 3.0], dtype=torch.float64)))


@pytest.mark.parametrize("kind", ["duplicated", "dead", "few samples"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_svd_takes_over_where_eigh_does_not_converge(
    kind: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    s = moment(kind, dtype)

    def fail(_: Tensor) -> None:
        raise torch.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(torch.linalg, "eigh", fail)
    factor = whitening(s)
    assert (factor.solver, factor.rank) == ("svd", RANKS[kind])
    monkeypatch.undo()
    check_defining_equations(s, factor, 1e-9 if dtype == torch.float64 else 2e-4)


def test_single_precision_is_decomposed_in_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    eigh = torch.linalg.eigh

    def watched(matrix: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(matrix.dtype)
        return eigh(matrix)

    monkeypatch.setattr(torch.linalg, "eigh", watched)
    assert whitening(moment("dead", torch.float32)).factor.dtype == torch.float32
    assert seen == [torch.float64]


def test_rounding_that_makes_s_asymmetric_does_no_harm() -> None:
    s = moment("duplicated")
    tilted = s + 1e-15 * normal(6, 6, seed=4)
    one, other = whitening(s), whitening(tilted)
    assert one.rank == other.rank == 4
    w, v = matrix_of(one, 6), matrix_of(other, 6)
    torch.testing.assert_close(w.T @ w, v.T @ v, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_a_layer_without_inputs(forced: bool, ridge: float) -> None:
    factor = whitening(torch.zeros(0, 0), ridge=ridge, force_pseudo_inverse=forced)
    assert factor.rank == 0
    assert factor.whiten(torch.zeros(0, 3)).shape == (0, 3)
    assert factor.unwhiten(torch.zeros(0, 3)).shape == (0, 3)


@pytest.mark.parametrize("s", [torch.zeros(2, 3), torch.zeros(4), torch.zeros(2, 2, 2)])
def test_s_must_be_square(s: Tensor) -> None:
    with pytest.raises(GrowthError, match="expected a square matrix"):
        whitening(s)


@pytest.mark.parametrize("ridge", [-1e-12, float("nan")])
def test_ridge_must_be_a_number_of_at_least_zero(ridge: float) -> None:
    with pytest.raises(GrowthError, match="the ridge is"):
        whitening(torch.eye(2), ridge=ridge)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_s_must_be_finite(bad: float) -> None:
    s = torch.eye(3)
    s[2, 0] = bad
    with pytest.raises(GrowthError, match="S holds NaN or infinite values"):
        whitening(s)
