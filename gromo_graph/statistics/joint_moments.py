"""Second moments between the layers that enter one sum.

What such layers add up to has one gradient, so their changes compete for the same decrease: their deltas are solved for
together, over S of all that they read (docs/maths.md, "Optimal delta").
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from gromo_graph.algebra import patch_cross_moment
from gromo_graph.errors import GrowthError
from gromo_graph.statistics.capture import stored_rows
from gromo_graph.statistics.growth_link import GatheringLayer
from gromo_graph.statistics.running_mean import TensorStatistic


class JointMoments:
    """S between the layers that enter a sum; each layer counts its own S and M.

    Attributes:
        blocks: E[b_i b_jᵀ], (columns of i, columns of j), by the indices i < j of two layers.
    """

    def __init__(self) -> None:
        self.blocks: dict[tuple[int, int], TensorStatistic] = {}

    def clear(self) -> None:
        """Forget every sample."""
        self.blocks.clear()

    @torch.no_grad()
    def count(self, layers: Sequence[GatheringLayer]) -> None:
        """Count the stored batch between the layers."""
        for (i, left), (j, right) in combinations(enumerate(layers), 2):
            block = self.blocks.setdefault((i, j), TensorStatistic(f"S between {left.name} and {right.name}"))
            block.update(patch_cross_moment(stored_rows(left), stored_rows(right)), left.input.shape[0])

    def s(self, layers: Sequence[GatheringLayer], name: str) -> Tensor:
        """S of all that the layers read, side by side, (columns of all, columns of all).

        Args:
            layers: as they were counted. name: of the sum, for messages.

        Raises:
            GrowthError: nothing has been counted between two of them.
        """
        own = [layer.tensor_s() for layer in layers]
        blocks = [[own[i] for _ in layers] for i in range(len(layers))]
        for (i, left), (j, right) in combinations(enumerate(layers), 2):
            if (i, j) not in self.blocks:
                raise GrowthError(
                    f"{name} has no statistics between {left.name} and {right.name}: call its init_computation(), "
                    "and update_computation() for each batch"
                )
            blocks[i][j] = self.blocks[i, j]()
            blocks[j][i] = blocks[i][j].T
        return torch.cat([torch.cat(row, dim=1) for row in blocks])


def joint_m(layers: Sequence[GatheringLayer]) -> Tensor:
    """M of all that the layers read against the gradient of their sum, (columns of all, out)."""
    return torch.cat([layer.tensor_m() for layer in layers])
