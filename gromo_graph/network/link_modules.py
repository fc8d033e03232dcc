"""From a graph and the torch parts of its nodes to linked modules.

Compiling makes all parts anew; an edit keeps those of the nodes it leaves alone. Both are put together here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from gromo_graph.errors import CompileError
from gromo_graph.graph import Graph, Unit, obstacle
from gromo_graph.layers import build_module, operations_behind
from gromo_graph.layers.activation import activation_module
from gromo_graph.layers.again import AppliedAgain, TokenProducts
from gromo_graph.layers.attention import Attend
from gromo_graph.modules import GrowingModule, MergeGrowingModule
from gromo_graph.modules.attention_module import AttentionModule
from gromo_graph.modules.linkable import Linkable
from gromo_graph.network.group_modules import GroupsOfGraph
from gromo_graph.spec.kinds import Fixed, Input, Merge, WidthRule, is_frozen
from gromo_graph.spec.kinds.activation import activation_of

Parts = Mapping[str, torch.nn.Module]
"""The torch half of each node that has one: the layer of a layer, the module of an operation."""


def part_of(graph: Graph, name: str, generator: torch.Generator | None) -> torch.nn.Module | None:
    """The torch half of a node with its first weights, on the CPU in float32; None for inputs and merges.

    Raises:
        CompileError: the kind has none.
    """
    node = graph.spec.nodes[name]
    if isinstance(node, Input | Merge):
        return None
    if isinstance(node, Fixed):
        raise CompileError(
            f"`{name}` is a {node.module} that was imported as it is: only from_torch can make it"
        )
    module = build_module(node, graph.input_shapes(name))
    if node.has_first_weights:
        initialize(module, generator)
    if is_frozen(node):
        module.requires_grad_(False)
    return module


def bound_part(graph: Graph, parts: Parts, name: str) -> torch.nn.Module:
    """The torch half of a node as a network runs it: one that shares the weights of another node knows its module.

    Raises:
        CompileError: the other node has no weights of that kind.
    """
    part = parts[name]
    if not isinstance(part, AppliedAgain | TokenProducts):
        return part
    other = graph.sources(name)[1]
    if other not in parts:
        raise CompileError(
            f"`{name}` has the weights of `{other}`, which has none: expected a layer or an operation"
        )
    if isinstance(part, TokenProducts):
        return part.bound(parts[other])
    return part.bound(parts[other], operations_behind(graph.spec.nodes[other].kind, parts[other]))


def initialize(layer: torch.nn.Module, generator: torch.Generator | None) -> None:
    """First weights, uniform in ±1/√fan_in as torch draws them for its own layers, from a generator."""
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    read = getattr(layer, "values_read", weight[0].numel())
    bound = 1.0 / math.sqrt(read)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
        padding = getattr(layer, "padding_idx", None)
        if padding is not None:  # of an embedding, as torch has it
            weight[:, padding] = 0.0


def assembled(graph: Graph, parts: Parts) -> dict[str, torch.nn.Module]:
    """The module of each unit of a graph around these parts, linked to those previous and next to it."""
    modules = {key: _module(graph, unit, parts) for key, unit in graph.units.items()}
    _link(graph, modules)
    _say_what_grows(graph, modules)
    return modules


def _module(graph: Graph, unit: Unit, parts: Parts) -> torch.nn.Module:
    after = [_operation(graph, name, parts) for name in unit.operations]
    node = graph.spec.nodes[unit.node]
    match unit.role:
        case "layer":
            part = parts[unit.node]
            own = [*operations_behind(node.kind, part), activation_module(activation_of(node))]
            function = _chain([*own, *after])
            return GrowingModule(part, post_layer_function=function, name=unit.key)
        case "merge" | "fan_out" | "operation":
            return _merge(graph, unit, after, parts)
        case "attention":
            attend = parts[unit.node]
            assert isinstance(attend, Attend)
            return AttentionModule(attend, _chain(after), name=unit.key)
        case "fixed":
            return bound_part(graph, parts, unit.node)
        case _:
            return _chain(after)


def _merge(graph: Graph, unit: Unit, after: Sequence[torch.nn.Module], parts: Parts) -> MergeGrowingModule:
    node = graph.spec.nodes[unit.node]
    how, own = "sum", []
    if unit.role == "operation":
        own = [_operation(graph, unit.node, parts)]
    elif isinstance(node, Merge):
        how, own = node.merge, [activation_module(node.activation)]
    return MergeGrowingModule(merge=how, post_merge_function=_chain([*own, *after]), name=unit.key)


def _operation(graph: Graph, name: str, parts: Parts) -> torch.nn.Module:
    """The module of a node without a width of its own, its activation included."""
    activation = activation_of(graph.spec.nodes[name])
    return _chain([parts[name], activation_module(activation)])


def _chain(functions: Sequence[torch.nn.Module]) -> torch.nn.Module:
    """One module that applies them in order; identities are left out."""
    telling = [function for function in functions if not isinstance(function, torch.nn.Identity)]
    if not telling:
        return torch.nn.Identity()
    return telling[0] if len(telling) == 1 else torch.nn.Sequential(*telling)


def _link(graph: Graph, modules: Mapping[str, torch.nn.Module]) -> None:
    linkable = {key: module for key, module in modules.items() if isinstance(module, Linkable)}
    for key, unit in graph.units.items():
        module = modules[key]
        if isinstance(module, Linkable):
            module.positions = _positions(graph, unit)
        following = [linkable[name] for name in unit.next]
        if isinstance(module, MergeGrowingModule):
            module.link_inputs(
                [
                    linkable[name] if name in linkable else graph.features(graph.units[name].last)
                    for name in unit.reads
                ]
            )
            module.link_next(following)
        elif isinstance(module, GrowingModule):
            previous = [linkable[name] for name in unit.previous]
            module.previous_module = previous[0] if previous else None
            module.next_module = following[0] if following else None


def _positions(graph: Graph, unit: Unit) -> int:
    """Features that the operations of a unit make of each channel."""
    names = [unit.node, *unit.operations] if unit.role == "operation" else list(unit.operations)
    return math.prod(
        math.prod(graph.input_shapes(name)[0][1:])
        for name in names
        if graph.spec.nodes[name].width_rule is WidthRule.REPEATED
    )


def _say_what_grows(graph: Graph, modules: Mapping[str, torch.nn.Module]) -> None:
    """Tell the modules about outputs, limits of the author, and kernels and jumps of the policy."""
    policy = graph.spec.growth
    for name in graph.spec.outputs:
        module = modules[graph.ends[name]]
        if isinstance(module, Linkable):
            module.is_output = True
    for group in graph.groups:
        reason = obstacle(graph, group)
        for name in group.producers:
            module = modules[name]
            assert isinstance(module, GrowingModule)
            module.width_reason = reason
        for name in group.consumers:
            module = modules[name]
            assert isinstance(module, GrowingModule)
            module.growth_kernel = policy.kernel
            module.allow_jump = policy.allow_jump
    tell_groups(graph, modules)


def tell_groups(graph: Graph, modules: Mapping[str, torch.nn.Module]) -> None:
    """Let the layers of a network know the groups that they read, from its graph."""
    linkable = {key: module for key, module in modules.items() if isinstance(module, Linkable)}
    groups = GroupsOfGraph(graph, linkable)
    for module in linkable.values():
        if isinstance(module, GrowingModule):
            module.network_groups = groups
