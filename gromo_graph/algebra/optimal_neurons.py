"""The best new neurons between two layers: singular vectors of the whitened N."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gromo_graph.algebra.delta import check_right_side
from gromo_graph.algebra.output_whitening import OutputWhitening
from gromo_graph.algebra.svd import Decomposition, SingularTriplets, triplets_of
from gromo_graph.algebra.whitening import Solver, whitening
from gromo_graph.errors import GrowthError

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
