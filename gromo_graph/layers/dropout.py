"""`dropout`: the identity in evaluation mode, in which growth is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd

from gromo_graph.layers.operation import Channels, OperationAdapter
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.arrangement import Arranged
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.rows import PlainTorch, as_function
from gromo_graph.plain_torch.torch_call import TorchCall
from gromo_graph.spec.kinds import Dropout, Shape


class DropSamples(torch.nn.Dropout1d):
    """Whole samples are set to zero, as stochastic depth does with a residual branch."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape: each sample is one channel."""
        return super().forward(x.flatten(1)[:, None]).view_as(x)


def build(node: Dropout, inputs: Sequence[Shape]) -> _DropoutNd:
    """The torch module of the node."""
    match node.drop:
        case "samples":
            return DropSamples(node.p)
        case "features" if len(inputs[0]) > 1:
            return (torch.nn.Dropout1d, torch.nn.Dropout2d)[len(inputs[0]) - 2](node.p)
        case _:
            return torch.nn.Dropout(node.p)  # a feature of a row is one value


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
    view = call.in_any_order(input)
    if not training:
        return view
    if view.turned or isinstance(view, Arranged):
        return replace(view, node=call.add(Dropout, sources=(view.node,), p=float(p)).node)
    return call.add(Dropout, sources=(call.exact(view),), p=float(p))


def dropped_features(
    call: TorchCall, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False
) -> ModelValue:
    """Whole channels are dropped, which stand in front in the model; of one channel the sample as a whole."""
    view = call.view(input)
    if not training:
        return view
    if view.shape == (1, prod(view.own)):
        return replace(view, node=call.add(Dropout, sources=(view.node,), p=float(p), drop="samples").node)
    return call.add(Dropout, sources=(call.exact(view),), p=float(p), drop="features")


def dropped_samples(call: TorchCall, module: Any, input: Any) -> ModelValue:
    """A module of a library that is called stochastic depth or drop path, and has no class in torch."""
    view = call.in_any_order(input)
    p = getattr(module, "p", getattr(module, "drop_prob", None))
    if getattr(module, "mode", "row") != "row" or not getattr(module, "scale_by_keep", True):
        raise Unmapped("it drops the whole batch, or does not scale what is left: expected mode='row'")
    if not isinstance(p, int | float | None):
        raise Unmapped(f"its probability is {p!r}: expected a number")
    if not p:
        return view
    return replace(view, node=call.add(Dropout, sources=(view.node,), p=float(p), drop="samples").node)


def _plain(part: DropSamples) -> PlainTorch:
    module = torch.nn.Dropout1d(part.p).train(part.training)
    return PlainTorch({"": module}, lambda call, x: call("", x.flatten(1).unsqueeze(1)).view_as(x))


_FEATURES = as_function(dropped_features, "p")

TORCH = TorchHalf(
    build,
    [DropoutAdapter()],
    identity=lambda module: True,
    import_functions={
        "dropout": dropout,
        **dict.fromkeys(("dropout1d", "dropout2d", "feature_dropout"), dropped_features),
    },
    import_modules={
        torch.nn.Dropout: as_function(dropout, "p"),
        torch.nn.Dropout1d: _FEATURES,
        torch.nn.Dropout2d: _FEATURES,
    },
    import_named={"StochasticDepth": dropped_samples, "DropPath": dropped_samples},
    export={DropSamples: _plain},
)
