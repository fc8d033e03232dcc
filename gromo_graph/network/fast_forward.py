"""The forward pass while nothing is gathered: one generated function over the layers and operations themselves.

The units of a network look after statistics, pending growth and their neighbours. A plain forward pass needs none of
it, and in a small network that work takes as long as some layers do.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any

import torch
from torch import fx

from gromo_graph.graph import Graph, Unit
from gromo_graph.layers import operations_of
from gromo_graph.modules import GrowingModule, MergeGrowingModule
from gromo_graph.modules.attention import AttentionModule
from gromo_graph.network.module_keys import module_key

_AFTER = 16
"""So many passes of one network pay for the generation; trials of growth seldom take as many."""


class QuickPass:
    """The quick way through a network, made once it pays. A copy of a network starts without it."""

    def __init__(self) -> None:
        self._forget(None, None)

    def _forget(self, graph: Graph | None, nodes: torch.nn.ModuleDict | None) -> None:
        self._graph, self._nodes = graph, nodes
        self._passes = 0
        self._module: fx.GraphModule | None = None
        self._made_of: list[tuple[torch.nn.Module, Mapping[str, Any]]] = []

    def __reduce__(self) -> tuple[object, ...]:
        return (QuickPass, ())

    def module(self, graph: Graph, nodes: torch.nn.ModuleDict) -> fx.GraphModule | None:
        """The module to call with the inputs in their order; None where the units have to be called.

        Its submodules are those of the units: weights, modes and hooks of theirs are the same.
        """
        if torch.compiler.is_compiling():
            return None
        if graph is not self._graph or nodes is not self._nodes:
            self._forget(graph, nodes)
        self._passes += 1
        if self._passes <= _AFTER:
            return None
        if torch.nn.modules.module._has_any_global_hook():
            return None
        if self._module is None:
            self._module = _generated(graph, nodes)
            self._made_of = [(each, dict(each._modules)) for unit in nodes.values() for each in _outer(unit)]
        if all(each._modules == made and not _is_needed(each) for each, made in self._made_of):
            return self._module
        return None


def _outer(unit: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """What the quick way goes round: the unit, and sequences in it."""
    yield unit
    yield from (each for each in unit.children() if isinstance(each, torch.nn.Sequential))


def _is_needed(module: torch.nn.Module) -> bool:
    """Whether a unit or a sequence has to be called itself: it gathers, or hooks see its calls."""
    state = module.__dict__
    return bool(
        state["_forward_hooks"]
        or state["_forward_pre_hooks"]
        or state["_backward_hooks"]
        or state["_backward_pre_hooks"]
        or state.get("store_pre_activity")
        or state.get("store_input")
        or state.get("needed_by_next")
    )


def _generated(graph: Graph, nodes: torch.nn.ModuleDict) -> fx.GraphModule:
    """The forward pass of a network as the calls of its layers and operations."""
    plan = fx.Graph()
    modules: dict[str, torch.nn.Module] = {}
    values = {name: plan.placeholder(f"x{place}") for place, name in enumerate(graph.spec.inputs)}

    def called(module: torch.nn.Module, *arguments: fx.Node) -> fx.Node:
        name = f"m{len(modules)}"
        modules[name] = module
        return plan.call_module(name, arguments)

    for key, unit in graph.units.items():
        module = nodes[module_key(key)]
        if unit.role == "fixed":
            values[key] = called(module, *(values[source] for source in unit.reads))
            continue
        entering = [values[source] for source in unit.reads] or [values[key]]
        if isinstance(module, AttentionModule):
            value = called(module.attend, *entering)
        else:
            value = _entering(plan, unit, module, entering)
        if isinstance(module, GrowingModule):
            value = called(module.layer, value)
        for operation in operations_of(_behind(module)):
            value = called(operation, value)
        values[key] = value
    ends = {name: values[graph.ends[name]] for name in graph.spec.outputs}
    plan.output(ends if graph.spec.named_outputs else ends[graph.spec.outputs[0]])
    return fx.GraphModule(modules, plan)


def _behind(module: torch.nn.Module) -> torch.nn.Module:
    """What follows the layer or the merge of a unit; the unit itself where it is no more than that."""
    if isinstance(module, GrowingModule):
        return module.post_layer_function
    return module.post_merge_function if isinstance(module, MergeGrowingModule) else module


def _entering(plan: fx.Graph, unit: Unit, module: torch.nn.Module, values: list[fx.Node]) -> fx.Node:
    if not isinstance(module, MergeGrowingModule) or len(values) == 1:
        return values[0]
    if module.concatenates:
        return plan.call_function(torch.cat, (values,), {"dim": module.feature_dim})
    return reduce(lambda a, b: plan.call_function(operator.add, (a, b)), values)
