"""A network as readable Python: a class of torch layers with the grown sizes, and its weights beside it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import safetensors.torch
import torch.fx
from torch import nn

from gromo_graph.errors import CompileError
from gromo_graph.graph import Graph
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.plain import Step, class_name, plain_steps, planned

_WIDTH = 100


def source_of(network: GrowingNetwork, *, weights: str) -> str:
    """The text of a Python file that needs torch and safetensors alone.

    It has one class, with a line for each layer and a line for each node, and a function `load` that returns the model
    with its weights. Names and texts of the spec stand in it as quoted text or as identifiers, never as they are.

    Args:
        network: what to write. weights: name of the file with the weights (`weights_of`), beside the text.

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
    >>> print("\\n".join(source_of(network, weights="w.safetensors").splitlines()[16:-12]))
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
    return "\n".join(_lines(network, weights)) + "\n"


def weights_of(network: GrowingNetwork) -> bytes:
    """The weights that the source of a network loads, as a .safetensors file."""
    state = network.to_torch().state_dict()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    return safetensors.torch.save(tensors, metadata={"format": "pt"})


def _lines(network: GrowingNetwork, weights: str) -> Iterator[str]:
    spec, graph = network.spec, network.graph
    steps = plain_steps(graph, network.parts)
    name = class_name(spec.name)
    yield f'"""A network as plain PyTorch: {graph.parameter_count:,} parameters. `load()` gives it with its weights.'
    yield ""
    yield "Written by gromo_graph; it needs torch and safetensors."
    yield '"""'
    yield ""
    yield "from __future__ import annotations"
    yield ""
    yield "from pathlib import Path"
    yield ""
    yield "import torch"
    yield "from safetensors.torch import load_file"
    yield "from torch import Tensor, nn"
    yield "from torch.nn import functional"
    yield ""
    yield ""
    yield f"# {quoted(spec.name)}"
    yield f"class {name}(nn.Module):"
    yield "    def __init__(self) -> None:"
    yield "        super().__init__()"
    for step in steps:
        for called, module in step.modules.items():
            yield f"        self.{called} = {constructor(step.node, module)}{_told(step)}"
    yield ""
    yield from _forward(steps, graph)
    yield ""
    yield ""
    yield "# The model with its weights, in evaluation mode."
    yield f'def load(path: str | Path | None = None, device: str = "cpu") -> {name}:'
    yield f"    path = Path(__file__).with_name({quoted(weights)}) if path is None else path"
    yield f"    model = {name}()"
    yield "    model.load_state_dict(load_file(path, device=device), assign=True)"
    yield "    return model.eval()"
    yield ""
    yield ""
    yield 'if __name__ == "__main__":'
    yield "    print(load())"


def _forward(steps: Sequence[Step], graph: Graph) -> Iterator[str]:
    inputs = [step for step in steps if step.how == "input"]
    arguments = ", ".join(f"{step.name}: Tensor" for step in inputs)
    named, outputs = graph.spec.named_outputs, graph.spec.outputs
    yield f"    def forward(self, {arguments}) -> {'dict[str, Tensor]' if named else 'Tensor'}:"
    for step in inputs:
        yield f"        # {step.name}: (batch, {', '.join(map(str, graph.shapes[step.node]))}){_told(step)}"
    for step in steps:
        if step.how != "input":
            yield from _assignment(step)
    by_node = {step.node: step.name for step in steps}
    if named:
        yield "        return {"
        yield from (f"            {quoted(name)}: {by_node[name]}," for name in outputs)
        yield "        }"
    else:
        yield f"        return {by_node[outputs[0]]}"


def _assignment(step: Step) -> Iterator[str]:
    """`name = value`, a source a line where that gets long."""
    told = "" if step.modules else _told(step)
    begin = f"        {step.name} = "
    line = f"{begin}{_value(step, ', '.join(step.reads), ' + '.join(step.reads))}"
    if len(line) <= _WIDTH or step.how == "module" or len(step.reads) < 2:
        first, *others = line.split("\n")
        yield f"{first}{told}"
        yield from others
        return
    broken = "\n            "
    listed = broken + f",{broken}".join(step.reads) + "\n        "
    added = f"{broken}{f'{broken}+ '.join(step.reads)}\n        "
    text = _value(step, listed, added if step.function is not None else f"({added})")
    yield from f"{begin}{text}{told}".split("\n")


def _value(step: Step, listed: str, added: str) -> str:
    value = _module_value(step) if step.how == "module" else ""
    if step.how == "concat":
        value = f"torch.cat([{listed}], dim=1)"
    elif step.how == "sum":
        value = added
    return value if step.function is None else f"{step.function}({value})"


def _module_value(step: Step) -> str:
    """The calls of a step, one within the other."""
    plan = torch.fx.Graph()
    return _expression(
        planned(plan, step, [plan.placeholder(f"x{place}") for place in range(len(step.reads))]), step
    )


