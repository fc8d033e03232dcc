"""Node -> torch module: one row a kind, and the table of activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from gromo_graph.errors import CompileError
from gromo_graph.layers import (
    attention,
    batch_norm,
    conv_transpose,
    convolution,
    depthwise,
    dropout,
    embedding,
    flatten,
    group_norm,
    layer_norm,
    linear,
    pool,
    positions,
    reorder,
    upsample,
)
from gromo_graph.layers.base import register
from gromo_graph.layers.operation import register_operation
from gromo_graph.spec.kinds import Node, Shape
from gromo_graph.spec.kinds.own import OWN

ACTIVATIONS: dict[str, Callable[[], torch.nn.Module]] = {
    "identity": torch.nn.Identity,
    "relu": torch.nn.ReLU,
    "leaky_relu": torch.nn.LeakyReLU,
    "gelu": torch.nn.GELU,
    "selu": torch.nn.SELU,
    "silu": torch.nn.SiLU,
    "tanh": torch.nn.Tanh,
    "sigmoid": torch.nn.Sigmoid,
    "softplus": torch.nn.Softplus,
    "elu": torch.nn.ELU,
}


def activation_module(name: str) -> torch.nn.Module:
    """A fresh module for an activation of the spec language.

    >>> activation_module("relu")
    ReLU()
    """
    return ACTIVATIONS[name]()


Builder = Callable[[Any, Sequence[Shape]], torch.nn.Module]

LAYERS: dict[str, Builder] = {
    "linear": linear.build,
    "conv1d": convolution.build,
    "conv2d": convolution.build,
    "conv_transpose1d": conv_transpose.build,
    "conv_transpose2d": conv_transpose.build,
    "embedding": embedding.build,
}
OPERATIONS: dict[str, Builder] = {
    "attention": attention.build,
    "dropout": dropout.build,
    "flatten": flatten.build,
    "batch_norm": batch_norm.build,
    "layer_norm": layer_norm.build,
    "group_norm": group_norm.build,
    "max_pool1d": pool.build,
    "max_pool2d": pool.build,
    "avg_pool1d": pool.build,
    "avg_pool2d": pool.build,
    "adaptive_avg_pool1d": pool.build_adaptive,
    "adaptive_avg_pool2d": pool.build_adaptive,
    "upsample1d": upsample.build,
    "upsample2d": upsample.build,
    "transpose": reorder.build_transpose,
    "sequence": reorder.build_sequence,
    "depthwise_conv1d": depthwise.build,
    "depthwise_conv2d": depthwise.build,
    "positions": positions.build,
}


def build_layer(node: Node, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch layer of a growing node, its weights not drawn yet.

    Raises:
        CompileError: the kind has no torch half.
    """
    return _build(LAYERS, node, inputs)


def build_operation(node: Node, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch module of a node without growing weights.

    Raises:
        CompileError: the kind has no torch half.
    """
    return _build(OPERATIONS, node, inputs)


def _build(table: dict[str, Builder], node: Node, inputs: Sequence[Shape]) -> torch.nn.Module:
    if node.kind in OWN and node.kind not in table:
        table[node.kind] = _own(node)
    if node.kind not in table:
        raise CompileError(f"the kind `{node.kind}` has no torch half: expected one of {', '.join(table)}")
    return table[node.kind](node, inputs)


def _own(node: Node) -> Builder:
    """The builder of a kind that was registered; what growth must know of it is known from now on."""
    build, adapter = OWN[node.kind]()
    if adapter is not None and node.drawn_as == "operation":
        register_operation(adapter)
    elif adapter is not None:
        register(adapter)
    return build
