"""One factorisation of S for everything that needs its inverse or the root of its inverse.

A whitening is a matrix W with Wᵀ W = S⁻¹ (the pseudo-inverse if S is singular). With it the
optimal delta is Wᵀ(W M), the matrix whose singular vectors are the new neurons is W N, and the score
without any decomposition is ‖W N‖²: any W serves, so the cheapest that is exact enough is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gromo_graph.algebra.moments import is_finite
from gromo_graph.errors import GrowthError, NotFiniteError

Solver = Literal["cholesky", "eigh", "svd", "none"]

# How many rounding errors of the largest diagonal entry still count as zero.
_MARGIN = 10.0
# Start vectors of the search for a direction that S lacks.
_PROBES = 4


@dataclass(frozen=True)
class Whitening:
    """A factor of S and how it was found.

    Attributes:
        solver: "cholesky" (S well conditioned), "eigh" (near singular: small eigenvalues left out),
            "svd" (if eigh did not converge).
        rank: number of directions of S that are used; (fan_in) with Cholesky.
        factor: with Cholesky the lower triangle L, else the matrix W itself, (rank, fan_in).
    """

    solver: Solver
    rank: int
    factor: Tensor

    # The triangle stands on the right of the transposed matrix: that is 2.5 times faster than on the left.

    def whiten(self, matrix: Tensor) -> Tensor:
        """W @ matrix: (fan_in, q) -> (rank, q)."""
        if self.solver == "cholesky":
            return _solved_from_the_right(self.factor.T, matrix, upper=True)
        return self.factor @ matrix

    def unwhiten(self, matrix: Tensor) -> Tensor:
        """Wᵀ @ matrix: (rank, q) -> (fan_in, q)."""
        if self.solver == "cholesky":
            return _solved_from_the_right(self.factor, matrix, upper=False)
        return self.factor.T @ matrix


def _solved_from_the_right(triangle: Tensor, matrix: Tensor, *, upper: bool) -> Tensor:
    """X with triangleᵀ X = matrix."""
    solution: Tensor = torch.linalg.solve_triangular(triangle, matrix.T, upper=upper, left=False)
    return solution.T


def whitening(
    s: Tensor, *, ridge: float = 0.0, threshold: float = 0.0, force_pseudo_inverse: bool = False
) -> Whitening:
    """Factor S, by Cholesky if that is safe, else by its eigenvalues.

    Args:
        s: (fan_in, fan_in), symmetric positive semi-definite.
        ridge: added to the diagonal, relative to its mean.
        threshold: eigenvalues up to this absolute value count as zero. Whatever it is, eigenvalues
            within rounding (10 · fan_in · eps · the largest, with every input in the unit in which its second moment
            is 1) do too: their inverse would be noise.
        force_pseudo_inverse: skip Cholesky.

    Raises:
        GrowthError: S is not a square matrix, or not finite, or the ridge is negative.

    >>> whitening(torch.eye(2)).solver, whitening(torch.ones(2, 2)).rank
    ('cholesky', 1)
    """
    _check(s, ridge)
    regular = _with_ridge(s, ridge)
    if not force_pseudo_inverse:
        lower, failed = torch.linalg.cholesky_ex(regular)
        if not failed.item() and _is_safe(lower, regular, threshold):
            return Whitening("cholesky", s.shape[0], lower)
    return _by_eigenvalues(regular, threshold)


def high_precision(tensor: Tensor) -> torch.dtype:
    """float64 if the device has it (Apple's GPUs have not), else the tensor's own dtype."""
    return tensor.dtype if tensor.device.type == "mps" else torch.float64


def eigenvalues(symmetric: Tensor) -> tuple[Tensor, Tensor, Solver]:
    """Eigenvalues of a positive semi-definite matrix in ascending order, their vectors, and how they were found.

    >>> eigenvalues(torch.diag(torch.tensor([4.0, 1.0])))[0]
    tensor([1., 4.])
    """
    try:
        values, vectors = torch.linalg.eigh(symmetric)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        # For a symmetric matrix without negative eigenvalues the two decompositions are the same.
        vectors, values, _ = torch.linalg.svd(symmetric)
        return values.flip(0), vectors.flip(1), "svd"
    return values, vectors, "eigh"


def _check(s: Tensor, ridge: float) -> None:
    if s.dim() != 2 or s.shape[0] != s.shape[1]:
        raise GrowthError(f"S has shape {tuple(s.shape)}: expected a square matrix (fan_in, fan_in)")
    if not ridge >= 0.0:
        raise GrowthError(f"the ridge is {ridge}: expected a number of at least 0")
    if not is_finite(s):
        raise NotFiniteError(
            "S holds NaN or infinite values, so the layer's input did",
            "look at the data and the loss, then gather the statistics again",
        )


def _with_ridge(s: Tensor, ridge: float) -> Tensor:
    if ridge == 0.0 or s.shape[0] == 0:
        return s
    regular = s.clone()
    regular.diagonal().add_(ridge * s.diagonal().mean())
    return regular


def _rounding(s: Tensor) -> float:
    return _MARGIN * s.shape[0] * torch.finfo(s.dtype).eps


def _is_safe(lower: Tensor, s: Tensor, threshold: float) -> bool:
    """True if no direction of S is near zero, relative to the units of the inputs and to the threshold.

    The square of a diagonal entry of L is what remains of an input when those before it are known: an upper bound of
    the smallest eigenvalue, for which fan_in leaves room. Where those before are nearly dependent themselves, rounding
    can make it large though nothing remains; the iteration finds that direction.
    """
    if s.shape[0] == 0:
        return True
    remaining = lower.diagonal().square()
    if not bool(
        ((remaining / s.diagonal()).min() > _rounding(s)) & (remaining.min() > threshold * s.shape[0])
    ):
        return False
    return _smallest_eigenvalue(lower, s.diagonal().sqrt()[:, None]) > _rounding(s)


def _smallest_eigenvalue(lower: Tensor, scale: Tensor) -> float:
    """The smallest eigenvalue of L Lᵀ divided by a scale on both sides, by inverse iteration.

    It is a bound from above, and close if the eigenvalue is far smaller than the others.

    Args:
        lower: L. scale: (fan_in, 1).
    """
    generator = torch.Generator().manual_seed(0)  # its own: no other random number changes
    block = torch.randn(lower.shape[0], _PROBES, generator=generator).to(lower)
    for _ in range(2):
        block = block / torch.linalg.vector_norm(block, dim=0)
        half = torch.linalg.solve_triangular(lower, scale * block, upper=False)
        block = scale * torch.linalg.solve_triangular(lower.T, half, upper=True)
    return 1.0 / float(torch.linalg.vector_norm(block, dim=0).max())


def _by_eigenvalues(s: Tensor, threshold: float) -> Whitening:
    # In float64: this path is rare, and single precision is what makes eigh fail to converge.
    exact = ((s + s.T) / 2).to(high_precision(s))
    # Inputs in another unit have the same rank: what is zero is judged with ones on the diagonal.
    scale = torch.where(exact.diagonal() > 0.0, exact.diagonal().rsqrt(), 1.0)
    values, vectors, solver = eigenvalues(exact * scale[:, None] * scale)
    largest = float(values.max()) if values.numel() else 0.0
    keep = values > _rounding(s) * largest
    factor = (vectors[:, keep] / values[keep].sqrt()).T * scale
    # Without its part in the null space of S this is a root of the pseudo-inverse.
    lacking = torch.linalg.qr(vectors[:, ~keep] * scale[:, None]).Q
    factor = factor - (factor @ lacking) @ lacking.T
    if float(factor.square().sum()) * threshold >= 1.0:  # else all other eigenvalues are above the threshold
        _, roots, right = torch.linalg.svd(factor, full_matrices=False)
        above = roots.square() * threshold < 1.0
        factor = roots[above, None] * right[above]
    return Whitening(solver, factor.shape[0], factor.to(s.dtype))
