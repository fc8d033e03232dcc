"""The activations of the spec language: each is one module of torch, one function, and their default settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class ActivationRow:
    """An activation in torch.

    Attributes:
        module: its class. function: the same as a function.
        settings: arguments of the function, in its order, with the only values that the language means.
    """

    module: type[nn.Module]
    function: Callable[[Tensor], Tensor]
    settings: Mapping[str, Any] = field(default_factory=dict)


ACTIVATIONS: Mapping[str, ActivationRow] = {
    "relu": ActivationRow(nn.ReLU, functional.relu),
    "leaky_relu": ActivationRow(nn.LeakyReLU, functional.leaky_relu, {"negative_slope": 0.01}),
    "gelu": ActivationRow(nn.GELU, functional.gelu, {"approximate": "none"}),
    "selu": ActivationRow(nn.SELU, functional.selu),
    "silu": ActivationRow(nn.SiLU, functional.silu),
    "tanh": ActivationRow(nn.Tanh, torch.tanh),
    "sigmoid": ActivationRow(nn.Sigmoid, torch.sigmoid),
    "softplus": ActivationRow(nn.Softplus, functional.softplus, {"beta": 1.0, "threshold": 20.0}),
    "elu": ActivationRow(nn.ELU, functional.elu, {"alpha": 1.0, "scale": 1.0, "input_scale": 1.0}),
}
"""By their names in the language; `identity` is none of them."""


def activation_module(name: str) -> torch.nn.Module:
    """A new module for an activation of the spec language.

    >>> activation_module("relu")
    ReLU()
    """
    return nn.Identity() if name == "identity" else ACTIVATIONS[name].module()
