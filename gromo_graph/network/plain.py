"""A network as plain PyTorch: its nodes one after another, and the module of torch layers that they make."""

from __future__ import annotations

import builtins
import copy
import keyword
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, reduce
from typing import Any, Literal

import torch

from gromo_graph.graph import Graph
from gromo_graph.network.assembly import Parts
from gromo_graph.network.export_rules import Written, in_plain_torch
from gromo_graph.spec.kinds import Input, Merge
from gromo_graph.spec.model import Spec

FUNCTIONS: Mapping[str, str] = {
    "relu": "functional.relu",
    "leaky_relu": "functional.leaky_relu",
    "gelu": "functional.gelu",
    "selu": "functional.selu",
    "silu": "functional.silu",
    "tanh": "torch.tanh",
    "sigmoid": "torch.sigmoid",
    "softplus": "functional.softplus",
    "elu": "functional.elu",
}
"""The activations of the spec language as functions, named as where `torch` and `functional` are imported."""

_LONGEST = 60
_IN_THE_SOURCE = ("self", "torch", "nn", "functional", "Tensor", "load", "Path", "load_file", "annotations")


@dataclass(frozen=True)
class Step:
    """What a plain module does for one node.

    Attributes:
        node: its name in the spec. name: as an identifier of Python, different for different nodes.
        how: something is done with modules, or the values are added up or put side by side.
        reads: identifiers of the nodes whose values it takes.
        modules: those that it calls, by identifiers: that of the network itself, or plain ones that share its weights;
            and parameters that it reads as they are.
        written: what is done with the values, of a step whose `how` is `module`.
        function: the activation behind it, a value of `FUNCTIONS`, or None.
    """

    node: str
    name: str
    how: Literal["input", "module", "sum", "concat"]
    reads: tuple[str, ...] = ()
    modules: Mapping[str, torch.nn.Module | torch.nn.Parameter] = field(default_factory=dict)
    written: Written | None = None
    function: str | None = None


def plain_steps(graph: Graph, parts: Parts) -> tuple[Step, ...]:
    """The nodes of a network in the order in which they are computed; inputs first, in the order of the document."""
    spec = graph.spec
    order = [*spec.inputs, *(name for name in graph.order if name not in spec.inputs)]
    names = identifiers(order)
    return tuple(_step(spec, name, names, parts) for name in order)


def _step(spec: Spec, name: str, names: Mapping[str, str], parts: Parts) -> Step:
    node = spec.nodes[name]
    if isinstance(node, Input):
        return Step(name, names[name], "input")
    reads = tuple(names[source] for source in node.sources)
    function = FUNCTIONS.get(getattr(node, "activation", "identity"))
    if isinstance(node, Merge):
        return Step(name, names[name], node.merge, reads, function=function)
    called = names[name]
    modules, written = in_plain_torch(parts[name])
    return Step(
        name, called, "module", reads, {called + key: m for key, m in modules.items()}, written, function
    )


def plain_module(graph: Graph, parts: Parts, *, training: bool) -> torch.fx.GraphModule:
    """The module of torch layers that computes what a network of this graph and these parts does.

    It has copies of the weights, and needs nothing but torch, also to be pickled and read again.
    """
    steps = plain_steps(graph, parts)
    names = {step.node: step.name for step in steps}
    plan = torch.fx.Graph()
    values: dict[str, torch.fx.Node] = {}
    modules: dict[str, Any] = {}
    for step in steps:
        modules |= copy.deepcopy(dict(step.modules))
        value = _planned(plan, step, [values[read] for read in step.reads])
        if step.function is not None:
            value = plan.call_function(function_of(step.function), (value,))
        values[step.name] = value
    if graph.spec.named_outputs:
        plan.output({name: values[names[name]] for name in graph.spec.outputs})
    else:
        plan.output(values[names[graph.spec.outputs[0]]])
    plan.lint()
    module = torch.fx.GraphModule(modules, plan, class_name=class_name(graph.spec.name))
    module.training = training
    return module


