"""New features of query and key of attention: the products that they add, and the best of them.

With one new feature, α_q of the query and α_k of the key, the products of positions i and j change by
s·(α_q·b_i)(α_k·b_j), s being the scale. With P = s Σ_ij b_i D_ij b_jᵀ and D the gradient of the loss at the products
the loss changes by α_qᵀ P α_k to first order, and the mixed values o_i by s A_ij (v_j − o_i) for each unit of a product
(docs/maths.md, "Attention").
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gromo_graph.algebra.optimal_neurons import OptimalExtension, optimal_extension
from gromo_graph.algebra.whitening import whitening


def product_gradient(weights: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
    """D: the gradient of the loss at what the softmax of attention takes, (n, heads, i, j).

    Args:
        weights: (n, heads, i, j), the shares behind the softmax. value: (n, heads, j, features).
        gradient: (n, heads, i, features), at what is mixed.

    >>> even, value = torch.full((1, 1, 1, 2), 0.5), torch.tensor([[[[1.0], [3.0]]]])
    >>> product_gradient(even, value, torch.ones(1, 1, 1, 1))
    tensor([[[[-0.5000,  0.5000]]]])
    """
    at_weights = gradient @ value.transpose(2, 3)
    return weights * (at_weights - (weights * at_weights).sum(dim=3, keepdim=True))


def sensitivity(weights: Tensor, value: Tensor, scale: float) -> Tensor:
    """Mean over pairs of positions of ‖s A_ij (v_j − o_i)‖², summed over samples, (heads,).

    Args:
        weights: A, (n, heads, i, j). value: (n, heads, j, features). scale: s.

    >>> even, value = torch.full((1, 1, 1, 2), 0.5), torch.tensor([[[[1.0], [3.0]]]])
    >>> sensitivity(even, value, 2.0)
    tensor([1.])
    """
    mixed = weights @ value
    squares = value.square().sum(dim=3)[:, :, None, :] + mixed.square().sum(dim=3, keepdim=True)
    apart = (squares - 2 * mixed @ value.transpose(2, 3)).clamp_min(0.0)
    return scale**2 * (weights.square() * apart).mean(dim=(2, 3)).sum(dim=0)


def match_moment(query: Tensor, key: Tensor, products: Tensor) -> Tensor:
    """Σ b_i D_ij b_jᵀ of a batch, (heads, columns of the query, columns of the key).

    Args:
        query, key: (n, columns, positions), what the layers of query and key read. products: D, (n, heads, i, j).
    """
    dtype = query.dtype
    pulled = products.to(dtype) @ key.to(dtype).transpose(1, 2)[:, None]
    return torch.einsum("nci,nhik->hck", query, pulled)


def optimal_match(
    s_query: Tensor,
    s_key: Tensor,
    n: Tensor,
    *,
    sensitivity: float,
    ridge: float = 0.0,
    maximum_neurons: int | None = None,
) -> OptimalExtension:
    """Features of query and key that decrease the loss most for what they change about the mixed values.

    Of the least squares fit to the descent direction of the mixed values, as new neurons are one of their reader's
    pre-activity, with its moments taken as a product: of query, of key, and of how much a product of both changes.

    Args:
        s_query, s_key: second moments of what the layers of query and key read, (columns, columns) each.
        n: −P per sample, (columns of the query, columns of the key).
        sensitivity: mean square of what a unit of a product changes about what is mixed; 0 if nothing is wanted.
        ridge: added to the diagonals, relative to their means. maximum_neurons: at most so many; None keeps all.

    Returns:
        α of the query as `alpha` (k, columns), of the key as `omega` (columns, k); the slope is Σ λ².

    >>> found = optimal_match(torch.eye(2), torch.eye(2), torch.diag(torch.tensor([4.0, 1.0])),
    ...                       sensitivity=1.0, maximum_neurons=1)
    >>> found.alpha @ torch.diag(torch.tensor([4.0, 1.0])) @ found.omega, found.singular_values
    (tensor([[16.]]), tensor([4.]))
    """
    if sensitivity == 0.0:  # then no product changes anything
        maximum_neurons, sensitivity = 0, 1.0
    factor = whitening(s_key, ridge=ridge)
    found = optimal_extension(
        s_query,
        factor.whiten(n.T).T / sensitivity**0.5,
        ridge=ridge,
        statistical_threshold=0.0,
        maximum_neurons=maximum_neurons,
    )
    size = sensitivity**-0.25
    return replace(found, alpha=size * found.alpha, omega=size * factor.unwhiten(found.omega))
