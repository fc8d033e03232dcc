"""The gain that growth promises: a score without decomposition, and exact slopes neuron by neuron."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gromo_graph.algebra.delta import check_right_side
from gromo_graph.algebra.tangent import Tangent
from gromo_graph.algebra.whitening import Solver, whitening
from gromo_graph.errors import GrowthError


@dataclass(frozen=True)
class ExtensionScore:
    """Σ λ² over all directions, before the activation's derivative, and the solver it came from."""

    score: Tensor
    solver: Solver


def extension_score(
    s: Tensor, n: Tensor, *, ridge: float = 0.0, numerical_threshold: float = 1e-15
) -> ExtensionScore:
    """‖W N‖² with Wᵀ W = S⁻¹: the sum of all squared singular values, without computing any.

    Args:
        s: (fan_in, fan_in). n: (fan_in, out). ridge, numerical_threshold: as in `optimal_extension`.

    >>> import torch
    >>> extension_score(torch.eye(2), torch.diag(torch.tensor([4.0, 1.0]))).score
    tensor(17.)
    """
    check_right_side(s, n, "N")
    factor = whitening(s, ridge=ridge, threshold=numerical_threshold)
    return ExtensionScore(factor.whiten(n).square().sum(), factor.solver)


@dataclass(frozen=True)
class SlopeParts:
    """Σ over rows of −p·max(t, 0) and of −p·min(t, 0), one entry a neuron.

    The two parts do not depend on the activation: with its one-sided derivatives they give the slope
    of a neuron and of its mirror image (−α, −ω). Parts of several batches or consumers add up.
    """

    above: Tensor
    below: Tensor

    def __add__(self, other: SlopeParts) -> SlopeParts:
        return SlopeParts(self.above + other.above, self.below + other.below)


@dataclass(frozen=True)
class SignedSlopes:
    """Slopes (k,) of the neurons as they are, and of their mirror images (−α, −ω)."""

    kept: Tensor
    flipped: Tensor


def slope_parts(t: Tensor, pull: Tensor) -> SlopeParts:
    """The sums of which exact slopes are made (docs/maths.md, "Exact slopes").

    Args:
        t: (rows, k), what the new neurons receive, α b.
        pull: (rows, k), what their consumers would give for their output: Σ over consumers of g ω,
            with the raw g of the sum of the per-sample losses.

    >>> import torch
    >>> slope_parts(torch.tensor([[2.0], [-3.0]]), torch.tensor([[-1.0], [1.0]]))
    SlopeParts(above=tensor([2.]), below=tensor([3.]))
    """
    if t.shape != pull.shape or t.dim() != 2:
        raise GrowthError(
            f"t has shape {tuple(t.shape)} and the pull {tuple(pull.shape)}: expected (rows, neurons) twice"
        )
    t, pull = t.detach(), pull.detach()
    return SlopeParts(-(pull * t.clamp_min(0)).sum(dim=0), -(pull * t.clamp_max(0)).sum(dim=0))


def signed_slopes(parts: SlopeParts, tangent: Tangent, samples: int) -> SignedSlopes:
    """Decrease of the mean loss per unit of γ, for each neuron and for its mirror image.

    With τ(t) = right·max(t, 0) + left·min(t, 0) the mirror image gives −τ(−t), in which left and
    right have changed places.

    Args:
        parts: sums over all rows. tangent: of the activation between. samples: how many were summed.

    >>> import torch
    >>> signed_slopes(SlopeParts(torch.tensor([2.0]), torch.tensor([3.0])), Tangent(0.0, 0.0, 1.0), 1)
    SignedSlopes(kept=tensor([2.]), flipped=tensor([3.]))
    """
    if samples < 1:
        raise GrowthError("no samples were measured: expected at least one before a slope is read")
    above, below = parts.above / samples, parts.below / samples
    return SignedSlopes(
        kept=tangent.right * above + tangent.left * below,
        flipped=tangent.left * above + tangent.right * below,
    )
