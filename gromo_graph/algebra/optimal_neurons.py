"""The best new neurons between two layers: singular vectors of the whitened N."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from gromo_graph.algebra.delta import check_right_side
from gromo_graph.algebra.output_whitening import OutputWhitening
from gromo_graph.algebra.whitening import Solver, eigenvalues, high_precision, whitening
from gromo_graph.errors import GrowthError

Decomposition = Literal["full", "leading"]

# A narrower matrix is decomposed in full at once; a wider one if more than this share is wanted.
_WIDE = 256
_FEW = 1 / 8
# The iteration ends when no more than this share of the sum of squares seems to be missing.
_LACKING = 2e-3
# Entries of this share of the largest one count as equally large: far beyond rounding, also that of the moments.
_AS_LARGE = 1.0 - 1e-3


@dataclass(frozen=True)
class OptimalExtension:
    """New neurons in the order of their singular values, largest first.

    Attributes:
        alpha: (k, fan_in), fan-in weights, the last column the bias if S has a constant column.
        omega: (out, k), fan-out weights. In each column the entry of largest magnitude is positive (the first
            one of several), so that the sign depends neither on the linear algebra library nor on rounding.
        singular_values: (k,), λ. The predicted slope is σ'(0⁺) Σ λ².
        solver: which factorisation of S was used.
        rank: number of directions of S that were used.
        decomposition: "full", or "leading" if few neurons of a wide layer were wanted: then the sum of
            their λ² is within about 0.2 % of the largest possible.
    """

    alpha: Tensor
    omega: Tensor
    singular_values: Tensor
    solver: Solver
    rank: int
    decomposition: Decomposition


@dataclass(frozen=True)
class SingularTriplets:
    """U (rows, r), values (r,) in descending order, V (columns, r) of a matrix U diag(values) Vᵀ."""

    left: Tensor
    values: Tensor
    right: Tensor


def optimal_extension(
    s: Tensor,
    n: Tensor,
    *,
    ridge: float = 0.0,
    numerical_threshold: float = 1e-15,
    statistical_threshold: float = 1e-3,
    maximum_neurons: int | None = None,
    outputs: OutputWhitening | None = None,
) -> OptimalExtension:
    """Neurons that decrease the loss most for their size (docs/maths.md, "Optimal new neurons").

    Args:
        s: (fan_in, fan_in), second moment of the input of the layer that gets the new outputs.
        n: (fan_in, out), −E[b (g − δ b')ᵀ].
        ridge: added to the diagonal of S, relative to its mean.
        numerical_threshold: eigenvalues of S up to this value count as zero.
        statistical_threshold: singular values below this value count as zero.
        maximum_neurons: keep at most so many; None keeps all.
        outputs: G^(−1/2), for neurons by natural gradient; None takes the outputs as they are.

    Returns:
        k neurons; k may be 0 (no gradient left, a zero input, a layer without outputs).

    Raises:
        GrowthError: shapes that do not fit, values that are not finite, a negative maximum.

    >>> result = optimal_extension(torch.eye(2), torch.diag(torch.tensor([4.0, 1.0])), maximum_neurons=1)
    >>> result.alpha.abs(), result.omega, result.singular_values
    (tensor([[2., 0.]]), tensor([[2.],
            [0.]]), tensor([4.]))
    """
    check_right_side(s, n, "N")
    if maximum_neurons is not None and maximum_neurons < 0:
        raise GrowthError(f"the maximum of neurons is {maximum_neurons}: expected None or at least 0")
    factor = whitening(s, ridge=ridge, threshold=numerical_threshold)
    whitened = factor.whiten(n)
    whitened = whitened if outputs is None else outputs.whiten(whitened)
    triplets, decomposition = triplets_of(whitened, maximum_neurons)
    found = extension_of(
        factor.unwhiten,
        triplets,
        solver=factor.solver,
        rank=factor.rank,
        decomposition=decomposition,
        threshold=statistical_threshold,
        maximum_neurons=maximum_neurons,
    )
    return found if outputs is None else replace(found, omega=outputs.unwhiten(found.omega))


def triplets_of(whitened: Tensor, maximum_neurons: int | None) -> tuple[SingularTriplets, Decomposition]:
    """Singular triplets of a whitened N: the leading ones alone if few of many are wanted."""
    few = maximum_neurons is not None and 0 < maximum_neurons <= _FEW * min(whitened.shape)
    wide = min(whitened.shape) > _WIDE
    triplets = leading_triplets(whitened, maximum_neurons) if maximum_neurons and few and wide else None
    if triplets is not None:
        return triplets, "leading"
    return singular_triplets(whitened), "full"


def extension_of(
    unwhiten: Callable[[Tensor], Tensor],
    triplets: SingularTriplets,
    *,
    solver: Solver,
    rank: int,
    decomposition: Decomposition,
    threshold: float,
    maximum_neurons: int | None,
) -> OptimalExtension:
    """The neurons of singular triplets of a whitened N.

    Args:
        unwhiten: multiplies vectors U by S^(−1/2). threshold: singular values below it count as zero.
        solver, rank: of S. decomposition: of the whitened N. maximum_neurons: None keeps all.
    """
    keep = triplets.values >= threshold
    if maximum_neurons is not None:
        keep[maximum_neurons:] = False
    values = triplets.values[keep]
    root = values.sqrt()
    right = triplets.right[:, keep]
    signs = _signs(right)
    return OptimalExtension(
        alpha=(unwhiten(triplets.left[:, keep]) * (root * signs)).T.contiguous(),
        omega=right * (root * signs),
        singular_values=values,
        solver=solver,
        rank=rank,
        decomposition=decomposition,
    )


def singular_triplets(matrix: Tensor, count: int | None = None) -> SingularTriplets:
    """Singular values and vectors from the smaller Gram matrix, the `count` largest or all, but none within rounding.

    A Gram matrix squares the condition number, so it is formed in float64: then the small singular
    values are as good as those of a decomposition of the matrix itself in its own dtype.

    >>> singular_triplets(torch.tensor([[3.0, 0.0], [0.0, 0.0]])).values
    tensor([3.])
    """
    wide = matrix.to(high_precision(matrix))
    tall = wide if wide.shape[0] >= wide.shape[1] else wide.T
    squares, vectors, _ = eigenvalues(tall.T @ tall)
    values = squares.clamp_min(0.0).sqrt().flip(0)
    largest = float(values[0]) if values.numel() else 0.0
    # float64 Gram matrices cannot tell values below √eps of the largest from zero.
    floor = max(torch.finfo(matrix.dtype).eps, torch.finfo(wide.dtype).eps ** 0.5) * max(tall.shape)
    keep = values > floor * largest
    values, vectors = values[keep][:count], vectors.flip(1)[:, keep][:, :count]
    others = (tall @ vectors) / values
    left, right = (others, vectors) if wide.shape[0] >= wide.shape[1] else (vectors, others)
    return SingularTriplets(*(tensor.to(matrix.dtype) for tensor in (left, values, right)))


def leading_triplets(matrix: Tensor, count: int) -> SingularTriplets | None:
    """The `count` largest singular values and their vectors by block Krylov iteration, None if it is slow to
    converge.

    The basis grows by one block a step until the sum of the wanted squares hardly does. The first block comes from a
    generator of its own with a fixed seed: the same matrix gives the same answer, and no other random number changes.
    """
    columns, block, limit = matrix.shape[1], count + 8, min(matrix.shape) // 2
    start = torch.randn(columns, block, generator=torch.Generator().manual_seed(0)).to(matrix)
    basis, images = matrix.new_empty(columns, limit), matrix.new_empty(matrix.shape[0], limit)
    gram = matrix.new_empty(limit, limit)
    added = torch.linalg.qr(matrix.T @ (matrix @ start)).Q
    size, captured, gain = 0, 0.0, math.inf
    while size + block <= limit:
        old, size = size, size + added.shape[1]
        basis[:, old:size] = added
        images[:, old:size] = newest = matrix @ added
        gram[:size, old:size] = products = images[:, :size].T @ newest
        gram[old:size, :old] = products[:old].T
        now = float(torch.linalg.eigvalsh(gram[:size, :size])[-count:].sum())
        previous, gain = gain, now - captured
        if old == size or (old and _rest(gain, previous) <= _LACKING * now):
            found = singular_triplets(images[:, :size], count)
            return SingularTriplets(found.left, found.values, basis[:, :size] @ found.right)
        captured = now
        added = _new_directions(matrix.T @ newest, basis[:, :size])
    return None


def _new_directions(block: Tensor, basis: Tensor) -> Tensor:
    """An orthonormal basis of what a block has beyond a basis; directions of the size of rounding are none."""
    rounding = torch.finfo(block.dtype).eps * float(torch.linalg.vector_norm(block))
    for _ in range(2):  # once leaves rounding of the size of what was taken away
        block = block - basis @ (basis.T @ block)
    block, triangle = torch.linalg.qr(block)
    sizes = triangle.diagonal().abs()
    if bool((sizes > 1e4 * rounding).all()):
        return block
    # The smaller a direction, the more of the rounding in it lies along the basis.
    block = block[:, sizes > 100.0 * rounding]
    kept: Tensor = torch.linalg.qr(block - basis @ (basis.T @ block)).Q
    return kept


def _rest(gain: float, previous: float) -> float:
    """The rest of a sum whose terms fall by the same ratio from now on; infinite if they do not fall."""
    if gain <= 0.0:
        return 0.0
    # The gain itself at least: a fast start says little of a slow end.
    return max(gain, gain / (previous / gain - 1.0)) if gain < previous < math.inf else math.inf


def _signs(vectors: Tensor) -> Tensor:
    """The sign of each column's entry of largest magnitude, (columns,).

    Of several entries that are equally large but for rounding the first one decides: with two classes the columns are
    multiples of (1, −1), and the greater of the two would be chosen by the last digit, differently in each process.

    >>> _signs(torch.tensor([[0.5, 0.1], [-0.50000003, -0.9]]))
    tensor([ 1., -1.])
    """
    if vectors.numel() == 0:
        return vectors.new_ones(vectors.shape[1])
    sizes = vectors.abs()
    rows = (sizes >= _AS_LARGE * sizes.amax(dim=0)).int().argmax(dim=0, keepdim=True)
    return torch.where(vectors.gather(0, rows)[0] < 0, -1.0, 1.0).to(vectors.dtype)
