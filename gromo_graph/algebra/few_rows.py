"""The least squares of a layer in the space of samples: for fewer rows than inputs S is never formed.

With B the rows and ρ the ridge, (BᵀB/n + ρ)⁻¹ Bᵀ = n Bᵀ (BBᵀ + nρ)⁻¹: all that is factored is BBᵀ + nρ, (rows, rows)
(docs/maths.md, "Few rows, many inputs").
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gromo_graph.algebra.delta import OptimalDelta, check_matrix
from gromo_graph.algebra.optimal_neurons import OptimalExtension, extension_of
from gromo_graph.algebra.output_whitening import OutputWhitening
from gromo_graph.algebra.svd import triplets_of
from gromo_graph.algebra.whitening import Whitening, high_precision, whitening
from gromo_graph.errors import GrowthError


@dataclass(frozen=True)
class _Solution:
    """The least squares of all outputs.

    Attributes:
        weights: (S + ρ)⁻¹ Bᵀg/n, (fan_in, out).
        whitened: R, (n + fan_in, out), with RᵀR = (Bᵀg/n)ᵀ (S + ρ)⁻¹ Bᵀg/n. factor: of BBᵀ + nρ.
    """

    weights: Tensor
    whitened: Tensor
    factor: Whitening


def delta_from_rows(rows: Tensor, gradient: Tensor, *, ridge: float) -> OptimalDelta:
    """`optimal_delta` of S = BᵀB/n and M = Bᵀg/n, without either of them.

    Args:
        rows: B, (n, fan_in), with a column of ones for a bias. gradient: g, (n, out).
        ridge: added to the diagonal of S, relative to its mean.

    Raises:
        GrowthError: another number of rows, values that are not finite, a negative ridge.

    >>> delta_from_rows(torch.eye(2), torch.tensor([[2.0], [4.0]]), ridge=0.0).delta
    tensor([[2., 4.]])
    """
    check_matrix(gradient, "g")
    solved = _solved(rows, gradient, ridge)
    decrease = torch.linalg.vector_norm(solved.whitened).square()
    return OptimalDelta(
        solved.weights.T.to(rows), decrease.to(rows), solved.factor.solver, solved.factor.rank
    )


def extension_from_rows(
    rows: Tensor,
    gradient: Tensor,
    *,
    ridge: float,
    statistical_threshold: float = 1e-3,
    maximum_neurons: int | None = None,
    outputs: OutputWhitening | None = None,
) -> OptimalExtension:
    """`optimal_extension` of S = BᵀB/n and N = −Bᵀg/n, without either of them.

    Args:
        rows: B, (n, fan_in), what the layer that gets new outputs reads. gradient: g, (n, out), at all that reads them.
        ridge, statistical_threshold, maximum_neurons, outputs: as in `optimal_extension`.

    Raises:
        GrowthError: as in `delta_from_rows`.

    >>> extension_from_rows(torch.eye(2), torch.tensor([[4.0], [0.0]]), ridge=0.0).singular_values
    tensor([2.8284])
    """
    check_matrix(gradient, "g")
    gradient = gradient if outputs is None else outputs.whiten(gradient)
    # What n gradients span has n dimensions at the most, however many outputs there are.
    basis = torch.linalg.qr(gradient.T.to(high_precision(rows))).Q
    solved = _solved(rows, gradient.to(basis) @ basis, ridge)
    triplets, decomposition = triplets_of(-solved.whitened, maximum_neurons)
    # S^(−1/2) U = (S + ρ)⁻¹ N V Λ⁻¹, for R V = U Λ.
    directions = -solved.weights @ triplets.right / triplets.values
    found = extension_of(
        lambda left: left,
        replace(triplets, left=directions, right=basis @ triplets.right),
        solver=solved.factor.solver,
        rank=solved.factor.rank,
        decomposition=decomposition,
        threshold=statistical_threshold,
        maximum_neurons=maximum_neurons,
    )
    omega = found.omega if outputs is None else outputs.unwhiten(found.omega)
    return replace(
        found,
        alpha=found.alpha.to(rows),
        omega=omega.to(rows),
        singular_values=found.singular_values.to(rows),
    )


def _solved(rows: Tensor, gradient: Tensor, ridge: float) -> _Solution:
    check_matrix(rows, "B")
    if rows.shape[0] != gradient.shape[0]:
        raise GrowthError(
            f"{rows.shape[0]} rows of inputs and {gradient.shape[0]} of gradients: expected the same number"
        )
    if not ridge >= 0.0:
        raise GrowthError(f"the ridge is {ridge}: expected a number of at least 0")
    # In float64: where rows repeat, what rounding leaves of the gradient in the null space of BBᵀ is divided by nρ.
    rows = rows.to(high_precision(rows))
    products = rows @ rows.T
    shift = ridge * float(products.diagonal().sum()) / max(1, rows.shape[1])
    shifted = products.clone()
    shifted.diagonal().add_(shift)
    factor = whitening(shifted)
    by_sample = factor.unwhiten(factor.whiten(gradient.to(rows)))
    weights = rows.T @ by_sample
    whitened = torch.cat((products @ by_sample, shift**0.5 * weights)) / max(1, rows.shape[0]) ** 0.5
    return _Solution(weights, whitened, factor)
