"""The best change of a layer's own weights: least squares of the gradient on the layer's input."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gromo_graph.algebra.moments import is_finite
from gromo_graph.algebra.whitening import Solver, whitening
from gromo_graph.errors import GrowthError, NotFiniteError


@dataclass(frozen=True)
class OptimalDelta:
    """The solution of S δᵀ = M.

    Attributes:
        delta: (out, fan_in); W ← W − γ δ.
        decrease: scalar, tr(M δ) ≥ 0: the loss falls by γ · decrease to first order.
        solver: which factorisation of S was used.
        rank: number of directions of S that were used.
    """

    delta: Tensor
    decrease: Tensor
    solver: Solver
    rank: int


def optimal_delta(
    s: Tensor, m: Tensor, *, ridge: float = 0.0, force_pseudo_inverse: bool = False
) -> OptimalDelta:
    """Solve S δᵀ = M, with the pseudo-inverse if S is rank-deficient (docs/maths.md, "Optimal delta").

    Args:
        s: (fan_in, fan_in), E[b bᵀ].
        m: (fan_in, out), E[b gᵀ].
        ridge: added to the diagonal of S, relative to its mean.
        force_pseudo_inverse: use the pseudo-inverse even if S is regular.

    Raises:
        GrowthError: shapes that do not fit, or values that are not finite.

    >>> result = optimal_delta(4 * torch.eye(2), torch.tensor([[4.0], [8.0]]))
    >>> result.delta, result.decrease
    (tensor([[1., 2.]]), tensor(20.))
    """
    check_right_side(s, m, "M")
    factor = whitening(s, ridge=ridge, force_pseudo_inverse=force_pseudo_inverse)
    whitened = factor.whiten(m)
    # tr(M δ) = ‖W M‖²: as a sum of squares it cannot come out negative by rounding.
    decrease = torch.linalg.vector_norm(whitened).square()
    return OptimalDelta(factor.unwhiten(whitened).T, decrease, factor.solver, factor.rank)


def check_right_side(s: Tensor, matrix: Tensor, name: str) -> None:
    """Refuse a right side that does not belong to S: wrong shape, wrong dtype, not finite."""
    check_matrix(matrix, name)
    if s.dim() != 2 or matrix.shape[0] != s.shape[0]:
        raise GrowthError(
            f"{name} has shape {tuple(matrix.shape)} and S {tuple(s.shape)}: expected one row of {name} "
            "for each row of S"
        )
    if matrix.dtype != s.dtype:
        raise GrowthError(f"{name} is {matrix.dtype} and S is {s.dtype}: expected one dtype for both")


def check_matrix(matrix: Tensor, name: str) -> None:
    """Refuse what is no matrix, or holds a number that is none."""
    if matrix.dim() != 2:
        raise GrowthError(f"{name} has shape {tuple(matrix.shape)}: expected a matrix")
    if not is_finite(matrix):
        raise NotFiniteError(
            f"{name} holds NaN or infinite values, so the gradient or the input did",
            "look at the data and the loss, then gather the statistics again",
        )
