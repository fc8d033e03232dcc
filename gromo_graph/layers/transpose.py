"""`transpose`: features and positions change places. It has no adapter, for nothing grows through it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.rows import PlainTorch
from gromo_graph.spec import kinds


class SwapFeatures(torch.nn.Module):
    """(n, features, length) becomes (n, length, features)."""

    def forward(self, x: Tensor) -> Tensor:
        """Features and positions change places; a view."""
        return x.transpose(1, 2)


def build(node: kinds.Transpose, inputs: Sequence[kinds.Shape]) -> SwapFeatures:
    """The torch module of the node."""
    return SwapFeatures()


TORCH = TorchHalf(
    build,
    export={SwapFeatures: lambda part: PlainTorch({}, lambda call, x: x.transpose(1, 2))},
)
"""A model that transposes only reads its values in another order: see `interop/dimension_order.py`."""
