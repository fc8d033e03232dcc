"""`unflatten`: torch's own module; positions that are cut only stand on another grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gromo_graph.layers.operation import OperationAdapter
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.rows import PlainTorch
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.unflatten import Unflatten


def build(node: Unflatten, inputs: Sequence[Shape]) -> torch.nn.Unflatten:
    """The torch module of the node."""
    return torch.nn.Unflatten(node.dim, node.sizes)


class UnflattenAdapter(OperationAdapter[torch.nn.Unflatten]):
    """Each channel of a sequence keeps its values; nothing grows through features that are cut."""

    operation_type = torch.nn.Unflatten
    slides = True


def _plain(part: torch.nn.Unflatten) -> PlainTorch:
    dim, sizes = int(part.dim), tuple(part.unflattened_size)
    return PlainTorch({}, lambda call, x: x.unflatten(dim, sizes))


TORCH = TorchHalf(build, [UnflattenAdapter()], export={torch.nn.Unflatten: _plain})
"""A model that reads its values as another shape gets such a node only where a layer needs it: `Blueprint.exact`."""
