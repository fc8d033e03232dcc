"""Modules of a model that has the features last, or in any order, among nodes that have them first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


class InOrder(nn.Module):
    """Hands the values of a node to a module in another order, and brings those of its result back.

    Attributes:
        module: is called. called: its name.
        places: in a flat sample of the node, of each number that the module reads, (...); all of them, each once.
    """

    places: Tensor

    def __init__(self, module: nn.Module, places: Tensor) -> None:
        super().__init__()
        self.module = module
        self.called: str = getattr(module, "called", type(module).__name__)
        self.register_buffer("places", places)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, features, ...), shaped like the input."""
        result = self.module(x.flatten(1)[:, self.places]).flatten(1)
        found: Tensor = result[:, self.places.flatten().argsort()].unflatten(1, x.shape[1:])
        return found


class FeaturesLast(nn.Module):
    """Hands values to a module with their features behind the positions, and brings those of its result to the front.

    Attributes:
        module: is called. called: its name. last: which of the values it reads so.
    """

    def __init__(self, module: nn.Module, last: Sequence[bool]) -> None:
        super().__init__()
        self.module, self.last = module, tuple(last)
        self.called: str = getattr(module, "called", type(module).__name__)

    def forward(self, *values: Tensor) -> Any:
        """(batch, features, ...), as those of `last` are."""
        turned = [x.movedim(1, -1) if last else x for x, last in zip(values, self.last, strict=True)]
        result = self.module(*turned)
        return result.movedim(-1, 1) if result.dim() > 2 else result
