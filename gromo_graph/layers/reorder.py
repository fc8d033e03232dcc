"""`transpose`, `sequence`: the same numbers under another order of dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gromo_graph.layers.operation import OperationAdapter, register_operation
from gromo_graph.spec.kinds import AsSequence as AsSequenceNode
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds import Transpose as TransposeNode


class Transpose(torch.nn.Module):
    """(n, features, length) becomes (n, length, features)."""

    def forward(self, x: Tensor) -> Tensor:
        """Features and positions change places; a view."""
        return x.transpose(1, 2)


class AsSequence(torch.nn.Flatten):
    """(n, features, height, width) becomes (n, features, height · width)."""

    def __init__(self) -> None:
        super().__init__(start_dim=2)


def build_transpose(node: TransposeNode, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch module of the node. It has no adapter: nothing grows through it."""
    return Transpose()


def build_sequence(node: AsSequenceNode, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch module of the node."""
    return AsSequence()


class AsSequenceAdapter(OperationAdapter):
    """Each channel keeps its values: only the grid they stand on is another."""

    operation_type = AsSequence
    slides = True


register_operation(AsSequenceAdapter())
