"""Functions and modules of torch that are no kind of their own: activations and other shapes.

The names are those of `torch.nn.functional`, of tensor methods and of the operators that torch.export leaves; if they
take their arguments in the same order, one row serves all. Those of kinds stand in their torch halves.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from gromo_graph.interop.arithmetic import ARITHMETIC
from gromo_graph.interop.call_patterns.attention import ATTENTION
from gromo_graph.interop.call_patterns.rms_norm import mean_square
from gromo_graph.interop.dimension_order import ORDERS
from gromo_graph.interop.slicing import SLICING
from gromo_graph.layers import activation as activations
from gromo_graph.layers.activation import ActivationRow, in_words
from gromo_graph.layers.torch_half_lookup import rows
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.rows import FunctionRow, ModuleRow, as_function
from gromo_graph.plain_torch.torch_call import TorchCall
from gromo_graph.spec.kinds import Merge
from gromo_graph.spec.kinds.activation import Activation, ActivationName

CASTS = ("to", "float", "double", "type_as", "_to_copy")
"""Functions that give the same numbers in another precision."""

# Activations: each value alone, so that they do not care as which shape a value is read


def activation(name: ActivationName, row: ActivationRow) -> FunctionRow:
    """The row of an activation."""

    def read(call: TorchCall, input: Any, *settings: Any, inplace: bool = False, **named: Any) -> ModelValue:
        given = dict(zip(row.settings, settings, strict=False)) | named
        return _activated(call, input, in_words(name, given))

    return read


def _activated(call: TorchCall, input: Any, activation: Activation) -> ModelValue:
    view = call.in_any_order(input)
    node = call.add(Merge, sources=(view.node,), activation=activation)
    return replace(view, node=node.node)


def clamp(call: TorchCall, input: Any, min: Any = None, max: Any = None) -> ModelValue:
    """Between two numbers, or from 0 on."""
    if (min, max) == (0, None):
        return _activated(call, input, "relu")
    if (min, max) == (0, 6):
        return _activated(call, input, "relu6")
    if min is None or max is None:
        raise Unmapped(f"it clamps to min={min}, max={max}: expected two numbers, or min=0")
    return _activated(call, input, in_words("hardtanh", {"min_val": min, "max_val": max}))


def activation_module(name: str, row: ActivationRow) -> ModuleRow:
    """The row of its module, whose attributes are those settings that torch lets one choose."""

    def read(call: TorchCall, module: Any, input: Any) -> ModelValue:
        given = {key: getattr(module, key) for key in row.settings if hasattr(module, key)}
        return ACTIVATIONS[name](call, input, **given)

    return read


# Another shape, the same numbers in the same order


def reshaped(call: TorchCall, input: Any, *arguments: Any, **named: Any) -> ModelValue:
    return call.reshaped(input)


def same(call: TorchCall, input: Any, *arguments: Any, **named: Any) -> ModelValue:
    return call.in_any_order(input)


def cast(call: TorchCall, input: Any, *arguments: Any, **named: Any) -> ModelValue:
    """The same in another precision, if that is not a lower one."""
    lower = {torch.float16, torch.bfloat16}.intersection(
        each for each in (*arguments, *named.values()) if isinstance(each, torch.dtype)
    )
    if lower:
        raise Unmapped(f"it computes in {lower.pop()}: expected the precision of the model")
    return call.in_any_order(input)


def mean(call: TorchCall, input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """Of squares, along the features, or of all positions."""
    squares = mean_square(call, input, dim, keepdim)
    return rows().functions["mean"](call, input, dim, keepdim, dtype) if squares is None else squares


ACTIVATIONS: Mapping[str, FunctionRow] = {
    name: activation(typing.cast(ActivationName, name), row) for name, row in activations.ACTIVATIONS.items()
}

_FUNCTIONS: Mapping[str, FunctionRow] = {
    **ACTIVATIONS,
    "clamp": clamp,
    "clip": clamp,
    **ARITHMETIC,
    **dict.fromkeys(
        ("view", "view_as", "reshape", "unflatten", "squeeze", "unsqueeze", "_unsafe_view"), reshaped
    ),
    **dict.fromkeys(("contiguous", "clone", "long", "int"), same),
    **dict.fromkeys(CASTS, cast),
    "mean": mean,
    **ORDERS,
    **SLICING,
    **ATTENTION,
}
MODULES: Mapping[type[nn.Module], ModuleRow] = {
    **{row.module: activation_module(name, row) for name, row in activations.ACTIVATIONS.items()},
    nn.Unflatten: as_function(reshaped),
    nn.Identity: as_function(same),
}


def function_row(name: str) -> FunctionRow | None:
    """The row of a function, tensor method or operator of torch, or None."""
    return _FUNCTIONS.get(name) or rows().functions.get(name)


VIEWS = frozenset(
    (
        "flatten",
        "unflatten",
        "view",
        "view_as",
        "reshape",
        "squeeze",
        "unsqueeze",
        "contiguous",
        "identity",
        *ORDERS,
    )
)
"""Functions that may give the same memory under another shape."""

SEVERAL = frozenset(("chunk", "split", "split_with_sizes", "unbind", "max"))
"""Functions that give several values."""

FORMS = VIEWS | {
    "expand",
    "expand_as",
    "repeat",
    "getitem",
    "select",
    "slice",
    "t",
    "T",
    "clone",
    "to",
    "float",
}
"""Functions that give a parameter in another form, of which there is a copy."""

COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
HINTS: Mapping[str, str] = {
    "t": "a spec keeps the batch first",
    **dict.fromkeys(("setitem", "fill", "copy"), "a spec changes nothing in place"),
    "detach": "a spec does not cut the gradient",
    **dict.fromkeys(
        COMPARISONS,
        "a spec compares no values: expected masks that no input changes",
    ),
    **dict.fromkeys(
        ("cumsum", "gather"), "a spec counts and looks up no values: expected positions that no input changes"
    ),
}
