"""The forward pass while nothing is gathered: one generated function over the layers and operations themselves.

The modules of a network look after statistics, pending growth and their neighbours. A plain forward pass needs none of
it, and in a small network that work takes as long as some layers do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import fx

from gromo_graph.graph import Call, Graph
from gromo_graph.layers import operations_of
from gromo_graph.modules import GrowingModule, MergeGrowingModule
from gromo_graph.modules.attention_module import AttentionModule
from gromo_graph.network.forward import merged, run
from gromo_graph.network.module_keys import module_key

_AFTER = 16
"""After so many passes of one network the generation has paid; trials of growth seldom take as many."""


class FastForward:
    """The generated forward pass of a network, made once it pays. A copy of a network starts without it."""

    def __init__(self) -> None:
        self._forget(None, None)

    def _forget(self, graph: Graph | None, nodes: torch.nn.ModuleDict | None) -> None:
        self._graph, self._nodes = graph, nodes
        self._passes = 0
        self._module: fx.GraphModule | None = None
        self._made_of: list[tuple[torch.nn.Module, Mapping[str, Any]]] = []

    def __reduce__(self) -> tuple[object, ...]:
        return (FastForward, ())

    def module(self, graph: Graph, nodes: torch.nn.ModuleDict) -> fx.GraphModule | None:
        """The module to call with the inputs in their order; None if the modules of the network have to be called.

        It calls the same layers and operations: their weights, modes and hooks are in force.
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
    """The modules that are not called: that of the network, and sequences in it."""
    yield unit
    yield from (each for each in unit.children() if isinstance(each, torch.nn.Sequential))


def _is_needed(module: torch.nn.Module) -> bool:
    """True if a module has to be called itself: it gathers statistics, or hooks see its calls."""
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

    def compute(call: Call, taken: list[fx.Node]) -> fx.Node:
        unit = nodes[module_key(call.output)]
        if isinstance(unit, MergeGrowingModule) and call.unit.role == "merge":
            ranks = [1 + len(shape) for shape in graph.input_shapes(call.unit.node)]
            taken = [merged(plan, taken, unit.merge, ranks=ranks, dim=unit.feature_dim)]
        following = [unit] if call.unit.role == "fixed" else _opened(unit)
        for module in following:
            name = f"m{len(modules)}"
            modules[name] = module
            taken = [plan.call_module(name, tuple(taken))]
        return taken[0]

    inputs = {name: plan.placeholder(f"x{place}") for place, name in enumerate(graph.spec.inputs)}
    returned = run(graph, inputs, compute)
    plan.output(returned)
    return fx.GraphModule(modules, plan)


def _opened(unit: torch.nn.Module) -> list[torch.nn.Module]:
    """The functions that a module of a network calls after it has merged its inputs, in that order."""
    if isinstance(unit, AttentionModule):
        return [unit.attend, *operations_of(unit.post_merge_function)]
    if isinstance(unit, MergeGrowingModule):
        return [*operations_of(unit.post_merge_function)]
    if isinstance(unit, GrowingModule):
        return [unit.layer, *operations_of(unit.post_layer_function)]
    return [*operations_of(unit)]
