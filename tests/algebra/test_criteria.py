"""Neurons that change nothing when they are added: GradMax, random ones, and pairs that cancel."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gromo_graph.algebra import (
    OptimalExtension,
    Spread,
    gradmax_extension,
    random_extension,
    variance_transfer_extension,
)
from gromo_graph.errors import GrowthError
from tests.algebra.geometries import normal

Draw = Callable[..., OptimalExtension]
DRAWN = [random_extension, variance_transfer_extension]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uneven_spread(fan_in: int = 5, out: int = 4) -> Spread:
    """Another deviation for each column of α and each row of ω, and one that is zero on each side."""
    values = torch.tensor([0.5, 0.0, 2.0, 1.0, 0.1, 3.0], dtype=torch.float64)
    return Spread(values[:fan_in], values.flip(0)[-out:] if out else values[:0])


# -- gradmax ------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(
    fan_in=st.integers(1, 6),
    out=st.integers(1, 6),
    neurons=st.integers(0, 7),
    length=st.sampled_from((0.5, 3.0)),
    nudge=st.sampled_from((0.0, 1e-3, 2.0)),
    seed=st.integers(0, 20),
)
def test_gradmax_has_the_leading_singular_vectors_at_the_asked_lengths(
    fan_in: int, out: int, neurons: int, length: float, nudge: float, seed: int
) -> None:
    n = normal(fan_in, out, seed=seed)
    before = n.clone()
    found = gradmax_extension(n, neurons=neurons, length=length, nudge=nudge)
    k = min(neurons, fan_in, out)
    assert found.alpha.shape == (k, fan_in)
    assert found.omega.shape == (out, k)
    left, values, right = torch.linalg.svd(n, full_matrices=False)
    torch.testing.assert_close(found.singular_values, values[:k])
    for j in range(k):
        # A singular vector has no sign: what it projects on has.
        omega, alpha = found.omega[:, j], found.alpha[j]
        torch.testing.assert_close(omega.outer(omega), length**2 * right[j].outer(right[j]))
        torch.testing.assert_close(alpha.outer(alpha), nudge**2 * left[:, j].outer(left[:, j]))
        torch.testing.assert_close(alpha, nudge * (n @ omega) / (length * values[j]))
    assert torch.equal(n, before)
    assert (found.solver, found.rank, found.decomposition) == ("none", k, "full")


def problem(rows: int = 40, fan_in: int = 5, out: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """An input, a gradient, and N = −E[b gᵀ]."""
    b, g = normal(rows, fan_in), normal(rows, out, seed=1)
    return b, g, -b.T @ g / rows


def test_gradient_of_a_zero_fan_in_is_that_of_the_docstring_and_the_largest() -> None:
    b, g, n = problem()
    found = gradmax_extension(n, neurons=2, length=0.7)
    assert not found.alpha.any()

    def gradient(omega: Tensor) -> Tensor:
        alpha = torch.zeros(omega.shape[1], 5, dtype=torch.float64, requires_grad=True)
        loss = (
            (b @ alpha.T @ omega.T) * g
        ).sum() / 40  # what the new neurons add to the loss, to first order
        return torch.autograd.grad(loss, alpha)[0]

    torch.testing.assert_close(gradient(found.omega), -found.omega.T @ n.T)
    largest = gradient(found.omega).square().sum()
    torch.testing.assert_close(largest, 0.7**2 * found.singular_values.square().sum())
    for seed in range(20):
        other = 0.7 * torch.linalg.qr(normal(4, 2, seed=seed)).Q
        assert gradient(other).square().sum() < largest


def test_nudge_lowers_the_loss() -> None:
    b, g, n = problem()
    found = gradmax_extension(n, neurons=4, length=2.0, nudge=1e-3)
    change = ((b @ found.alpha.T @ found.omega.T) * g).sum() / 40
    torch.testing.assert_close(change, -2.0 * 1e-3 * found.singular_values.sum())
    # With a relu, half of what arrives is cut off; the other half has a gradient again.
    alpha = found.alpha.clone().requires_grad_()
    (torch.relu(b @ alpha.T) @ found.omega.T * g).sum().backward()
    assert alpha.grad is not None
    assert (alpha.grad.norm(dim=1) > 0.0).all()


def test_gradmax_finds_no_more_than_there_are_directions() -> None:
    assert gradmax_extension(torch.zeros(3, 2), neurons=2, length=1.0).alpha.shape == (0, 3)
    low_rank = normal(5, 2) @ normal(2, 4, seed=1)
    found = gradmax_extension(low_rank, neurons=4, length=1.0)
    assert (found.rank, found.omega.shape) == (2, (4, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradmax_keeps_the_dtype(dtype: torch.dtype) -> None:
    found = gradmax_extension(normal(4, 3).to(dtype), neurons=2, length=1.0, nudge=0.1)
    assert found.alpha.dtype == found.omega.dtype == found.singular_values.dtype == dtype


# -- random -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("neurons", [0, 1, 3])
def test_random_neurons_have_no_fan_out(neurons: int) -> None:
    found = random_extension(uneven_spread(), neurons=neurons, generator=seeded())
    assert found.alpha.shape == (neurons, 5)
    assert torch.equal(found.omega, torch.zeros(4, neurons, dtype=torch.float64))


def deviations_of(values: Tensor) -> Tensor:
    return values.square().mean(dim=0).sqrt()


def assert_is_normal(values: Tensor) -> None:
    """Mean 0, deviation 1, and the share of values beyond some bounds as of a normal law."""
    count = values.numel()
    assert abs(float(values.mean())) < 5.0 / math.sqrt(count)
    assert float(values.std()) == pytest.approx(1.0, abs=5.0 / math.sqrt(count))
    for bound in (-1.5, -0.5, 0.0, 0.5, 1.5):
        expected = 0.5 * (1.0 + math.erf(bound / math.sqrt(2.0)))
        assert float((values < bound).double().mean()) == pytest.approx(expected, abs=2.5 / math.sqrt(count))


@pytest.mark.parametrize("draw", DRAWN)
def test_fan_in_is_drawn_from_a_normal_law_of_the_asked_deviation_for_each_column(draw: Draw) -> None:
    spread = uneven_spread()
    alpha = draw(spread, neurons=20001, generator=seeded()).alpha
    different = alpha if draw is random_extension else torch.cat((alpha[:10000], alpha[20000:]))
    torch.testing.assert_close(deviations_of(different), spread.fan_in, rtol=0.03, atol=0.0)
    columns = spread.fan_in > 0.0
    assert_is_normal(different[:, columns] / spread.fan_in[columns])
    # Columns are drawn each on its own.
    scaled = different[:, columns] / spread.fan_in[columns]
    torch.testing.assert_close(
        scaled.T @ scaled / scaled.shape[0], torch.eye(4, dtype=torch.float64), atol=0.05, rtol=0.0
    )


@pytest.mark.parametrize("draw", DRAWN)
def test_a_generator_makes_the_draw_repeatable_and_leaves_other_random_numbers_alone(draw: Draw) -> None:
    spread = uneven_spread()
    before = torch.get_rng_state()
    one = draw(spread, neurons=5, generator=seeded(3))
    two = draw(spread, neurons=5, generator=seeded(3))
    other = draw(spread, neurons=5, generator=seeded(4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.alpha, two.alpha)
    assert torch.equal(one.omega, two.omega)
    assert not torch.equal(one.alpha, other.alpha)
    generator = seeded(3)
    first, second = (draw(spread, neurons=5, generator=generator) for _ in range(2))
    assert torch.equal(first.alpha, one.alpha)
    assert not torch.equal(second.alpha, first.alpha)


@pytest.mark.parametrize("draw", DRAWN)
def test_without_a_generator_torchs_default_one_is_used(draw: Draw) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(11)
        one = draw(uneven_spread(), neurons=4)
        torch.manual_seed(11)
        two = draw(uneven_spread(), neurons=4)
    assert torch.equal(one.alpha, two.alpha)
    assert torch.equal(one.omega, two.omega)
    seeded_one = draw(uneven_spread(), neurons=4, generator=seeded(11))
    assert torch.equal(one.alpha, seeded_one.alpha)


@pytest.mark.parametrize("draw", DRAWN)
def test_a_seed_gives_the_same_numbers_in_every_dtype(draw: Draw) -> None:
    spread = Spread(torch.tensor([1.0, 0.5, 2.0]), torch.tensor([1.0, 4.0]))
    wide = Spread(spread.fan_in.double(), spread.fan_out.double())
    single, double = (draw(some, neurons=5, generator=seeded(2)) for some in (spread, wide))
    assert (single.alpha.dtype, double.alpha.dtype) == (torch.float32, torch.float64)
    assert (single.omega.dtype, double.omega.dtype) == (torch.float32, torch.float64)
    assert torch.equal(single.alpha.double(), double.alpha)  # these deviations are powers of two
    assert torch.equal(single.omega.double(), double.omega)


@pytest.mark.parametrize("draw", DRAWN)
def test_drawn_neurons_tell_that_nothing_was_solved(draw: Draw) -> None:
    found = draw(uneven_spread(), neurons=3, generator=seeded())
    assert (found.solver, found.rank, found.decomposition) == ("none", 0, "full")
    assert torch.equal(found.singular_values, torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("draw", DRAWN)
@pytest.mark.parametrize("neurons", [0, 3])
def test_layers_without_inputs_or_outputs(draw: Draw, neurons: int) -> None:
    no_inputs = draw(uneven_spread(fan_in=0), neurons=neurons, generator=seeded())
    assert (no_inputs.alpha.shape, no_inputs.omega.shape) == ((neurons, 0), (4, neurons))
    no_outputs = draw(uneven_spread(out=0), neurons=neurons, generator=seeded())
    assert (no_outputs.alpha.shape, no_outputs.omega.shape) == ((neurons, 5), (0, neurons))


@pytest.mark.parametrize("draw", DRAWN)
@pytest.mark.parametrize("wrong", [-1.0, -1e-9, math.nan])
def test_deviations_that_are_none_are_refused(draw: Draw, wrong: float) -> None:
    with pytest.raises(GrowthError, match="negative or no number"):
        draw(Spread(torch.tensor([1.0, wrong]), torch.ones(2)), neurons=2)
    if draw is variance_transfer_extension:
        with pytest.raises(GrowthError, match="negative or no number"):
            draw(Spread(torch.ones(2), torch.tensor([wrong, 1.0])), neurons=2)
    else:
        draw(Spread(torch.ones(2), torch.tensor([wrong, 1.0])), neurons=2)  # only its fan-in is used


@pytest.mark.parametrize("draw", DRAWN)
def test_spreads_are_not_written_to(draw: Draw) -> None:
    spread = uneven_spread()
    before = spread.fan_in.clone(), spread.fan_out.clone()
    found = draw(spread, neurons=4, generator=seeded())
    found.alpha.fill_(9.0)
    found.omega.fill_(9.0)
    assert torch.equal(spread.fan_in, before[0])
    assert torch.equal(spread.fan_out, before[1])


# -- variance transfer --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("neurons", [0, 1, 2, 3, 6, 7])
def test_pairs_have_one_fan_in_and_opposite_fan_outs(neurons: int) -> None:
    found = variance_transfer_extension(uneven_spread(), neurons=neurons, generator=seeded())
    pairs = neurons // 2
    assert found.alpha.shape == (neurons, 5)
    assert found.omega.shape == (4, neurons)
    assert torch.equal(found.alpha[:pairs], found.alpha[pairs : 2 * pairs])
    assert torch.equal(found.omega[:, :pairs], -found.omega[:, pairs : 2 * pairs])
    assert not found.omega[:, 2 * pairs :].any()
    # Every neuron receives something, also an odd one; different pairs are different.
    assert (found.alpha.norm(dim=1) > 0.0).all()
    assert found.alpha.unique(dim=0).shape[0] == pairs + neurons % 2


@pytest.mark.parametrize("function", [torch.tanh, torch.relu, torch.sigmoid])
@pytest.mark.parametrize("neurons", [4, 5])
def test_pairs_cancel_behind_any_activation_until_training_parts_them(
    function: Callable[[Tensor], Tensor], neurons: int
) -> None:
    b, g, _ = problem()
    spread = Spread(torch.ones(5, dtype=torch.float64), torch.ones(4, dtype=torch.float64))
    found = variance_transfer_extension(spread, neurons=neurons, generator=seeded())
    alpha, omega = found.alpha.clone().requires_grad_(), found.omega.clone().requires_grad_()
    added = function(b @ alpha.T) @ omega.T
    torch.testing.assert_close(added, torch.zeros(40, 4, dtype=torch.float64))
    at_alpha, at_omega = torch.autograd.grad((added * g).sum(), (alpha, omega))
    paired = 4
    assert (at_alpha[:paired].norm(dim=1) > 0.0).all()
    assert (at_omega.norm(dim=0) > 0.0).all()
    assert not at_alpha[paired:].any()
    moved = function(b @ (alpha - 0.01 * at_alpha).T) @ (omega - 0.01 * at_omega).T
    assert moved.abs().max() > 1e-6


def test_fan_out_is_drawn_from_a_normal_law_of_the_asked_deviation_for_each_row() -> None:
    spread = uneven_spread()
    omega = variance_transfer_extension(spread, neurons=20000, generator=seeded()).omega[:, :10000]
    torch.testing.assert_close(deviations_of(omega.T), spread.fan_out, rtol=0.03, atol=0.0)
    rows = spread.fan_out > 0.0
    assert_is_normal(omega[rows] / spread.fan_out[rows, None])


def test_fan_in_and_fan_out_are_drawn_each_on_its_own() -> None:
    spread = Spread(torch.ones(3), torch.ones(3))
    found = variance_transfer_extension(spread, neurons=20000, generator=seeded())
    together = found.omega[:, :10000] @ found.alpha[:10000] / 10000
    assert together.abs().max() < 0.05
