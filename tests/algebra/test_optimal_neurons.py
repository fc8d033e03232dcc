from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gromo_graph.algebra import OptimalExtension, extension_score, optimal_extension, svd
from gromo_graph.algebra.svd import leading_triplets, singular_triplets
from gromo_graph.errors import GrowthError
from tests import reference


def problem(fan_in: int, out: int, rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    b = torch.randn(rows, fan_in, generator=generator, dtype=torch.float64)
    g = torch.randn(rows, out, generator=generator, dtype=torch.float64)
    return b.T @ b / rows, -b.T @ g / rows


@settings(max_examples=20)
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


def test_eigenvalues_of_s_up_to_the_numerical_threshold_are_left_out() -> None:
    s = torch.diag(torch.tensor([1.0, 1e-4, 2.0], dtype=torch.float64))
    n = torch.diag(torch.tensor([3.0, 5.0, 4.0], dtype=torch.float64))
    found = optimal_extension(s, n, numerical_threshold=1e-3)
    assert (found.solver, found.rank) == ("eigh", 2)
    assert not found.alpha[:, 1].any()
    assert optimal_extension(s, n).rank == 3
    # S as a whole is below a threshold that is absolute: nothing is found.
    assert optimal_extension(1e-20 * s, n).alpha.shape == (0, 3)
    assert optimal_extension(1e-20 * s, n, numerical_threshold=0.0).alpha.shape == (3, 3)


def test_ridge_is_that_of_the_shifted_s() -> None:
    s, n = problem(6, 4, 50)
    shifted = s + 0.2 * s.diagonal().mean() * torch.eye(6, dtype=torch.float64)
    found, expected = optimal_extension(s, n, ridge=0.2), optimal_extension(shifted, n)
    torch.testing.assert_close(found.alpha, expected.alpha)
    torch.testing.assert_close(found.omega, expected.omega)


def test_singular_values_up_to_the_statistical_threshold() -> None:
    n = torch.diag(torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64))
    eye = torch.eye(3, dtype=torch.float64)
    for threshold, kept in ((0.0, 3), (1.0, 3), (1.0 + 1e-9, 2), (4.0, 1), (4.1, 0)):
        assert optimal_extension(eye, n, statistical_threshold=threshold).singular_values.shape == (kept,)


def test_more_neurons_than_directions_are_as_many_as_there_are() -> None:
    s, n = problem(6, 4, 50)
    low_rank = n[:, :1] @ torch.ones(1, 4, dtype=torch.float64)
    assert optimal_extension(s, n, maximum_neurons=50, statistical_threshold=0.0).alpha.shape == (4, 6)
    assert optimal_extension(s, low_rank, maximum_neurons=3, statistical_threshold=0.0).alpha.shape == (1, 6)
    few = problem(6, 4, 3)
    found = optimal_extension(*few, maximum_neurons=4, statistical_threshold=0.0)
    assert (found.rank, found.alpha.shape[0]) == (3, 3)


# -- few neurons of a wide layer ----------------------------------------------------------------------------------

WIDE = 300
TOLERANCE = 2.5e-3  # "within about 0.2 %"
place = torch.arange(WIDE, dtype=torch.float64)

SPECTRA = {
    "well separated": 2.0**-place,
    "falling": 1.0 / (1.0 + place),
    "one stands out": torch.where(place < 1, 5.0, 1.0 - place / WIDE),
    "clustered": torch.where(place < 10, 3.0, torch.where(place < 40, 2.9, 0.5)).double(),
    "two clusters": torch.where(place < 3, 3.0, 0.1).double(),
    "flat": torch.ones(WIDE, dtype=torch.float64),
    "low rank": torch.where(place < 10, 10.0 - place, 0.0),
    "rank one": torch.where(place < 1, 7.0, 0.0).double(),
    "linear": 1.0 - place / WIDE,
    "slowly falling": (1.0 - place / WIDE) ** 0.25,
    "zero": torch.zeros(WIDE, dtype=torch.float64),
}


