"""`sequence`: the positions of an image become one row."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gromo_graph.layers.operation import OperationAdapter
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.rows import PlainTorch
from gromo_graph.spec import kinds


class FlatPositions(torch.nn.Flatten):
    """(n, features, height, width) becomes (n, features, height · width)."""

    def __init__(self) -> None:
        super().__init__(start_dim=2)


def build(node: kinds.AsSequence, inputs: Sequence[kinds.Shape]) -> FlatPositions:
    """The torch module of the node."""
    return FlatPositions()


class FlatPositionsAdapter(OperationAdapter[FlatPositions]):
    """Each channel keeps its values: they only stand on another grid."""

    operation_type = FlatPositions
    slides = True


TORCH = TorchHalf(
    build,
    [FlatPositionsAdapter()],
    export={FlatPositions: lambda part: PlainTorch({}, lambda call, x: x.flatten(2))},
)
"""A model that flattens positions only reads its values as another shape: see `interop/operators.py`."""
