"""Products of values, in which a size of 1, or one that is not there, stands for any (docs/maths.md, "Products")."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from gromo_graph.layers.operation import Channels


def same_rank(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors with as many dimensions as the one with the most; those that are added stand at the end.

    >>> [tuple(each.shape) for each in same_rank([torch.zeros(2, 3, 5, 5), torch.zeros(2, 3)])]
    [(2, 3, 5, 5), (2, 3, 1, 1)]
    """
    rank = max(tensor.dim() for tensor in tensors)
    return [tensor.reshape(*tensor.shape, *[1] * (rank - tensor.dim())) for tensor in tensors]


def resting_factors(resting: Sequence[float]) -> list[float]:
    """The product of the other factors for each factor of a product: its slope at rest.

    >>> resting_factors([0.0, 0.5]), resting_factors([2.0, 3.0, 5.0])
    ([0.5, 0.0], [15.0, 10.0, 6.0])
    """
    return [
        prod(value for other, value in enumerate(resting) if other != index) for index in range(len(resting))
    ]


def product_of_channels(factors: Sequence[Channels]) -> Channels:
    """New channels behind a product, at first order."""
    resting = [factor.resting for factor in factors]
    values = torch.broadcast_tensors(*same_rank([factor.values for factor in factors]))
    slopes = resting_factors(resting)
    total = sum(
        (value * slope for value, slope in zip(values, slopes, strict=True) if slope != 0.0),
        torch.zeros_like(values[0]),
    )
    return Channels(total, prod(resting))
