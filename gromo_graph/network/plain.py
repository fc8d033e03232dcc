"""A network as plain PyTorch: its forward pass as a graph of torch.fx over plain layers, and the module of that."""

from __future__ import annotations

import builtins
import copy
import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import fx

from gromo_graph.graph import Call, Graph
from gromo_graph.layers.activation import in_torch
from gromo_graph.layers.again import AppliedAgain
from gromo_graph.network.export_rules import in_plain_torch
from gromo_graph.network.forward import merged, run
from gromo_graph.network.link_modules import Parts, bound_part
from gromo_graph.spec.kinds import Merge
from gromo_graph.spec.kinds.activation import activation_of
from gromo_graph.spec.kinds.again import Shares

Modules = Mapping[str, torch.nn.Module | torch.nn.Parameter]
"""Modules and parameters by the identifiers of Python that name them."""

_LONGEST = 60
_IN_THE_SOURCE = (
    *("self", "torch", "nn", "functional", "Tensor", "load", "Path", "load_file", "annotations"),
    *("Any", "hashlib", "json", "preparation", "safe_open"),
)


@dataclass(frozen=True)
class PlainForward:
    """The forward pass of a network over plain modules of torch.

    Attributes:
        plan: the calls, as nodes of fx.
        values: the value of each node of the spec, in the order in which they are computed; inputs first.
        names: each node of the spec as an identifier of Python, different for different nodes.
        modules: the modules and parameters of each node of the spec, by their identifiers; they are those of the
            network or share its weights.
    """

    plan: fx.Graph
    values: Mapping[str, fx.Node]
    names: Mapping[str, str]
    modules: Mapping[str, Modules]


def plain_forward(graph: Graph, parts: Parts) -> PlainForward:
    """The forward pass of a network of this graph and these parts, over plain modules."""
    spec = graph.spec
    names = identifiers([*spec.inputs, *(name for name in graph.order if name not in spec.inputs)])
    plan = fx.Graph()
    values = {name: plan.placeholder(names[name]) for name in spec.inputs}
    modules: dict[str, Modules] = {}

    def compute(call: Call, taken: list[fx.Node]) -> fx.Node:
        for name in call.unit.nodes:
            if name not in values:
                taken = [computed(name, taken)]
                values[name] = taken[0]
        return taken[0]

    def computed(name: str, taken: list[fx.Node]) -> fx.Node:
        node = spec.nodes[name]
        if isinstance(node, Merge):
            ranks = [1 + len(shape) for shape in graph.input_shapes(name)]
            value = merged(plan, taken, node.merge, ranks=ranks)
        else:
            part, called, owner = bound_part(graph, parts, name), names[name], ""
            if isinstance(node, Shares):
                owner, taken = names[node.sources[1]], taken[:1]
            if isinstance(part, AppliedAgain):  # the module of the other node is called once more
                part, called = part.other, owner
            value, found = _planned(plan, called, part, taken, owner=owner)
            modules[name] = {} if called == owner else found
        activation = activation_of(node)
        if activation == "identity":
            return value
        row, settings = in_torch(activation)
        return plan.call_function(row.function, (value,), settings)

    returned = run(graph, values, compute)
    plan.output(returned)
    return PlainForward(plan, values, names, modules)


def _planned(
    plan: fx.Graph, name: str, part: torch.nn.Module, taken: list[fx.Node], *, owner: str
) -> tuple[fx.Node, Modules]:
    """The value of a part, behind what a plan has already, and the plain modules that give it.

    Args:
        name: of its node, as an identifier. taken: the values that the part takes.
        owner: the identifier of the node whose weights it has too; keys of these begin with a dot.
    """
    plain = in_plain_torch(part)
    tracer = fx.proxy.GraphAppendingTracer(plan)

    def call(key: str, *given: fx.Proxy) -> fx.Proxy:
        if key.startswith("."):
            return fx.Proxy(plan.get_attr(owner + key), tracer)
        if isinstance(plain.modules[key], torch.nn.Parameter):
            return fx.Proxy(plan.get_attr(name + key), tracer)
        return fx.Proxy(plan.call_module(name + key, tuple(value.node for value in given)), tracer)

    value: fx.Node = plain.compute(call, *(fx.Proxy(value, tracer) for value in taken)).node
    return value, {name + key: module for key, module in plain.modules.items()}


def plain_module(graph: Graph, parts: Parts, *, training: bool) -> fx.GraphModule:
    """The module of torch layers that computes what a network of this graph and these parts does.

    It has copies of the weights, and needs nothing but torch, also to be pickled and read again.
    """
    forward = plain_forward(graph, parts)
    forward.plan.lint()
    modules: dict[str, Any] = {
        called: copy.deepcopy(module) for of in forward.modules.values() for called, module in of.items()
    }
    for node in forward.plan.find_nodes(op="get_attr"):
        path, _, of_module = str(node.target).partition(".")
        if of_module:  # a weight that another node reads too
            modules[str(node.target)] = getattr(modules[path], of_module)
    module = fx.GraphModule(modules, forward.plan, class_name=class_name(graph.spec.name))
    module.training = training
    return module


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """A Python identifier for each name, different for different names.

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
    """Names that no node may have in Python."""
    of_modules = dir(torch.fx.GraphModule({}, torch.fx.Graph()))
    return frozenset((*of_modules, *dir(builtins), *keyword.kwlist, *keyword.softkwlist, *_IN_THE_SOURCE))
