"""`index_select`: some features of those that are there. It has no adapter, for nothing grows through it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.rows import PlainTorch
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.index_select import IndexSelect


class Selected(torch.nn.Module):
    """x[:, index].

    >>> Selected([2, 0])(torch.tensor([[5.0, 6.0, 7.0]]))
    tensor([[7., 5.]])
    """

    index: Tensor

    def __init__(self, index: Sequence[int]) -> None:
        super().__init__()
        # The spec has the numbers, so they are no part of the weights that are stored.
        self.register_buffer("index", torch.tensor(index), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, numbers in the index, ...) from (n, features, ...)."""
        return x.index_select(1, self.index)

    def extra_repr(self) -> str:
        """The numbers of the features."""
        return str(self.index.tolist())


def build(node: IndexSelect, inputs: Sequence[Shape]) -> Selected:
    """The torch module of the node."""
    return Selected(node.index)


def plain(part: Selected) -> PlainTorch:
    """`x[:, [...]]`, with the numbers in the source."""
    index = part.index.tolist()
    return PlainTorch({}, lambda call, x: x[:, index])


TORCH = TorchHalf(build, export={Selected: plain})
"""A model that takes features by their numbers is read by `interop/slicing.py`."""
