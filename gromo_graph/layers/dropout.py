"""`dropout`: nothing in evaluation mode, where growth is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gromo_graph.layers.operation import Channels, OperationAdapter, register_operation
from gromo_graph.spec.kinds import Dropout, Shape


def build(node: Dropout, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch module of the node."""
    return torch.nn.Dropout(node.p)


class DropoutAdapter(OperationAdapter):
    """Passed by as in evaluation, whatever mode the module is in."""

    operation_type = torch.nn.modules.dropout._DropoutNd

    def tangent(self, operation: Any, channels: Channels) -> Channels:
        return channels

    def average(self, operation: Any, maps: Tensor) -> Tensor:
        return maps


register_operation(DropoutAdapter())
