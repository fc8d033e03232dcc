"""Functions and modules of torch that are no kind of their own: activations, sums, concatenations and other shapes.

The names are those of `torch.nn.functional`, of tensor methods and of the operators that torch.export leaves; if they
take their arguments in the same order, one row serves all. Those of kinds stand in their torch halves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from gromo_graph.interop.dimension_order import ORDERS
from gromo_graph.layers import activation as activations
from gromo_graph.layers.activation import ActivationRow
from gromo_graph.layers.positions import add_parameter
from gromo_graph.layers.registry import rows
from gromo_graph.spec.kinds import Merge
from gromo_graph.translation.blueprint import ModelValue, Unmapped
from gromo_graph.translation.rows import FunctionRow, ModuleRow, as_function
from gromo_graph.translation.torch_call import TorchCall, Weight

# Activations: each value alone, so that they do not care as which shape a value is read


def activation(name: str, row: ActivationRow) -> FunctionRow:
    """The row of an activation, which the language knows with the settings of its row alone."""

    def read(call: TorchCall, input: Any, *settings: Any, inplace: bool = False, **named: Any) -> ModelValue:
        given = dict(zip(row.settings, settings, strict=False)) | named
        for key, value in given.items():
            if key in row.settings and value != row.settings[key]:
                raise Unmapped(
                    f"its {key} is {value!r}: the language knows {name} with {row.settings[key]!r} alone"
                )
        view = call.view(input)
        node = call.add(Merge, sources=(view.node,), activation=name)
        return replace(view, node=node.node)

    return read


def activation_module(name: str, row: ActivationRow) -> ModuleRow:
    """The row of its module, whose attributes are those settings that torch lets one choose."""

    def read(call: TorchCall, module: Any, input: Any) -> ModelValue:
        given = {key: getattr(module, key) for key in row.settings if hasattr(module, key)}
        return ACTIVATIONS[name](call, input, **given)

    return read


# Several values become one


def add(call: TorchCall, input: Any, other: Any, *, alpha: Any = 1) -> ModelValue:
    for value, number in ((input, other), (other, input)):
        if isinstance(number, int | float) and not isinstance(value, int | float):
            if number == 0:  # as Python's sum() begins
                return call.view(value)
            raise Unmapped(f"it adds the number {number}: expected values of nodes")
        if isinstance(number, Weight) and isinstance(value, ModelValue) and alpha == 1:
            return add_parameter(call, value, number)
    a, b = call.view(input), call.view(other)
    if alpha != 1:
        raise Unmapped(f"it multiplies by alpha={alpha} before it adds: expected 1")
    if a.shape != b.shape:
        raise Unmapped(f"it adds {list(a.shape)} and {list(b.shape)}: expected equal shapes")
    return _merged(call, "sum", (a, b), by_features=a.features_last or b.features_last)


def cat(call: TorchCall, tensors: Any, dim: int = 0, *, axis: int | None = None) -> ModelValue:
    views = [call.view(tensor) for tensor in tensors]
    dimensions = len(views[0].shape)
    along = (dim if axis is None else axis) % (dimensions + 1)
    by_features = dimensions > 1 and along == dimensions
    if along != 1 and not by_features:
        raise Unmapped(f"it concatenates along dimension {along}: expected the features, first or last")
    if len(views) == 1:
        return views[0]
    return _merged(call, "concat", views, by_features=by_features)


def _merged(call: TorchCall, how: str, views: Sequence[ModelValue], *, by_features: bool) -> ModelValue:
    """Of values that have their features last in the model; if one has, the others are brought to it."""
    blueprint = call.blueprint
    name = call.named(Merge, {})
    if not by_features:
        return blueprint.merge(name, how, views)
    nodes = [blueprint.by_features(view) for view in views]
    if len({len(blueprint.shapes[node]) for node in nodes}) > 1:
        nodes = [blueprint.sequence(node) for node in nodes]
    shapes = [blueprint.shapes[node] for node in nodes]
    plain = [ModelValue(node, shape, shape) for node, shape in zip(nodes, shapes, strict=True)]
    return call.behind_positions(blueprint.merge(name, how, plain))


# Another shape, the same numbers in the same order


def reshaped(call: TorchCall, input: Any, *arguments: Any, **named: Any) -> ModelValue:
    return call.reshaped(input)


def same(call: TorchCall, input: Any, *arguments: Any, **named: Any) -> ModelValue:
    return call.view(input)


ACTIVATIONS: Mapping[str, FunctionRow] = {
    name: activation(name, row) for name, row in activations.ACTIVATIONS.items()
}

_FUNCTIONS: Mapping[str, FunctionRow] = {
    **ACTIVATIONS,
    "add": add,
    **dict.fromkeys(("cat", "concat", "concatenate"), cat),
    **dict.fromkeys(("view", "reshape", "squeeze", "unsqueeze", "_unsafe_view"), reshaped),
    **dict.fromkeys(("contiguous", "clone", "long", "int"), same),
    **ORDERS,
}
MODULES: Mapping[type[nn.Module], ModuleRow] = {
    **{row.module: activation_module(name, row) for name, row in activations.ACTIVATIONS.items()},
    nn.Unflatten: as_function(reshaped),
    nn.Identity: as_function(same),
}


def function_row(name: str) -> FunctionRow | None:
    """The row of a function, tensor method or operator of torch, or None."""
    return _FUNCTIONS.get(name) or rows().functions.get(name)


VIEWS = frozenset(("flatten", "view", "reshape", "squeeze", "unsqueeze", "contiguous", "identity", *ORDERS))
"""Functions that may give the same memory under another shape."""

HINTS: Mapping[str, str] = {
    **dict.fromkeys(("softmax", "log_softmax"), "leave it to the loss"),
    **dict.fromkeys(
        ("mul", "imul", "sub", "truediv", "div", "matmul", "bmm"), "a spec can add and concatenate, no more"
    ),
    "t": "a spec keeps the batch first",
    **dict.fromkeys(("chunk", "split", "getitem", "select", "slice"), "a spec hands on whole values"),
    **dict.fromkeys(("setitem", "fill", "copy"), "a spec changes nothing in place"),
    "detach": "a spec does not cut the gradient",
}
