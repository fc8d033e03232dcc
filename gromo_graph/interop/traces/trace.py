"""The calls of a model in their order, and their lines; by torch.export, as the last resort of recording them."""

from __future__ import annotations

import re
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from gromo_graph.errors import Obstacle
from gromo_graph.layers.reparametrized import copy_of

ITSELF = {"iadd": "add", "isub": "sub", "imul": "mul", "itruediv": "truediv"}
"""Operators of Python that change their left side, by the name of the one that does not."""


@dataclass(frozen=True)
class Seen:
    """A tensor that was seen when the model ran: its shape, the batch included, and whether it holds floats."""

    shape: tuple[int, ...]
    floats: bool = True

    @classmethod
    def of(cls, value: Any) -> Any:
        """What was seen of a tensor; any other value as it is."""
        return cls(tuple(value.shape), value.is_floating_point()) if isinstance(value, Tensor) else value


@dataclass(frozen=True)
class Trace:
    """A model as a list of calls.

    Attributes:
        graph: of the calls. root: where their modules and weights are.
        seen: what each of them gave, tensors by shape.
        outputs: what the model returns, with nodes of the graph in the place of tensors.
        constants: what those nodes gave that no input changes, weights too.
        unsteady: places that compute something else at the next call.
    """

    graph: fx.Graph
    root: nn.Module
    seen: Mapping[fx.Node, Any]
    outputs: Any
    constants: Mapping[fx.Node, Tensor] = field(default_factory=dict)
    unsteady: tuple[Obstacle, ...] = ()

    def owner(self, node: fx.Node) -> str:
        """The path of the module whose forward pass makes a call."""
        stack = node.meta.get("nn_module_stack") or {}
        path = str(next(reversed(stack.values()))[0]) if stack else ""
        return path.removeprefix("L['self']").lstrip(".")


def name_of(node: fx.Node) -> tuple[str, bool]:
    """The name of the function that a node calls, and True if it works in place.

    Functions, methods and operators of torch.export go by one name; the batch norm of the last has another order of
    arguments.
    """
    if node.op == "call_module":
        return "module", False
    target: Any = node.target
    if isinstance(target, torch._ops.OpOverload):
        name = target._schema.name.removeprefix("aten::")
        name = "aten::batch_norm" if name == "batch_norm" else name
    else:
        name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
    if name in ITSELF:
        return ITSELF[name], True
    if name.endswith("_") and not name.endswith("__"):
        return name[:-1], True
    return name, False


def trace_by_export(model: nn.Module, inputs: Mapping[str, Tensor]) -> Trace | tuple[Obstacle, ...]:
    """The calls of a model as torch.export sees them, with the values of this input.

    Args:
        model: a copy that may be run and changed. inputs: by the names of the arguments of its forward pass.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(model, (), dict(inputs), strict=False)
            module: Any = program.module()
    except Exception as error:
        return (Obstacle("", f"torch.export cannot follow it either: {_first_line(error)}"),)
    for node in list(module.graph.nodes):
        if node.op == "call_module" and node.target == "_guards_fn":
            module.graph.erase_node(node)
    try:
        trace = _run(module.graph, module, list(inputs.values()))
    except Exception as error:
        return (Obstacle("", f"the calls that were exported do not run: {_first_line(error)}"),)
    spec = program.call_spec.out_spec
    flat = list(trace.outputs) if isinstance(trace.outputs, tuple | list) else [trace.outputs]
    outputs = trace.outputs if spec is None else pytree.tree_unflatten(flat, spec)
    return Trace(trace.graph, trace.root, trace.seen, outputs)


class _Recorder(fx.Interpreter):
    """Runs a graph and keeps what each node gave, tensors by shape."""

    def __init__(self, module: Any, graph: fx.Graph) -> None:
        super().__init__(module, graph=graph)
        self.seen: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        self.seen[n] = pytree.tree_map(Seen.of, result)
        return result


def _run(graph: fx.Graph, root: nn.Module, values: Sequence[Tensor]) -> Trace:
    recorder = _Recorder(root, graph)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        # In-place operations must not reach the inputs of the caller.
        recorder.run(*[value.clone() if isinstance(value, Tensor) else value for value in values])
    (end,) = [node for node in graph.nodes if node.op == "output"]
    return Trace(graph, root, recorder.seen, end.args[0])


def without_extras(outputs: Any) -> Any:
    """The outputs of a model, without None and without caches for a later call.

    A single value that is left of several values and None is returned as itself.

    >>> without_extras((1, None)), without_extras((1, None, 2)), without_extras({"a": None, "b": 1})
    (1, [1, 2], {'b': 1})
    """
    if isinstance(outputs, Mapping):
        return {key: value for key, value in outputs.items() if not is_extra(value)}
    if not isinstance(outputs, tuple | list):
        return outputs
    kept = [value for value in outputs if not is_extra(value)]
    return kept[0] if len(kept) == 1 < len(outputs) else kept


def is_extra(value: Any) -> bool:
    """True also for caches of keys and values: several libraries end the names of their classes alike."""
    return value is None or type(value).__name__.endswith("Cache")


def why_it_ended(error: Exception) -> str:
    """Describe the end of a forward pass, with the line of the user's code."""
    return f"{_first_line(error)}{_place(error)}"


def _place(error: Exception) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_users(frame.filename)]
    return told_line(frames[-1].filename, frames[-1].lineno, frames[-1].line) if frames else ""


def line_of(node: fx.Node) -> str:
    """The line of the user's code that makes a call, or nothing if that is not known."""
    if "line" in node.meta:
        return str(node.meta["line"])
    found = re.findall(r'File "(.+)", line (\d+), in .*\n\s*(.*)', node.stack_trace or "")
    lines = [(file, number, text) for file, number, text in found if is_users(file)]
    return told_line(*lines[-1]) if lines else ""


@cache
def is_users(file: str) -> bool:
    """True for a file that is neither torch's nor of this package; torchvision's folder begins with torch's name."""
    homes = (f"{Path(module).parent}/" for module in (torch.__file__, __file__))
    return not file.startswith((*homes, "<"))


def told_line(file: str, number: object, text: str | None) -> str:
    return f"; {Path(file).name}:{number}: `{(text or '').strip()[:100]}`"


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0][:200]}"


def run_once(
    model: nn.Module, inputs: Mapping[str, Tensor], change: Callable[[nn.Module], object] | None = None
) -> Any:
    """The output of a copy of a model for an input; the model itself stays untouched."""
    copied = copy_of(model)
    if change is not None:
        change(copied)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return copied(**{name: value.clone() for name, value in inputs.items()})
