"""Products of rows that are not multiplied out yet: whoever sums them up adds them in place.

A statistic is a sum of such products over batches. Adding leftᵀ right to the sum in one step saves writing the product
down, and rows padded with zero columns to a round number are multiplied faster: together a third of the time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gromo_graph.algebra.moments import accumulation_dtype

# Columns are filled up to a multiple of this; of few columns that would be much work for nothing, so to one of less.
_ROUND, _WIDE, _ROUND_NARROW = 16, 128, 4
# A symmetric product is taken in bands of about so many rows, each from its diagonal on.
_BAND = 128


@dataclass(frozen=True)
class PaddedRows:
    """A matrix whose columns are followed by zero ones up to a round number.

    Attributes:
        padded: (rows, round number). columns: those that count.
    """

    padded: Tensor
    columns: int

    @property
    def values(self) -> Tensor:
        """(rows, columns), a view."""
        return self.padded[:, : self.columns]


def padded_rows(matrix: Tensor, *, constant: bool = False) -> PaddedRows:
    """The rows of a matrix, with a constant 1 at their end if it is asked for.

    >>> rows = padded_rows(torch.tensor([[2.0], [3.0]]), constant=True)
    >>> rows.values, rows.padded.shape
    (tensor([[2., 1.],
            [3., 1.]]), torch.Size([2, 4]))
    """
    columns = matrix.shape[1] + constant
    step = _ROUND if columns >= _WIDE else _ROUND_NARROW
    width = -(-columns // step) * step
    values = matrix.detach().to(accumulation_dtype(matrix.dtype))
    if width == matrix.shape[1]:
        return PaddedRows(values, columns)
    tail = values.new_zeros(width - matrix.shape[1])
    tail[: int(constant)] = 1.0
    return PaddedRows(torch.cat((values, tail.expand(values.shape[0], -1)), dim=1), columns)


@dataclass(frozen=True)
class Product:
    """Σ u vᵀ over the rows of two matrices, (columns of left, columns of right).

    >>> rows = padded_rows(torch.tensor([[1.0], [2.0]]), constant=True)
    >>> Product(rows, rows).value()
    tensor([[5., 3.],
            [3., 2.]])
    """

    left: PaddedRows
    right: PaddedRows

    @property
    def shape(self) -> tuple[int, int]:
        """(columns of left, columns of right)."""
        return self.left.columns, self.right.columns

    @property
    def upper(self) -> bool:
        """True if `add_to` leaves out what lies far below the diagonal: rows with themselves, and many columns."""
        return self.left is self.right and self.left.padded.shape[1] >= 2 * _BAND

    def value(self) -> Tensor:
        """The product, multiplied out."""
        return (self.left.padded.T @ self.right.padded)[: self.shape[0], : self.shape[1]]

    def zeros(self) -> Tensor:
        """A sum to add it to, as wide as the padded rows."""
        return self.left.padded.new_zeros(self.left.padded.shape[1], self.right.padded.shape[1])

    def add_to(self, total: Tensor) -> None:
        """One multiplication into the sum, or one for each band of its upper triangle."""
        left, right = self.left.padded, self.right.padded
        if not self.upper:
            total.addmm_(left.T, right)
            return
        size = left.shape[1]
        band = -(-size // (size // _BAND * _ROUND)) * _ROUND
        for start in range(0, size, band):
            total[start : start + band, start:].addmm_(left[:, start : start + band].T, right[:, start:])


@dataclass(frozen=True)
class ParameterGradient:
    """Σ b gᵀ of a layer, (columns, out), from the gradients of its weight and bias: they are its transpose.

    Attributes:
        weight: (out, fan_in). bias: (out,), None without one.

    >>> ParameterGradient(torch.ones(1, 2), torch.zeros(1)).value()
    tensor([[1.],
            [1.],
            [0.]])
    """

    weight: Tensor
    bias: Tensor | None

    @property
    def shape(self) -> tuple[int, int]:
        """(columns, out)."""
        return self.weight.shape[1] + (self.bias is not None), self.weight.shape[0]

    @property
    def upper(self) -> bool:
        """It is not symmetric."""
        return False

    def value(self) -> Tensor:
        """The gradients side by side, transposed."""
        total = self.zeros()
        self.add_to(total)
        return total

    def zeros(self) -> Tensor:
        """A sum to add it to, stored transposed, as the gradients are."""
        columns, out = self.shape
        return self.weight.new_zeros(out, columns, dtype=accumulation_dtype(self.weight.dtype)).T

    def add_to(self, total: Tensor) -> None:
        """Without putting the two together first."""
        total[: self.weight.shape[1]] += self.weight.detach().T
        if self.bias is not None:
            total[-1] += self.bias.detach()


Moment = Tensor | Product | ParameterGradient
"""A sum of products, written down or not."""


def value_of(moment: Moment) -> Tensor:
    """The sum itself."""
    return moment if isinstance(moment, Tensor) else moment.value()
