"""compile_network: spec -> graph -> GrowingNetwork."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from gromo_graph.errors import CompileError
from gromo_graph.graph import Graph, Unit, build_graph, obstacle
from gromo_graph.modules import GrowingModule, MergeGrowingModule
from gromo_graph.modules.adapters.build import activation_module, build_layer, build_operation
from gromo_graph.modules.links import Linkable
from gromo_graph.network.network import GrowingNetwork
from gromo_graph.spec.kinds import Depthwise, Layer, Merge, Node, WidthRule
from gromo_graph.spec.model import Spec


def compile_network(
    spec: Spec,
    *,
    seed: int | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> GrowingNetwork:
    """Build the network of a spec: every module made, sized and linked to those previous and next to it.

    Args:
        spec: what to build.
        seed: of the first weights; None draws them from torch's global generator. The weights are drawn on the
            CPU in float32, so that a seed gives the same ones on every device.
        device, dtype: where the network lives and in which precision.

    Raises:
        CompileError: this is no spec, or a kind has no torch half.
        GraphError: the spec was put together in Python and is not sound.

    >>> from gromo_graph import parse_spec
    >>> network = compile_network(parse_spec('''
    ... version: 1
    ... name: tiny
    ... nodes:
    ...   x: {kind: input, shape: [3]}
    ...   hidden: {kind: linear, from: x, features: 4, activation: relu}
    ...   y: {kind: linear, from: hidden, features: 2}
    ... output: y
    ... '''), seed=0)
    >>> network(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    >>> network.growing("y").previous_module.name
    'hidden'
    """
    if not isinstance(spec, Spec):
        raise CompileError(f"found a {type(spec).__name__}: expected a Spec, call load_spec(path) first")
    graph = build_graph(spec)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    modules = {key: _build(graph, unit, generator) for key, unit in graph.units.items()}
    _link(graph, modules)
    _say_what_grows(graph, modules)
    return GrowingNetwork(graph, modules).to(device=device, dtype=dtype)


def _build(graph: Graph, unit: Unit, generator: torch.Generator | None) -> torch.nn.Module:
    node = graph.spec.nodes[unit.node]
    after = [_operation(graph, name, generator) for name in unit.operations]
    match unit.role:
        case "layer":
            return _build_layer(graph, unit.key, node, after, generator)
        case "merge" | "fan_out" | "operation":
            return _build_merge(graph, unit, node, after, generator)
        case _:
            return _chain(after)


def _build_layer(
    graph: Graph,
    name: str,
    node: Node,
    after: Sequence[torch.nn.Module],
    generator: torch.Generator | None,
) -> GrowingModule:
    if not isinstance(node, Layer):
        raise CompileError(f"`{name}` has the kind `{node.kind}`, which no layer can be built of")
    layer = build_layer(node, graph.input_shapes(name))
    initialize(layer, generator)
    return GrowingModule(
        layer,
        post_layer_function=_chain([activation_module(node.activation), *after]),
        name=name,
    )


def _operation(graph: Graph, name: str, generator: torch.Generator | None) -> torch.nn.Module:
    """The module of a node without a width of its own, its activation included."""
    node = graph.spec.nodes[name]
    operation = build_operation(node, graph.input_shapes(name))
    if isinstance(node, Depthwise):
        initialize(operation, generator)
    return _chain([operation, activation_module(getattr(node, "activation", "identity"))])


def _build_merge(
    graph: Graph,
    unit: Unit,
    node: Node,
    after: Sequence[torch.nn.Module],
    generator: torch.Generator | None,
) -> MergeGrowingModule:
    how, own = "sum", []
    if unit.role == "operation":
        own = [_operation(graph, unit.node, generator)]
    elif isinstance(node, Merge):
        how, own = node.merge, [activation_module(node.activation)]
    return MergeGrowingModule(merge=how, post_merge_function=_chain([*own, *after]), name=unit.key)


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
            module.set_inputs(
                [
                    linkable[name] if name in linkable else graph.features(graph.units[name].last)
                    for name in unit.reads
                ]
            )
            module.set_next_modules(following)
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
    """What the modules cannot see for themselves: outputs, limits of the author, kernels and jumps of the policy."""
    policy = graph.spec.growth
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


def initialize(layer: torch.nn.Module, generator: torch.Generator | None) -> None:
    """First weights, uniform in ±1/√fan_in as torch draws them for its own layers, from a generator."""
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    bound = 1.0 / math.sqrt(weight[0].numel())
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
