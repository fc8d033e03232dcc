"""The rows of a kind for import and export, which its torch half gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from gromo_graph.plain_torch.blueprint import ModelValue
from gromo_graph.plain_torch.torch_call import TorchCall

FunctionRow = Callable[..., ModelValue]
"""(call, arguments...) -> ModelValue, with the arguments of the torch function that it stands for."""

ModuleRow = Callable[..., Any]
"""(call, module, values...) -> ModelValue; attention gives a tuple as torch does."""

PlainCall = Callable[..., Any]
"""(call, values...) -> value; `call(key, values...)` calls the plain module of that key, or gives a parameter.

`call(".weight")` gives that of the plain module of the node with the weights of which this one computes.
"""


@dataclass(frozen=True)
class PlainTorch:
    """A module in plain PyTorch.

    `compute` is followed by torch.fx: its calls become those of the exported module and the lines of the exported
    source. So it may call methods of tensors, operators and functions of `torch.nn.functional`.

    Attributes:
        modules: modules of torch and parameters that share the weights of the part, by what is appended to the name of
            the node.
        compute: (call, values...) -> value; by default the module of the key "" is called.
    """

    modules: Mapping[str, nn.Module | nn.Parameter]
    compute: PlainCall = lambda call, *values: call("", *values)


ExportRow = Callable[[Any], PlainTorch]
"""(module) -> the same in plain PyTorch."""


def as_function(function: FunctionRow, *attributes: str) -> ModuleRow:
    """The row of a module that calls a function with some of its attributes, by keywords of the same names.

    >>> as_function(lambda call, input, p: (input, p), "p")(None, nn.Dropout(0.25), "x")
    ('x', 0.25)
    """

    def read(call: TorchCall, module: nn.Module, *values: Any, **named: Any) -> ModelValue:
        given = {name: getattr(module, name) for name in attributes}
        tensors = {name: call.weight_in(module, name) for name in attributes if name in _names(module)}
        return function(call, *values, **(given | tensors | named))

    return read


def _names(module: nn.Module) -> set[str]:
    """The names of its parameters and buffers, which may be None."""
    return {*module._parameters, *module._buffers}
