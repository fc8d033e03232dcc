"""Node -> torch module: one row a kind, and the table of activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from gromo_graph.errors import CompileError
from gromo_graph.spec.kinds import Dropout, Linear, Node, Shape

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


def _linear(node: Linear, inputs: Sequence[Shape]) -> torch.nn.Module:
    # Skip torch's own initialisation: it draws from the global generator.
    return torch.nn.utils.skip_init(torch.nn.Linear, inputs[0][0], node.features, bias=node.bias)


def _dropout(node: Dropout, inputs: Sequence[Shape]) -> torch.nn.Module:
    return torch.nn.Dropout(node.p)


def _flatten(node: Node, inputs: Sequence[Shape]) -> torch.nn.Module:
    return torch.nn.Flatten()


LAYERS: dict[str, Callable[[Any, Sequence[Shape]], torch.nn.Module]] = {"linear": _linear}
OPERATIONS: dict[str, Callable[[Any, Sequence[Shape]], torch.nn.Module]] = {
    "dropout": _dropout,
    "flatten": _flatten,
}


def _build(
    table: dict[str, Callable[[Any, Sequence[Shape]], torch.nn.Module]], node: Node, inputs: Sequence[Shape]
) -> torch.nn.Module:
    if node.kind not in table:
        raise CompileError(f"the kind `{node.kind}` has no torch half: expected one of {', '.join(table)}")
    return table[node.kind](node, inputs)


build_layer = partial(_build, LAYERS)
build_operation = partial(_build, OPERATIONS)
