"""Sums of products of rows: everything growth needs to know about the data.

All functions return *sums* over the rows, never averages: sums of several batches, or of several
processes, add up exactly, and whoever keeps the count of samples divides once (docs/maths.md, "Notation").
"""

from __future__ import annotations

import torch
from torch import Tensor

from gromo_graph.errors import GrowthError


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which products of this dtype are summed: half precision is too coarse for sums.

    >>> accumulation_dtype(torch.bfloat16), accumulation_dtype(torch.float64)
    (torch.float32, torch.float64)
    """
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def as_rows(tensor: Tensor) -> Tensor:
    """Flatten all leading dimensions: (n, ..., features) -> (rows, features).

    >>> as_rows(torch.zeros(2, 3, 4)).shape
    torch.Size([6, 4])
    """
    if tensor.dim() < 2:
        raise GrowthError(
            f"a tensor of shape {tuple(tensor.shape)} has no rows of features: expected at least 2 "
            "dimensions, samples first and features last"
        )
    return tensor.reshape(tensor.shape[:-1].numel(), tensor.shape[-1])


def with_constant(rows: Tensor) -> Tensor:
    """Append the constant column that stands for the bias: (rows, features) -> (rows, features + 1).

    >>> with_constant(torch.tensor([[2.0], [3.0]]))
    tensor([[2., 1.],
            [3., 1.]])
    """
    return torch.cat((rows, rows.new_ones(rows.shape[0], 1)), dim=1)


def second_moment(rows: Tensor, *, constant: bool = False) -> Tensor:
    """Σ b bᵀ over the rows.

    Args:
        rows: (rows, features).
        constant: whether b ends with a constant 1.

    Returns:
        (features, features), or (features + 1, features + 1) with the constant.

    >>> second_moment(torch.tensor([[1.0], [2.0]]), constant=True)
    tensor([[5., 3.],
            [3., 2.]])
    """
    return cross_moment(rows, rows, left_constant=constant, right_constant=constant)


def cross_moment(
    left: Tensor, right: Tensor, *, left_constant: bool = False, right_constant: bool = False
) -> Tensor:
    """Σ u vᵀ over the rows.

    Args:
        left, right: (rows, p) and (rows, q), the same rows in the same order.
        left_constant, right_constant: whether u, v end with a constant 1.

    Returns:
        (p, q), one larger if there is a constant, in the accumulation dtype of the arguments.

    >>> cross_moment(torch.tensor([[1.0], [2.0]]), torch.tensor([[10.0], [100.0]]), left_constant=True)
    tensor([[210.],
            [110.]])
    """
    if left.dim() != 2 or right.dim() != 2 or left.shape[0] != right.shape[0]:
        raise GrowthError(
            f"cannot multiply rows of shapes {tuple(left.shape)} and {tuple(right.shape)}: "
            "expected two matrices with the same number of rows"
        )
    dtype = accumulation_dtype(torch.promote_types(left.dtype, right.dtype))
    u, v = left.detach().to(dtype), right.detach().to(dtype)
    return (with_constant(u) if left_constant else u).T @ (with_constant(v) if right_constant else v)


def is_finite(values: Tensor) -> bool:
    """True if there is no NaN and no infinity, in one pass.

    >>> is_finite(torch.ones(2)), is_finite(torch.tensor([1.0, float("nan")]))
    (True, False)
    """
    if values.numel() == 0:
        return True
    smallest, largest = values.aminmax()
    return bool(torch.isfinite(smallest) & torch.isfinite(largest))
