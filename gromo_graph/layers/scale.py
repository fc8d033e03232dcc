"""`scale`: every value times a number, and a number added. It needs no adapter: it acts on each value alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.blueprint import ModelValue
from gromo_graph.plain_torch.rows import PlainTorch
from gromo_graph.plain_torch.torch_call import TorchCall
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.scale import Scale


class Scaled(torch.nn.Module):
    """factor · x + offset."""

    def __init__(self, factor: float, offset: float) -> None:
        super().__init__()
        self.factor, self.offset = factor, offset

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        scaled = x if self.factor == 1.0 else x * self.factor
        return scaled if self.offset == 0.0 else scaled + self.offset

    def extra_repr(self) -> str:
        """The two numbers."""
        return f"factor={self.factor:g}, offset={self.offset:g}"


def build(node: Scale, inputs: Sequence[Shape]) -> Scaled:
    """The torch module of the node."""
    return Scaled(node.factor, node.offset)


def scaled(call: TorchCall, value: ModelValue, *, factor: float = 1.0, offset: float = 0.0) -> ModelValue:
    """A node that reads the value in any shape: it acts on each number alone."""
    node = call.add(Scale, sources=(value.node,), factor=float(factor), offset=float(offset))
    return replace(value, node=node.node)


TORCH = TorchHalf(
    build, export={Scaled: lambda part: PlainTorch({}, lambda call, x: Scaled.forward(part, x))}
)
"""A model that multiplies by a number or adds one is read by `scaled`, from `interop/arithmetic.py`."""