def _expression(value: Any, step: Step) -> str:
    if not isinstance(value, torch.fx.Node):
        return _written(value)
    if value.op == "placeholder":
        return step.reads[int(value.name[1:])]
    arguments = [_expression(each, step) for each in value.args]
    arguments += [f"{key}={_expression(each, step)}" for key, each in value.kwargs.items()]
    match value.op:
        case "call_module":
            return f"self.{value.target}({', '.join(arguments)})"
        case "call_method":
            return f"{arguments[0]}.{value.target}({', '.join(arguments[1:])})"
        case "get_attr":
            return f"self.{value.target}"
        case "call_function" if value.target is operator.add:
            return " + ".join(arguments)
        case _:
            function: Any = value.target
            return _called(f"functional.{function.__name__}", arguments)


def _called(function: str, arguments: Sequence[str]) -> str:
    """A call, an argument a line where it gets long."""
    text = f"{function}({', '.join(arguments)})"
    if len(text) <= _WIDTH // 2:
        return text
    return f"{function}(\n            " + ",\n            ".join(arguments) + "\n        )"


def _told(step: Step) -> str:
    """The name of the node as a comment, where the identifier is another."""
    return "" if step.name == step.node else f"  # {quoted(step.node)}"


def quoted(text: str) -> str:
    """A text as Python writes it, on one line, in double quotes where it can be.

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
    kind: Any = type(module)
    if kind not in _CALLS:
        raise CompileError(
            f"`{node}` is a {kind.__module__}.{kind.__qualname__} that was imported as it is: no source can be "
            "written for it; take to_torch(), or the formats onnx and torchexport"
        )
    positional, keywords = _CALLS[kind](module)
    defaults = _DEFAULTS.get(kind, {})
    words = [
        f"{key}={_written(value)}" for key, value in keywords.items() if _written(value) != defaults.get(key)
    ]
    return f"nn.{kind.__name__}({', '.join([*map(_written, positional), *words])})"


def _written(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else repr(value)


def _one(value: Any) -> Any:
    """What is the same along all axes, as one value."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


Call = tuple[Sequence[Any], Mapping[str, Any]]


def _linear(module: Any) -> Call:
    return (module.in_features, module.out_features), {"bias": module.bias is not None}


def _convolution(module: Any) -> Call:
    words = {key: _one(getattr(module, key)) for key in ("stride", "padding", "dilation", "groups")}
    return (
        (module.in_channels, module.out_channels, _one(module.kernel_size)),
        words | {"bias": module.bias is not None},
    )


def _transposed(module: Any) -> Call:
    positional, words = _convolution(module)
    return positional, {**words, "output_padding": _one(module.output_padding)}


def _batch_norm(module: Any) -> Call:
    return (module.num_features,), {"eps": module.eps, "momentum": module.momentum}


def _layer_norm(module: Any) -> Call:
    return (tuple(module.normalized_shape),), {"eps": module.eps}


def _group_norm(module: Any) -> Call:
    return (module.num_groups, module.num_channels), {"eps": module.eps}


def _pool(module: Any) -> Call:
    kernel, stride = _one(module.kernel_size), _one(module.stride)
    return (kernel,), {"stride": None if stride == kernel else stride, "padding": _one(module.padding)}


_CALLS: Mapping[type[nn.Module], Callable[[Any], Call]] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.ConvTranspose1d: _transposed,
    nn.ConvTranspose2d: _transposed,
    nn.Embedding: lambda module: ((module.num_embeddings, module.embedding_dim), {}),
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
    nn.Dropout: lambda module: ((module.p,), {}),
    nn.Flatten: lambda module: ((), {}),
    nn.MaxPool1d: _pool,
    nn.MaxPool2d: _pool,
    nn.AvgPool1d: _pool,
    nn.AvgPool2d: _pool,
    nn.AdaptiveAvgPool1d: lambda module: ((module.output_size,), {}),
    nn.AdaptiveAvgPool2d: lambda module: ((module.output_size,), {}),
    nn.Upsample: lambda module: ((), {"scale_factor": module.scale_factor}),
}
_SLIDING = {"stride": "1", "padding": "0", "dilation": "1", "groups": "1", "bias": "True"}
_WINDOW = {"stride": "None", "padding": "0"}
_DEFAULTS: Mapping[type[nn.Module], Mapping[str, str]] = {
    nn.Linear: {"bias": "True"},
    nn.Conv1d: _SLIDING,
    nn.Conv2d: _SLIDING,
    nn.ConvTranspose1d: {**_SLIDING, "output_padding": "0"},
    nn.ConvTranspose2d: {**_SLIDING, "output_padding": "0"},
    nn.BatchNorm1d: {"eps": "1e-05", "momentum": "0.1"},
    nn.BatchNorm2d: {"eps": "1e-05", "momentum": "0.1"},
    nn.LayerNorm: {"eps": "1e-05"},
    nn.GroupNorm: {"eps": "1e-05"},
    nn.MaxPool1d: _WINDOW,
    nn.MaxPool2d: _WINDOW,
    nn.AvgPool1d: _WINDOW,
    nn.AvgPool2d: _WINDOW,
}
