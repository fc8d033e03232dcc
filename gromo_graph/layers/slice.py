"""`slice`: some neighbouring features of those that are there. It has no adapter, for nothing grows through it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.rows import PlainTorch
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.slice import Slice


class Sliced(torch.nn.Module):
    """x[:, start:stop]."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, x: Tensor) -> Tensor:
        """A view of some features."""
        return x.narrow(1, self.start, self.stop - self.start)

    def extra_repr(self) -> str:
        """The features."""
        return f"{self.start}:{self.stop}"


def build(node: Slice, inputs: Sequence[Shape]) -> Sliced:
    """The torch module of the node."""
    return Sliced(node.start, node.stop)


TORCH = TorchHalf(
    build,
    export={
        Sliced: lambda part: PlainTorch({}, lambda call, x: x.narrow(1, part.start, part.stop - part.start))
    },
)
"""A model that takes parts of its values is read by `interop/slicing.py`."""
