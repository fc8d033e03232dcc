"""Roots of the inverse curvature of outputs, for new neurons by natural gradient (docs/maths.md, "Natural gradient").

The columns of N are outputs of layers, each as often as it reads a new channel. The curvature G couples outputs and
is the same at every reading, so that it is a matrix of outputs alone, and readings count as rows of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gromo_graph.algebra.whitening import Whitening, whitening


@dataclass(frozen=True)
class OutputBlock:
    """Outputs with one curvature.

    Attributes:
        columns: (outputs, readings), the column of N of each output and reading.
        root: of the pseudo-inverse of G.
    """

    columns: Tensor
    root: Whitening


@dataclass(frozen=True)
class OutputWhitening:
    """G^(−1/2) of all columns of N, block after block; each column is in one block."""

    blocks: Sequence[OutputBlock]

    @property
    def rank(self) -> int:
        """Directions of the outputs that have a curvature."""
        return sum(block.root.rank * block.columns.shape[1] for block in self.blocks)

    def whiten(self, n: Tensor) -> Tensor:
        """N G^(−1/2): (rows, columns) -> (rows, rank)."""
        parts = []
        for block in self.blocks:
            outputs, readings = block.columns.shape
            by_output = n[:, block.columns].permute(1, 0, 2).reshape(outputs, -1)
            found = block.root.whiten(by_output.to(block.root.factor)).to(n)
            parts.append(found.reshape(-1, len(n), readings).permute(1, 0, 2).flatten(1))
        return torch.cat(parts, dim=1)

    def unwhiten(self, right: Tensor) -> Tensor:
        """G^(−1/2) V: (rank, k) -> (columns, k)."""
        total = sum(block.columns.numel() for block in self.blocks)
        result = right.new_zeros(total, right.shape[1])
        start = 0
        for block in self.blocks:
            outputs, readings = block.columns.shape
            size = block.root.rank * readings
            by_direction = right[start : start + size].reshape(block.root.rank, -1)
            found = block.root.unwhiten(by_direction.to(block.root.factor)).to(right)
            result[block.columns.flatten()] = found.reshape(outputs * readings, -1)
            start += size
        return result


def output_whitening(curvatures: Sequence[tuple[Tensor, Tensor]], *, damping: float) -> OutputWhitening:
    """The roots of damped curvatures.

    Args:
        curvatures: (columns, G) of each block: (outputs, readings) and (outputs, outputs).
        damping: added to the diagonal of each G, relative to its mean.

    Raises:
        GrowthError: a curvature that is not finite, or a negative damping.

    >>> roots = output_whitening([(torch.tensor([[0], [1]]), torch.diag(torch.tensor([4.0, 1.0])))], damping=0.0)
    >>> roots.whiten(torch.tensor([[4.0, 1.0]]))
    tensor([[2., 1.]])
    """
    return OutputWhitening(
        [OutputBlock(columns, whitening(matrix, ridge=damping)) for columns, matrix in curvatures]
    )
