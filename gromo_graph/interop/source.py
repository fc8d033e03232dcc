"""A network as readable Python: a class of torch layers with the grown sizes, and its weights beside it."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from math import isinf
from typing import Any

import safetensors.torch
from torch import fx, nn

from gromo_graph.errors import CompileError
from gromo_graph.graph import Graph
from gromo_graph.layers.torch_half_lookup import rows
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.plain import PlainForward, class_name, plain_forward

_LONG = 60
"""Calls, lists and sums of more characters stand on several lines."""

_OPERATORS: Mapping[Any, str] = {
    operator.sub: "-",
    operator.mul: "*",
    operator.truediv: "/",
    operator.matmul: "@",
    operator.pow: "**",
}
"""The operators besides +, whose terms are listed."""

_SOURCE = '''\
"""A network as plain PyTorch: {parameters:,} parameters. `load()` gives it with its weights.
{reads}
Written by gromo_graph; it needs torch and safetensors.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional


# {text}
class {name}(nn.Module):
    def __init__(self) -> None:
        super().__init__()
{layers}

{forward}


# The model with its weights, or those of another file, in evaluation mode.
def load(path: str | Path | None = None, device: str = "cpu") -> {name}:
    model = {name}()
    model.load_state_dict(load_file(_own_weights() if path is None else path, device=device), assign=True)
    return model.eval()


# How samples are prepared, as the file with the weights tells it; empty if nothing is known.
def preparation() -> dict[str, Any]:
    with safe_open(_own_weights(), framework="pt") as file:
        return json.loads((file.metadata() or {{}}).get("preparation", "{{}}"))


# The file beside this one that was written with it.
def _own_weights() -> Path:
    path = Path(__file__).with_name({weights})
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != {digest}:
        own = Path(__file__).name
        raise ValueError(f"{{path}}: these are not the weights that {{own}} was written with: export anew")
    return path


if __name__ == "__main__":
    print(load())
