"""The calls of a model in their order: by torch.fx, and by torch.export if fx cannot follow."""

from __future__ import annotations

import copy
import inspect
import re
import traceback
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from gromo_graph.errors import Obstacle
from gromo_graph.interop.module_rows import module_row


@dataclass(frozen=True)
class Seen:
    """A tensor that was seen when the model ran: its shape, the batch included."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Trace:
    """A model as a list of calls.

    Attributes:
        graph: of the calls. root: where their modules and weights are.
        seen: what each of them gave, tensors by shape.
        outputs: what the model returns, with nodes of the graph in the place of tensors.
    """

    graph: fx.Graph
    root: nn.Module
    seen: Mapping[fx.Node, Any]
    outputs: Any

    def owner(self, node: fx.Node) -> str:
        """The path of the module whose forward pass makes a call."""
        stack = node.meta.get("nn_module_stack") or {}
        path = str(next(reversed(stack.values()))[0]) if stack else ""
        return path.removeprefix("L['self']").lstrip(".")


class _Tracer(fx.Tracer):
    """Follows a model down to the layers of torch, and to modules that are taken as they are.

    Attributes:
        failed: the innermost module in which the tracing ended.
    """

    def __init__(self, opaque: Collection[str]) -> None:
        super().__init__()
        self.opaque = opaque
        self.failed = ""
        self.record_stack_traces = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return (
            module_qualified_name in self.opaque
            or module_row(m) is not None
            or super().is_leaf_module(m, module_qualified_name)
        )

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed = self.failed or self.path_of_module(m)
            raise


def trace_by_fx(
    model: nn.Module, inputs: Mapping[str, Tensor], opaque: Collection[str] = ()
) -> Trace | tuple[Obstacle, ...]:
    """The calls of a model, symbolically; or all that ends the tracing, each in another module.

    Args:
        model: a copy that may be run. inputs: by the names of the arguments of its forward pass.
        opaque: paths of modules that are taken as they are.
    """
    found: list[Obstacle] = []
    blind = set(opaque)
    while True:
        tracer = _Tracer(blind)
        try:
            graph = tracer.trace(model, concrete_args=_left_out(model, inputs))
        except Exception as error:
            found.append(Obstacle(tracer.failed, _what_ended(error)))
            if not tracer.failed or tracer.failed in blind:
                return tuple(found)
            blind.add(tracer.failed)  # to find what else there is
            continue
        if found:
            return tuple(found)
        try:
            return _run(graph, model.eval(), list(inputs.values()), inputs)
        except Exception as error:
            return (Obstacle("", f"the calls that were traced do not run: {_first_line(error)}"),)


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
        trace = _run(module.graph, module, list(inputs.values()), inputs)
    except Exception as error:
        return (Obstacle("", f"the calls that were exported do not run: {_first_line(error)}"),)
    spec = program.call_spec.out_spec
    flat = list(trace.outputs) if isinstance(trace.outputs, tuple | list) else [trace.outputs]
    outputs = trace.outputs if spec is None else pytree.tree_unflatten(flat, spec)
    return Trace(trace.graph, trace.root, trace.seen, outputs)


def _left_out(model: nn.Module, inputs: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """The arguments of the forward pass that have defaults and are not given."""
    parameters = inspect.signature(model.forward).parameters.values()
    left = {p.name: p.default for p in parameters if p.name not in inputs and p.default is not p.empty}
    return left or None


class _Recorder(fx.Interpreter):
    """Runs a graph and keeps what each node gave, tensors by shape."""

    def __init__(self, module: Any, graph: fx.Graph) -> None:
        super().__init__(module, graph=graph)
        self.seen: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        self.seen[n] = pytree.tree_map(
            lambda value: Seen(tuple(value.shape)) if isinstance(value, Tensor) else value, result
        )
        return result


def _run(graph: fx.Graph, root: nn.Module, values: Sequence[Tensor], inputs: Mapping[str, Tensor]) -> Trace:
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    names = [str(node.target) for node in placeholders]
    # What is not given stands there as `name_1`, with its default.
    left = _left_out(root, inputs) or {} if set(inputs) <= set(names) else {}
    given = [inputs.get(name, left.get(name.rpartition("_")[0])) for name in names] if left else list(values)
    recorder = _Recorder(root, graph)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        # In-place operations must not reach the inputs of the caller.
        recorder.run(*[value.clone() if isinstance(value, Tensor) else value for value in given])
    (end,) = [node for node in graph.nodes if node.op == "output"]
    return Trace(graph, root, recorder.seen, end.args[0])


def _what_ended(error: Exception) -> str:
    """Why a forward pass cannot be traced, with the line of the user's code."""
    text = _first_line(error)
    if isinstance(error, fx.proxy.TraceError) and "control flow" in text:
        text = "its path depends on values or shapes (control flow on a tensor)"
    elif "iterat" in text or "len" in text:
        text = f"it counts or iterates over a tensor: {text}"
    return f"{text}{_place(error)}"


def _place(error: Exception) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    return _line(frames[-1].filename, frames[-1].lineno, frames[-1].line) if frames else ""


def line_of(node: fx.Node) -> str:
    """The line of the user's code that makes a call, or nothing if that is not known."""
    found = re.findall(r'File "(.+)", line (\d+), in .*\n\s*(.*)', node.stack_trace or "")
    lines = [(file, number, text) for file, number, text in found if _is_users(file)]
    return _line(*lines[-1]) if lines else ""


def _is_users(file: str) -> bool:
    """True for a file that is neither torch's nor of this package; torchvision's folder begins with torch's name."""
    homes = (f"{Path(module).parent}/" for module in (torch.__file__, __file__))
    return not file.startswith((*homes, "<"))


def _line(file: str, number: object, text: str | None) -> str:
    return f"; {Path(file).name}:{number}: `{(text or '').strip()[:100]}`"


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0][:200]}"


def run_once(
    model: nn.Module, inputs: Mapping[str, Tensor], change: Callable[[nn.Module], object] | None = None
) -> Any:
    """The output of a copy of a model for an input; the model itself stays untouched."""
    copied = copy.deepcopy(model)
    if change is not None:
        change(copied)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return copied(**{name: value.clone() for name, value in inputs.items()})
