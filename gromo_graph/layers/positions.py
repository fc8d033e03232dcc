"""`positions`: a learned number for each feature at each position; new features pass unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from gromo_graph.layers.operation import (
    Features,
    Passed,
    Unchanging,
    register_operation,
    with_entries,
)
from gromo_graph.layers.replaced import Replaced, grown
from gromo_graph.spec import kinds


class Positions(torch.nn.Module):
    """x + weight.

    Args:
        shape: of one sample, (features, length) or (features, height, width). The weight begins with zeros.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.weight = Parameter(torch.zeros(*shape))

    def forward(self, x: Tensor) -> Tensor:
        """(n, features, ...), shaped like the input."""
        return x + self.weight

    def extra_repr(self) -> str:
        """Its shape."""
        return str(tuple(self.weight.shape))


def build(node: kinds.Positions, inputs: Sequence[kinds.Shape]) -> Positions:
    """The torch module of the node; its weights are drawn by the compiler, from a generator."""
    return Positions(inputs[0])


class PositionsAdapter(Unchanging):
    """A new feature gets a number of 0 at every position."""

    operation_type = Positions

    def obstacle(self, operation: Any, entering: Features) -> str | None:
        if operation.weight.shape[0] != entering.width:
            return f"it has numbers for {operation.weight.shape[0]} features, not for {entering.width}"
        return None

    def grow(self, operation: Any, at: int, size: int, passed: Passed) -> list[Replaced]:
        old = operation.weight
        return [grown(operation, "weight", old.new_zeros(size, *old.shape[1:]), dim=0, at=at)]

    def left(self, operation: Any, places: Tensor) -> torch.nn.Module:
        new: torch.nn.Module = with_entries(operation, places)
        return new


register_operation(PositionsAdapter())
