"""Gradients whose outer products give the curvature of the loss (docs/maths.md, "Natural gradient").

With H the Hessian of the loss of a sample at the network's outputs and J the derivative of the outputs, the
Gauss-Newton matrix is G = E[Jᵀ H J]. A few vectors v with Σ v vᵀ = H, exactly or in expectation, are sent back through
the network: G is the mean of Σ (Jᵀ v)(Jᵀ v)ᵀ. For the cross entropy this is the true Fisher matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from gromo_graph.algebra import accumulation_dtype
from gromo_graph.errors import GrowthError

DRAWS = 4
"""Vectors for each sample: with up to so many outputs they give H exactly, else in expectation."""
# A change as large as the pre-activation itself counts as a curvature of at least this share of the loss: where the
# curvature nearly vanishes, a step of its size would leave the range in which it means anything.
_LEAST_CURVATURE = 0.0025
# Outputs of which H is formed; of more classes labels are drawn.
_MOST_OUTPUTS = 64

WeightedLoss = Callable[[Any, Tensor], Tensor]
"""(prediction, target) -> the loss of a batch times what it counts in the mean."""

OutputVectors = list[tuple[Tensor, Tensor]]
"""Outputs of the network, each with the vector that is sent back from it."""


def output_vectors(
    loss: WeightedLoss, prediction: Any, target: Tensor, generator: torch.Generator
) -> list[OutputVectors]:
    """Vectors at the outputs, Σ v vᵀ = H for each sample and position; heads are taken apart from each other.

    Args:
        loss: of the batch. prediction: of the network, part of its graph; its second dimension has the outputs.
        target: as the loss takes it; classes are drawn anew if there are many outputs.
        generator: on the CPU, for signs and labels.

    Returns:
        For each draw the outputs that take part, each with its vector.

    Raises:
        GrowthError: many outputs that are no classes.
    """
    leaves, form = tree_flatten(prediction)
    draws: list[OutputVectors] = []
    for place, leaf in enumerate(leaves):
        if not (isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.requires_grad):
            continue

        def of_leaf(values: Tensor, labels: Tensor, place: int = place) -> Tensor:
            others = [each.detach() if isinstance(each, Tensor) else each for each in leaves]
            return loss(tree_unflatten([*others[:place], values, *others[place + 1 :]], form), labels)

        at = leaf.detach().requires_grad_(True)
        if leaf.shape[1] <= _MOST_OUTPUTS:
            vectors = _by_hessian(of_leaf(at, target), at, generator)
        else:
            vectors = _by_labels(of_leaf, at, target, generator)
        for number, vector in enumerate(vectors):
            if number == len(draws):
                draws.append([])
            draws[number].append((leaf, vector.to(leaf)))
    return draws


def _by_hessian(value: Tensor, at: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Vectors from the root of H, which is one matrix of outputs for each sample and position."""
    (slope,) = torch.autograd.grad(value, at, create_graph=True)
    if not slope.requires_grad:  # the loss is linear in the outputs
        return [torch.zeros_like(at)]
    columns = [
        torch.autograd.grad(slope[:, output].sum(), at, retain_graph=True, materialize_grads=True)[0]
        for output in range(at.shape[1])
    ]
    hessian = torch.stack(columns, dim=-1).movedim(1, -2)  # (n, ..., outputs, outputs)
    hessian = hessian.to(accumulation_dtype(hessian.dtype))
    values, axes = torch.linalg.eigh((hessian + hessian.mT) / 2)
    root = axes * values.clamp_min(0.0).sqrt()[..., None, :]
    if at.shape[1] <= DRAWS:
        return [root[..., output].movedim(-1, 1) for output in range(at.shape[1])]
    found = []
    for _ in range(DRAWS):
        signs = torch.randint(0, 2, root.shape[:-1], generator=generator).to(root) * 2 - 1
        found.append((root @ signs[..., None])[..., 0].movedim(-1, 1) / DRAWS**0.5)
    return found


def _by_labels(
    loss: Callable[[Tensor, Tensor], Tensor], at: Tensor, target: Tensor, generator: torch.Generator
) -> list[Tensor]:
    """Gradients for labels that the network itself would give: their outer products have the mean H."""
    shape = (at.shape[0], *at.shape[2:])
    if target.is_floating_point() or tuple(target.shape) != shape:
        raise GrowthError(
            f"`criterion: natural` takes the Hessian of the loss at the outputs, and of {at.shape[1]} outputs that is "
            f"too large: expected at most {_MOST_OUTPUTS} outputs, or classes as targets"
        )
    shares = at.detach().float().softmax(dim=1).movedim(1, -1)
    flat = shares.reshape(-1, at.shape[1]).cpu()
    found = []
    for _ in range(DRAWS):
        labels = torch.multinomial(flat, 1, generator=generator).reshape(shape).to(target)
        labels = torch.where((target >= 0) & (target < at.shape[1]), labels, target)  # ignored ones stay so
        (gradient,) = torch.autograd.grad(loss(at, labels), at)
        found.append(gradient / DRAWS**0.5)
    return found


def relative_probe(
    pre_activities: Mapping[str, Tensor], size: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Random signs z at pre-activations a: E(z·Δ)², for a change Δ, is a share of `size` times ‖Δ‖² / ‖a‖².

    It damps the curvature along a candidate, in units of the loss and whatever the scale of the layer.

    Args:
        pre_activities: of a batch, by module name. size: the loss of a sample times what the batch counts.
        generator: on the CPU.
    """
    found = {}
    for name, a in pre_activities.items():
        squares = float(torch.linalg.vector_norm(a).square())
        signs = torch.randint(0, 2, a.shape, generator=generator).to(a) * 2 - 1
        found[name] = signs * (_LEAST_CURVATURE * size / squares) ** 0.5 if squares else torch.zeros_like(a)
    return found
