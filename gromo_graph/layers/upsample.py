"""`upsample1d`, `upsample2d`: every position becomes several equal ones, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gromo_graph.layers.operation import register_operation
from gromo_graph.layers.pool import Resampling
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.upsample import Upsample


def build(node: Upsample, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch module of the node."""
    return torch.nn.Upsample(scale_factor=node.scale)


register_operation(Resampling(torch.nn.Upsample))