def with_values(values: Tensor, *, rows: int = WIDE, columns: int = WIDE, seed: int = 0) -> Tensor:
    """A matrix with these singular values and random singular vectors."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        torch.linalg.qr(torch.randn(size, len(values), generator=generator, dtype=torch.float64)).Q
        for size in (rows, columns)
    )
    return (left * values) @ right.T


def solved(n: Tensor, count: int | None, *, threshold: float = 0.0) -> OptimalExtension:
    """With S = 1: the singular values are those of N itself."""
    eye = torch.eye(n.shape[0], dtype=n.dtype)
    return optimal_extension(eye, n, maximum_neurons=count, statistical_threshold=threshold)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 4, 16, 37])
@pytest.mark.parametrize("name", SPECTRA)
def test_few_neurons_of_a_wide_layer_capture_what_the_full_decomposition_does(
    name: str, count: int, dtype: torch.dtype
) -> None:
    values = SPECTRA[name]
    n = with_values(values).to(dtype)
    found = solved(n, count)
    best = values[:count].square().sum()
    share = found.singular_values.double().square().sum()
    assert share >= (1.0 - TOLERANCE) * best
    assert share <= (1.0 + 1e-4) * best  # no more than there is
    # What the neurons say they capture they do capture: tr(ω α N).
    slope = torch.trace(found.omega.double() @ found.alpha.double() @ n.double())
    torch.testing.assert_close(slope, share, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("count", [1, 4, 16, 32])
@pytest.mark.parametrize("name", SPECTRA)
def test_few_neurons_of_a_wide_layer_are_as_orthogonal_as_singular_vectors(name: str, count: int) -> None:
    found = solved(with_values(SPECTRA[name]), count)
    size = found.singular_values.sqrt()
    for vectors in (found.alpha / size[:, None], (found.omega / size).T):
        eye = torch.eye(len(size), dtype=torch.float64)
        torch.testing.assert_close(vectors @ vectors.T, eye, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("rank", "count"), [(1, 1), (1, 8), (3, 16), (5, 5), (10, 32), (30, 32)])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_low_rank_gives_as_many_neurons_as_its_rank_and_no_more(
    rank: int, count: int, dtype: torch.dtype, seed: int
) -> None:
    _, n = problem(WIDE, WIDE, rank, seed)
    n = n.to(dtype)
    found, everything = solved(n, count), solved(n, None)
    assert everything.singular_values.shape == (rank,)
    assert found.singular_values.shape == (min(rank, count),)
    torch.testing.assert_close(found.singular_values, everything.singular_values[:count], rtol=2e-3, atol=0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("outputs", [1, 2, 5, 20, 60])
@pytest.mark.parametrize("count", [1, 4, 16])
@pytest.mark.parametrize("side", ["outputs", "inputs"])
def test_most_outputs_without_a_gradient_or_most_inputs_without_a_signal(
    outputs: int, count: int, dtype: torch.dtype, side: str
) -> None:
    _, n = problem(WIDE, WIDE, 1000)
    if side == "outputs":
        n[:, outputs:] = 0.0
    else:
        n[outputs:] = 0.0
    found = solved(n.to(dtype), count)
    best = torch.linalg.svdvals(n)[:count].square().sum()
    share = found.singular_values.double().square().sum()
    torch.testing.assert_close(share, best, rtol=TOLERANCE, atol=0.0)


def watched(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """True for each call of the iteration that has converged."""
    converged: list[bool] = []

    def watch(matrix: Tensor, count: int) -> svd.SingularTriplets | None:
        found = leading_triplets(matrix, count)
        converged.append(found is not None)
        return found

    monkeypatch.setattr(svd, "leading_triplets", watch)
    return converged


@pytest.mark.parametrize(
    ("rows", "columns", "count", "tried"),
    [
        (257, 257, 32, True),
        (256, 256, 32, False),  # not wide
        (256, 600, 1, False),
        (600, 256, 1, False),
        (257, 257, 33, False),  # more than an eighth
        (300, 600, 37, True),
        (600, 300, 37, True),
        (300, 600, 38, False),
        (257, 257, None, False),
        (257, 257, 0, False),
        (257, 257, 1, True),
    ],
)
def test_the_iteration_is_for_few_neurons_of_wide_layers(
    rows: int, columns: int, count: int | None, tried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    converged = watched(monkeypatch)
    values = 1.0 / (1.0 + torch.arange(min(rows, columns), dtype=torch.float64))
    n = with_values(values, rows=rows, columns=columns)
    found = solved(n, count)
    assert converged == ([True] if tried else [])
    assert found.decomposition == ("leading" if tried else "full")
    k = len(values) if count is None else count
    assert found.alpha.shape == (k, rows)
    assert found.omega.shape == (columns, k)
    torch.testing.assert_close(
        found.singular_values.square().sum(), values[:k].square().sum(), rtol=2e-3, atol=0.0
    )
    torch.testing.assert_close(
        found.singular_values, values[:k], rtol=2e-2, atol=0.0
    )  # the last ones converge last
    # Neuron by neuron, where the values are well apart: those of the full decomposition, with the same signs.
    exact = solved(n, None)
    some = min(k, 3)
    torch.testing.assert_close(found.alpha[:some], exact.alpha[:some], rtol=0.0, atol=1e-4)
    torch.testing.assert_close(found.omega[:, :some], exact.omega[:, :some], rtol=0.0, atol=1e-4)


def test_width_is_counted_in_directions_of_s(monkeypatch: pytest.MonkeyPatch) -> None:
    converged = watched(monkeypatch)
    s = torch.eye(WIDE, dtype=torch.float64)
    n = with_values(SPECTRA["falling"])
    assert optimal_extension(s, n, maximum_neurons=4).decomposition == "leading"
    s[256:] = 0.0
    found = optimal_extension(s, n, maximum_neurons=4)
    assert (found.solver, found.rank, found.decomposition) == ("eigh", 256, "full")
    assert converged == [True]


def test_slow_convergence_is_left_to_the_full_decomposition_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    converged = watched(monkeypatch)
    _, n = problem(WIDE, WIDE, 1000)
    found, everything = solved(n, 32), solved(n, None)
    assert converged == [False]
    assert (found.decomposition, everything.decomposition) == ("full", "full")
    assert torch.equal(found.alpha, everything.alpha[:32])
    assert torch.equal(found.omega, everything.omega[:, :32])


def test_zero_gradient_of_a_wide_layer_gives_no_neurons() -> None:
    found = solved(torch.zeros(WIDE, WIDE), 4)
    assert (found.alpha.shape, found.omega.shape) == ((0, WIDE), (WIDE, 0))
    assert found.decomposition == "leading"


def test_statistical_threshold_holds_for_few_neurons_too() -> None:
    n = with_values(SPECTRA["falling"])
    found = solved(n, 8, threshold=0.3)  # 1, 1/2, 1/3
    assert found.decomposition == "leading"
    assert found.singular_values.shape == (3,)
    assert (found.alpha.shape, found.omega.shape) == ((3, WIDE), (WIDE, 3))
    assert solved(n, 8, threshold=2.0).alpha.shape == (0, WIDE)


def test_the_whitened_problem_is_what_few_neurons_are_taken_from() -> None:
    values = SPECTRA["falling"]
    root = torch.linalg.qr(torch.randn(WIDE, WIDE, generator=torch.Generator().manual_seed(5)).double()).R
    # With S = RᵀR and N = Rᵀ P the singular values of S^{-1/2} N are those of P.
    s, n = root.T @ root, root.T @ with_values(values)
    found = optimal_extension(s, n, maximum_neurons=6, statistical_threshold=0.0)
    assert found.decomposition == "leading"
    torch.testing.assert_close(found.singular_values, values[:6], rtol=1e-4, atol=0.0)
    inner = found.alpha @ s @ found.alpha.T
    torch.testing.assert_close(inner, torch.diag(found.singular_values), rtol=1e-5, atol=1e-6)
    largest = found.omega.gather(0, found.omega.abs().argmax(dim=0, keepdim=True))
    assert (largest > 0).all()


@pytest.mark.parametrize("call", [lambda n: leading_triplets(n, 4), lambda n: solved(n, 4)])
def test_the_iteration_repeats_itself_and_moves_no_other_random_number(
    call: Callable[[Tensor], object],
) -> None:
    n = with_values(SPECTRA["falling"])
    before, state = n.clone(), torch.get_rng_state()
    one, two = call(n), call(n)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(n, before)
    for name in vars(one):
        value = getattr(one, name)
        if isinstance(value, Tensor):
            assert torch.equal(value, getattr(two, name))
