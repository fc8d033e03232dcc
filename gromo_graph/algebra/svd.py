"""Singular values and vectors: all from a Gram matrix, or the leading ones by block Krylov iteration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gromo_graph.algebra.whitening import eigenvalues, high_precision

Decomposition = Literal["full", "leading"]

# A narrower matrix is decomposed in full at once; a wider one if more than this share is wanted.
_WIDE = 256
_FEW = 1 / 8
# The iteration ends when no more than this share of the sum of squares seems to be missing.
_LACKING = 2e-3


@dataclass(frozen=True)
class SingularTriplets:
    """U (rows, r), values (r,) in descending order, V (columns, r) of a matrix U diag(values) Vᵀ."""

    left: Tensor
    values: Tensor
    right: Tensor


def triplets_of(matrix: Tensor, most: int | None) -> tuple[SingularTriplets, Decomposition]:
    """Singular triplets, only the leading ones if few of many are wanted, and how they were found."""
    few = most is not None and 0 < most <= _FEW * min(matrix.shape)
    wide = min(matrix.shape) > _WIDE
    triplets = leading_triplets(matrix, most) if most and few and wide else None
    if triplets is not None:
        return triplets, "leading"
    return singular_triplets(matrix), "full"


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