def _planned(plan: torch.fx.Graph, step: Step, values: list[torch.fx.Node]) -> torch.fx.Node:
    if step.how == "input":
        return plan.placeholder(step.name)
    if step.how == "module":
        return planned(plan, step, values)
    if len(values) == 1:
        return values[0]
    if step.how == "sum":
        return reduce(lambda a, b: plan.call_function(operator.add, (a, b)), values)
    return plan.call_function(torch.cat, (values,), {"dim": 1})


def planned(plan: torch.fx.Graph, step: Step, values: Sequence[torch.fx.Node]) -> torch.fx.Node:
    """What a step of modules does, behind what a plan has already."""
    assert step.written is not None
    tracer = torch.fx.proxy.GraphAppendingTracer(plan)

    def call(key: str, *given: Any) -> Any:
        name = step.name + key
        if isinstance(step.modules[name], torch.nn.Parameter):
            return torch.fx.Proxy(plan.get_attr(name), tracer)
        return torch.fx.Proxy(plan.call_module(name, tuple(value.node for value in given)), tracer)

    result: torch.fx.Node = step.written(call, *(torch.fx.Proxy(value, tracer) for value in values)).node
    return result


def function_of(name: str) -> Any:
    """The function of torch that a value of `FUNCTIONS` names.

    >>> function_of("torch.tanh") is torch.tanh
    True
    """
    home, _, own = name.rpartition(".")
    return getattr(torch if home == "torch" else torch.nn.functional, own)


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """For each name an identifier of Python like it, different for different names.

    None is a keyword, a builtin, a name that a torch module has itself, or one that the exported source uses.

    >>> identifiers(["stem", "body.1.add", "12", "forward", "é ü", "body 1 add", "__x"]) == {
    ...     "stem": "stem", "body.1.add": "body_1_add", "12": "node_12", "forward": "forward_", "é ü": "node",
    ...     "body 1 add": "body_1_add_2", "__x": "x"}
    True
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    numbers: dict[str, int] = {}  # where to go on, so that many names alike take no time
    for name in names:
        wanted = free = identifier(name)
        while free in taken:
            numbers[wanted] = numbers.get(wanted, 1) + 1
            free = f"{wanted}_{numbers[wanted]}"
        found[name] = free
        taken.add(free)
    return found


def identifier(name: str, *, otherwise: str = "node") -> str:
    """An identifier of Python like a text, of ASCII letters, digits and underscores.

    >>> identifier("a-b c"), identifier("class"), identifier("!"), identifier("3x3")
    ('a_b_c', 'class_', 'node', 'node_3x3')
    """
    # Underscores at the front would hide it in a class; such at the end tell reserved words from others.
    plain = re.sub(r"[^0-9a-zA-Z]+", "_", name).strip("_")[:_LONGEST].strip("_")
    if not plain or plain[0].isdigit():
        plain = f"{otherwise}_{plain}".rstrip("_")
    return f"{plain}_" if plain in _reserved() else plain


def class_name(name: str) -> str:
    """The name of a class for a network.

    >>> class_name("digits_residual cnn"), class_name("12"), class_name("class")
    ('DigitsResidualCnn', 'Network12', 'Class')
    """
    words = re.findall(r"[0-9a-zA-Z]+", name)
    plain = "".join(word[0].upper() + word[1:] for word in words)[:_LONGEST]
    plain = plain if plain[:1].isalpha() else f"Network{plain}"
    return f"{plain}_" if plain in _reserved() else plain


@cache
def _reserved() -> frozenset[str]:
    """What no node may be called in Python."""
    of_modules = dir(torch.fx.GraphModule({}, torch.fx.Graph()))
    return frozenset((*of_modules, *dir(builtins), *keyword.kwlist, *keyword.softkwlist, *_IN_THE_SOURCE))
