"""`flatten`: channel after channel, as torch flattens."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gromo_graph.layers.operation import OperationAdapter, register_operation
from gromo_graph.spec.kinds import Flatten, Shape


def build(node: Flatten, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch module of the node."""
    return torch.nn.Flatten()


class FlattenAdapter(OperationAdapter):
    """The positions of a channel become neighbouring features."""

    operation_type = torch.nn.Flatten
    flattens = True


register_operation(FlattenAdapter())
