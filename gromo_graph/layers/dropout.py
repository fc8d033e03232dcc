"""`dropout`: the identity in evaluation mode, in which growth is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd

from gromo_graph.layers.operation import Channels, OperationAdapter
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.spec.kinds import Dropout, Shape
from gromo_graph.translation.blueprint import ModelValue
from gromo_graph.translation.rows import as_function
from gromo_graph.translation.torch_call import TorchCall


def build(node: Dropout, inputs: Sequence[Shape]) -> torch.nn.Dropout:
    """The torch module of the node."""
    return torch.nn.Dropout(node.p)


class DropoutAdapter(OperationAdapter[_DropoutNd]):
    """Passed by as in evaluation, in either mode of the module."""

    operation_type = _DropoutNd

    def tangent(self, operation: _DropoutNd, channels: Channels) -> Channels:
        return channels

    def average(self, operation: _DropoutNd, maps: Tensor) -> Tensor:
        return maps


def dropout(
    call: TorchCall, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False
) -> ModelValue:
    """A node that reads the value in any shape: each number is dropped by itself."""
    view = call.view(input)
    if not training:
        return view
    if view.turned:
        return replace(view, node=call.add(Dropout, sources=(view.node,), p=float(p)).node)
    return call.add(Dropout, sources=(call.exact(view),), p=float(p))


TORCH = TorchHalf(
    build,
    [DropoutAdapter()],
    identity=lambda module: True,
    import_functions={"dropout": dropout},
    import_modules={torch.nn.Dropout: as_function(dropout, "p")},
)
