"""Other ways to find new neurons than the optimal extension: by the gradient alone, or at random.

There is no step size to search for. All but `first_weights_extension` change nothing when they are added: training
finds their use.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gromo_graph.algebra.delta import check_matrix
from gromo_graph.algebra.optimal_neurons import OptimalExtension
from gromo_graph.algebra.svd import singular_triplets
from gromo_graph.errors import GrowthError


@dataclass(frozen=True)
class Spread:
    """Standard deviations that the weights of new neurons get: of each column of α and of each row of ω.

    Attributes:
        fan_in: (fan_in,). fan_out: (out,).
    """

    fan_in: Tensor
    fan_out: Tensor


def gradmax_extension(n: Tensor, *, neurons: int, length: float, nudge: float = 0.0) -> OptimalExtension:
    """GradMax: fan-out along the strongest gradients of a fan-in that is zero (Evci et al. 2022).

    With α = 0 the gradient of the loss at α is −ωᵀ Nᵀ: it is largest for the right singular vectors of N.

    Args:
        n: (fan_in, out), −E[b gᵀ] of the raw gradient.
        neurons: how many at the most.
        length: norm of each column of ω.
        nudge: norm of each row of α, along its descent direction. Zero is the method; if the activation's
            derivative differs left and right of 0, autograd gives a unit at exactly 0 no gradient, and it stays dead.

    Raises:
        GrowthError: N is no matrix, or not finite.

    >>> found = gradmax_extension(torch.diag(torch.tensor([4.0, 1.0])), neurons=1, length=2.0)
    >>> found.alpha, found.omega.abs()
    (tensor([[0., 0.]]), tensor([[2.],
            [0.]]))
    """
    check_matrix(n, "N")
    triplets = singular_triplets(n, neurons)
    values, left, right = triplets.values, triplets.left, triplets.right
    return OptimalExtension(
        alpha=(left * nudge).T.contiguous(),
        omega=right * length,
        singular_values=values,
        solver="none",
        rank=values.shape[0],
        decomposition="full",
    )


def random_extension(
    spread: Spread, *, neurons: int, generator: torch.Generator | None = None
) -> OptimalExtension:
    """Neurons drawn from a normal law with zero fan-out, so that the function is preserved (Net2Net's condition).

    Args:
        spread: its fan-in is used; its device and dtype are those of the result.

    >>> found = random_extension(Spread(torch.ones(3), torch.ones(2)), neurons=4)
    >>> found.alpha.shape, found.omega
    (torch.Size([4, 3]), tensor([[0., 0., 0., 0.],
            [0., 0., 0., 0.]]))
    """
    alpha = _normal(neurons, spread.fan_in, generator)
    return _drawn(alpha, alpha.new_zeros(spread.fan_out.shape[0], neurons))


def variance_transfer_extension(
    spread: Spread, *, neurons: int, unit: int = 1, generator: torch.Generator | None = None
) -> OptimalExtension:
    """Pairs of neurons with one fan-in and opposite fan-outs, at the spread of the old weights (Yuan et al. 2023).

    The two of a pair cancel until training parts them; both sides have a gradient from the start. Those left over at
    the end have zero fan-out. Old weights are not rescaled: without a normalisation behind them that would change the
    function.

    Args:
        spread: of new weights on both sides; its device and dtype are those of the result.
        unit: neurons are normalised in groups of so many, and cancel if a whole group is the copy of another.

    >>> found = variance_transfer_extension(Spread(torch.ones(3), torch.ones(2)), neurons=3)
    >>> (found.omega @ found.alpha).abs().max() < 1e-6
    tensor(True)
    """
    pairs = neurons // (2 * unit) * unit
    half = _normal(pairs, spread.fan_in, generator)
    rest = _normal(neurons - 2 * pairs, spread.fan_in, generator)
    out = _normal(pairs, spread.fan_out, generator).T
    alpha = torch.cat((half, half, rest))
    return _drawn(alpha, torch.cat((out, -out, out.new_zeros(out.shape[0], rest.shape[0])), dim=1))


def first_weights_extension(
    spread: Spread, *, neurons: int, generator: torch.Generator | None = None
) -> OptimalExtension:
    """Neurons drawn on both sides, as in a network that begins. They change the function.

    Args:
        spread: of new weights on both sides; its device and dtype are those of the result.

    >>> found = first_weights_extension(Spread(torch.ones(3), torch.zeros(2)), neurons=4)
    >>> found.alpha.shape, found.omega.shape
    (torch.Size([4, 3]), torch.Size([2, 4]))
    """
    alpha = _normal(neurons, spread.fan_in, generator)
    return _drawn(alpha, _normal(neurons, spread.fan_out, generator).T)


def _normal(rows: int, spread: Tensor, generator: torch.Generator | None) -> Tensor:
    """(rows, len(spread)), drawn on the CPU in float32, so that a seed gives the same numbers on every device."""
    if not bool((spread >= 0.0).all()):
        raise GrowthError("a standard deviation of new weights is negative or no number: expected at least 0")
    device = "cpu" if generator is None else generator.device
    return torch.randn(rows, spread.shape[0], generator=generator, device=device).to(spread) * spread


def _drawn(alpha: Tensor, omega: Tensor) -> OptimalExtension:
    return OptimalExtension(
        alpha, omega, alpha.new_zeros(alpha.shape[0]), solver="none", rank=0, decomposition="full"
    )
