"""The least squares of a layer in the space of samples: for fewer rows than inputs S is never formed.

With B the rows and ρ the ridge, (BᵀB/n + ρ)⁻¹ Bᵀ = n Bᵀ (BBᵀ + nρ)⁻¹: all that is decomposed is BBᵀ, (rows, rows)
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
from gromo_graph.algebra.whitening import Solver, eigenvalues, high_precision
from gromo_graph.errors import GrowthError


@dataclass(frozen=True)
class _RowSpace:
    """Directions of the rows.

    Attributes:
        squares: (r,), positive eigenvalues of BBᵀ. vectors: (n, r). shift: nρ, what the ridge adds to the squares.
    """

    squares: Tensor
    vectors: Tensor
    shift: float
    solver: Solver


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
    space = _row_space(rows, gradient, ridge)
    g = space.vectors.T @ gradient.to(space.vectors)
    weights = g / (space.squares + space.shift)[:, None]
    delta = (rows.T @ (space.vectors @ weights).to(rows)).T
    decrease = (g.square() * (space.squares / (space.squares + space.shift))[:, None]).sum() / rows.shape[0]
    return OptimalDelta(delta, decrease.to(rows), space.solver, len(space.squares))


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
    space = _row_space(rows, gradient, ridge)
    gradient = gradient if outputs is None else outputs.whiten(gradient)
    n, shifted = rows.shape[0], space.squares + space.shift
    g = space.vectors.T @ gradient.to(space.vectors)
    # RᵀR = Nᵀ (S + ρ)⁻¹ N.
    whitened = -g * (space.squares / (shifted * n)).sqrt()[:, None]
    triplets, decomposition = triplets_of(whitened.to(rows), maximum_neurons)
    # α = (S + ρ)⁻¹ N V Λ^(−1/2), and R V = U Λ takes the place of g V.
    back = (n / (space.squares * shifted)).sqrt()[:, None]
    found = extension_of(
        lambda left: rows.T @ (space.vectors @ (back * left.to(space.vectors))).to(rows),
        triplets,
        solver=space.solver,
        rank=len(space.squares),
        decomposition=decomposition,
        threshold=statistical_threshold,
        maximum_neurons=maximum_neurons,
    )
    return found if outputs is None else replace(found, omega=outputs.unwhiten(found.omega))


def _row_space(rows: Tensor, gradient: Tensor, ridge: float) -> _RowSpace:
    check_matrix(rows, "B")
    check_matrix(gradient, "g")
    if rows.shape[0] != gradient.shape[0]:
        raise GrowthError(
            f"{rows.shape[0]} rows of inputs and {gradient.shape[0]} of gradients: expected the same number"
        )
    if not ridge >= 0.0:
        raise GrowthError(f"the ridge is {ridge}: expected a number of at least 0")
    products = rows @ rows.T
    squares, vectors, solver = eigenvalues(products.to(high_precision(rows)))
    largest = float(squares.max()) if squares.numel() else 0.0
    keep = squares > 10.0 * len(squares) * torch.finfo(rows.dtype).eps * largest
    shift = ridge * float(products.diagonal().sum()) / max(1, rows.shape[1])
    return _RowSpace(squares[keep], vectors[:, keep], shift, solver)
