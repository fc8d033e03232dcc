"""The activations of the spec language in torch: each is one module and one function, with their settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gromo_graph.plain_torch.blueprint import Unmapped
from gromo_graph.spec.kinds.activation import Activation, ActivationName, SetActivation


@dataclass(frozen=True)
class ActivationRow:
    """An activation in torch.

    Attributes:
        module: its class. function: the same as a function.
        settings: arguments of the function, in its order, with torch's defaults.
        written: those of them that a spec can set, in the order in which it writes them.
    """

    module: type[nn.Module]
    function: Callable[..., Tensor]
    settings: Mapping[str, Any] = field(default_factory=dict)
    written: tuple[str, ...] = ()


ACTIVATIONS: Mapping[str, ActivationRow] = {
    "relu": ActivationRow(nn.ReLU, functional.relu),
    "relu6": ActivationRow(nn.ReLU6, functional.relu6),
    "leaky_relu": ActivationRow(
        nn.LeakyReLU, functional.leaky_relu, {"negative_slope": 0.01}, ("negative_slope",)
    ),
    "gelu": ActivationRow(nn.GELU, functional.gelu, {"approximate": "none"}, ("approximate",)),
    "selu": ActivationRow(nn.SELU, functional.selu),
    "silu": ActivationRow(nn.SiLU, functional.silu),
    "mish": ActivationRow(nn.Mish, functional.mish),
    "tanh": ActivationRow(nn.Tanh, torch.tanh),
    "sigmoid": ActivationRow(nn.Sigmoid, torch.sigmoid),
    "hardswish": ActivationRow(nn.Hardswish, functional.hardswish),
    "hardsigmoid": ActivationRow(nn.Hardsigmoid, functional.hardsigmoid),
    "hardtanh": ActivationRow(
        nn.Hardtanh, functional.hardtanh, {"min_val": -1.0, "max_val": 1.0}, ("min_val", "max_val")
    ),
    "softplus": ActivationRow(nn.Softplus, functional.softplus, {"beta": 1.0, "threshold": 20.0}, ("beta",)),
    "softsign": ActivationRow(nn.Softsign, functional.softsign),
    "elu": ActivationRow(
        nn.ELU, functional.elu, {"alpha": 1.0, "scale": 1.0, "input_scale": 1.0}, ("alpha",)
    ),
    "celu": ActivationRow(nn.CELU, functional.celu, {"alpha": 1.0}, ("alpha",)),
}
"""By their names in the language; `identity` is none of them."""


def activation_module(activation: Activation) -> torch.nn.Module:
    """A new module for an activation of the spec language.

    >>> activation_module("relu"), activation_module(SetActivation(leaky_relu=0.2))
    (ReLU(), LeakyReLU(negative_slope=0.2))
    """
    if activation == "identity":
        return nn.Identity()
    row, settings = in_torch(activation)
    return row.module(**settings)


def in_torch(activation: Activation) -> tuple[ActivationRow, dict[str, Any]]:
    """The row of an activation other than the identity, and the arguments that differ from torch's defaults."""
    if not isinstance(activation, SetActivation):
        return ACTIVATIONS[activation], {}
    row, setting = ACTIVATIONS[activation.name], activation.setting
    values = setting if isinstance(setting, tuple) else (setting,)
    return row, dict(zip(row.written, values, strict=True))


def in_words(name: ActivationName, given: Mapping[str, Any]) -> Activation:
    """The activation that torch computes with some arguments; those that no row names do not matter.

    Raises:
        Unmapped: the language cannot say one of them.

    >>> in_words("elu", {"alpha": 1.0}), in_words("elu", {"alpha": 0.5})
    ('elu', SetActivation(leaky_relu=None, gelu=None, softplus=None, elu=0.5, celu=None, hardtanh=None))
    """
    row = ACTIVATIONS[name]
    settings = {**row.settings, **{key: value for key, value in given.items() if key in row.settings}}
    for key, value in settings.items():
        if key not in row.written and value != row.settings[key]:
            raise Unmapped(
                f"its {key} is {value!r}: the language knows {name} with {row.settings[key]!r} alone"
            )
    if settings == row.settings:
        return name
    written = tuple(settings[key] for key in row.written)
    if not all(isinstance(value, int | float | str) for value in written):
        raise Unmapped(f"its settings are {written}: expected numbers")
    plain = tuple(value if isinstance(value, str) else float(value) for value in written)
    return SetActivation.model_validate({name: plain[0] if len(plain) == 1 else plain})