'''


_PREPARED = """
It reads standardised inputs, (x - mean) / scale. `preparation()` gives these numbers, the names of the classes, and
the mean and the scale of the targets of a regression.
"""


def source_of(
    network: GrowingNetwork, *, weights: str, content: bytes | None = None, prepared: bool = False
) -> str:
    """The text of a Python file that needs torch and safetensors alone.

    It has one class, with a line for each layer and a line for each node, and a function `load` that returns the model
    with its weights. Names and texts of the spec stand in it as quoted text or as identifiers, never as they are.

    Args:
        network: what to write.
        weights: name of the file with the weights, beside the text.
        content: of that file, of which the text keeps the sha256; None takes that of `weights_of(network)`.
        prepared: whether the file tells how samples are prepared.

    Raises:
        CompileError: a node that was imported as it is has no text.

    >>> from gromo_graph import compile_network, parse_spec
    >>> network = compile_network(parse_spec('''
    ... nodes:
    ...   x: {kind: input, shape: [3]}
    ...   hidden: {kind: linear, from: x, features: 4, activation: relu}
    ...   y: {kind: linear, from: hidden, features: 2}
    ... output: y
    ... '''))
    >>> print("\\n".join(source_of(network, weights="w.safetensors").splitlines()[20:-27]))
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Linear(3, 4)
            self.y = nn.Linear(4, 2)
    <BLANKLINE>
        def forward(self, x: Tensor) -> Tensor:
            # x: (batch, 3)
            hidden = functional.relu(self.hidden(x))
            y = self.y(hidden)
            return y
    """
    graph = network.graph
    forward = plain_forward(graph, network.parts)
    content = weights_of(network) if content is None else content
    return _SOURCE.format(
        parameters=graph.parameter_count,
        reads=_PREPARED if prepared else "",
        text=quoted(graph.spec.name),
        name=class_name(graph.spec.name),
        weights=quoted(weights),
        digest=quoted(sha256(content).hexdigest()),
        layers="\n".join(_constructors(forward)),
        forward="\n".join(_forward(forward, graph)),
    )


def weights_of(network: GrowingNetwork, preparation: str | None = None) -> bytes:
    """The weights that the source of a network loads, as a .safetensors file.

    Args:
        network: whose weights they are.
        preparation: how samples are prepared, as JSON, which goes into the metadata of the file.
    """
    state = network.to_torch().state_dict()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    # Safetensors writes several entries in any order, and one network is to give one file.
    told = {"format": "pt"} if preparation is None else {"preparation": preparation}
    return safetensors.torch.save(tensors, metadata=told)


def _constructors(forward: PlainForward) -> Iterator[str]:
    """A line for each module and parameter."""
    for node, modules in forward.modules.items():
        for called, module in modules.items():
            yield f"        self.{called} = {constructor(node, module)}{_told(node, forward.names[node])}"


def _forward(forward: PlainForward, graph: Graph) -> Iterator[str]:
    """The method `forward`: a line for each node of the spec."""
    spec, names = graph.spec, forward.names
    arguments = ", ".join(f"{names[name]}: Tensor" for name in spec.inputs)
    yield f"    def forward(self, {arguments}) -> {'dict[str, Tensor]' if spec.named_outputs else 'Tensor'}:"
    known: dict[fx.Node, str] = {}
    for node, value in forward.values.items():
        name = names[node]
        if node in spec.inputs:
            sizes = ", ".join(map(str, graph.shapes[node]))
            yield f"        # {name}: (batch, {sizes}){_told(node, name)}"
        else:
            first, *others = f"        {name} = {_expression(value, known)}".split("\n")
            yield first + ("" if forward.modules.get(node) else _told(node, name))
            yield from others
        known.setdefault(value, name)
    if spec.named_outputs:
        yield "        return {"
        yield from (f"            {quoted(name)}: {names[name]}," for name in spec.outputs)
        yield "        }"
    else:
        yield f"        return {names[spec.outputs[0]]}"


def _expression(value: Any, known: Mapping[fx.Node, str]) -> str:
    """The text of a value; calls whose values have no name stand within those that take them."""
    if isinstance(value, list):
        return _listed("[", [_expression(each, known) for each in value], "]")
    if not isinstance(value, fx.Node):
        return _written(value)
    if value in known:
        return known[value]
    if _is_sum(value):
        return _sum([_expression(term, known) for term in _terms(value, known)])
    if value.op == "call_function" and value.target in _OPERATORS:
        return f" {_OPERATORS[value.target]} ".join(_operand(each, known) for each in value.args)
    # Each argument once: otherwise each call of a chain would double the time.
    first = [(_operand if value.op == "call_method" else _expression)(each, known) for each in value.args[:1]]
    arguments = [*first, *(_expression(each, known) for each in value.args[1:])]
    keywords = [f"{key}={_expression(each, known)}" for key, each in value.kwargs.items()]
    match value.op:
        case "call_module":
            return f"self.{value.target}({', '.join(arguments)})"
        case "call_method":
            return f"{arguments[0]}.{value.target}({', '.join([*arguments[1:], *keywords])})"
        case "call_function" if value.target is operator.getitem:
            return f"{arguments[0]}[{arguments[1]}]"
        case "get_attr":
            return f"self.{value.target}"
        case _:
            return _listed(f"{_function(value.target)}(", [*arguments, *keywords], ")")


def _operand(value: Any, known: Mapping[fx.Node, str]) -> str:
    """The text of a value that an operator or a method takes, in brackets if it is computed by an operator."""
    text = _expression(value, known)
    computed = isinstance(value, fx.Node) and value not in known
    return f"({text})" if computed and (_is_sum(value) or value.target in _OPERATORS) else text


def _is_sum(value: Any) -> bool:
    return isinstance(value, fx.Node) and value.target is operator.add


def _terms(value: Any, known: Mapping[fx.Node, str]) -> list[Any]:
    """The terms of a sum of sums, from the left."""
    if not _is_sum(value) or value in known:
        return [value]
    first, second = value.args
    return [*_terms(first, known), second]


def _sum(terms: Sequence[str]) -> str:
    """A sum, a term a line in brackets if it gets long."""
    text = " + ".join(terms)
    return text if len(text) <= _LONG else "(\n            " + "\n            + ".join(terms) + "\n        )"


def _function(function: Any) -> str:
    """The name of a function of torch.

    >>> import torch
    >>> _function(torch.tanh), _function(torch.nn.functional.gelu)
    ('torch.tanh', 'functional.gelu')
    """
    name = function.__name__
    home = "functional" if getattr(nn.functional, name, None) is function else "torch"
    return f"{home}.{name}"


def _listed(before: str, parts: Sequence[str], after: str) -> str:
    """Parts in brackets, one a line if they get long."""
    text = f"{before}{', '.join(parts)}{after}"
    if len(parts) == 1 and parts[0].startswith("(\n"):
        return f"{before[:-1]}{parts[0]}"  # a long sum has brackets of its own
    if len(text) <= _LONG or len(parts) < 2:
        return text
    return f"{before}\n            " + ",\n            ".join(parts) + f"\n        {after}"


def _told(node: str, name: str) -> str:
    """The name of a node as a comment, if its identifier is another."""
    return "" if name == node else f"  # {quoted(node)}"


def quoted(text: str) -> str:
    """A text as Python writes it, on one line, in double quotes if it can be.

    >>> print(quoted("a\\nb"), quoted('say "x"'))
    "a\\nb" 'say "x"'
    """
    found = repr(text)
    return f'"{found[1:-1]}"' if found[0] == "'" and '"' not in found else found


def constructor(node: str, module: nn.Module | nn.Parameter) -> str:
    """The call that makes a layer of a node, or a parameter of its own.

    Raises:
        CompileError: no text is known for it.
    """
    if isinstance(module, nn.Parameter):
        return f"nn.Parameter(torch.zeros({', '.join(map(str, module.shape))}))"
    kind = type(module)
    of_torch = getattr(nn, kind.__name__, None) is kind
    arguments = _arguments(module) if of_torch and kind in rows().modules else None
    if arguments is None:
        raise CompileError(
            f"`{node}` is a {kind.__module__}.{kind.__qualname__} that was imported as it is: no source can be "
            "written for it; take to_torch(), or the formats onnx and torchexport"
        )
    return f"nn.{kind.__name__}({', '.join(arguments)})"


def _arguments(module: nn.Module) -> list[str] | None:
    """The arguments that differ from their defaults, as text: torch's layers keep each as an attribute of its name.

    None for a module that does not keep them.
    """
    found: list[str] = []
    recurrent = isinstance(module, nn.RNNBase)  # their own constructors tell no names
    made_by = nn.RNNBase if recurrent else type(module)
    parameters = inspect.signature(made_by.__init__).parameters.values()
    for place, parameter in enumerate(list(parameters)[2 if recurrent else 1 :]):
        if parameter.name in ("device", "dtype") or parameter.name.startswith("_"):
            continue
        if not hasattr(module, parameter.name):
            return None
        value = _argument(module, parameter)
        if parameter.default is parameter.empty or (place == 0 and value != parameter.default):
            found.append(_written(value))
        elif value != parameter.default:
            found.append(f"{parameter.name}={_written(value)}")
    return found


def _argument(module: nn.Module, parameter: inspect.Parameter) -> Any:
    value = getattr(module, parameter.name)
    if parameter.name == "bias":
        return value is not None and value is not False
    if parameter.name == "normalized_shape":
        return tuple(value)
    if parameter.name == "stride" and parameter.default is None and _one(value) == _one(module.kernel_size):
        return None  # a pool's stride is its kernel
    return _one(value)


def _written(value: Any) -> str:
    if isinstance(value, float) and isinf(value):
        return f'float("{value}")'
    return quoted(value) if isinstance(value, str) else repr(value)


def _one(value: Any) -> Any:
    """The value along every axis, if it is the same; else all of them."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value
