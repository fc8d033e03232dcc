"""Adapters merged into the weights of the layers that they stand beside (docs/maths.md, "Adapters")."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor

from gromo_graph.graph import Graph, build_graph
from gromo_graph.graph.adapters import Adapter, adapters
from gromo_graph.network.link_modules import Parts
from gromo_graph.spec.kinds import Merge, Node
from gromo_graph.spec.model import Spec


def merged_adapters(graph: Graph, parts: Parts) -> tuple[Graph, Parts]:
    """The graph and the parts of a network without its adapters, which computes the same.

    Layers with an adapter are copied, with W + B A for W; all other parts are those of the network.
    """
    while found := adapters(graph):
        spec, parts = _merged(graph.spec, parts, found[0])
        graph = build_graph(spec)
    return graph, parts


def _merged(spec: Spec, parts: Parts, adapter: Adapter) -> tuple[Spec, Parts]:
    """One adapter merged."""
    kept = {name: part for name, part in parts.items() if name not in (adapter.down, adapter.up)}
    layer = copy.deepcopy(parts[adapter.layer])
    weight = layer.weight
    assert isinstance(weight, Tensor)
    with torch.no_grad():
        weight.add_(product(parts[adapter.down], parts[adapter.up]).to(weight))
    nodes = {name: node for name, node in spec.nodes.items() if name not in (adapter.down, adapter.up)}
    total = nodes[adapter.total]
    left = tuple(source for source in total.sources if source != adapter.up)
    if len(left) > 1:
        nodes[adapter.total] = total.model_copy(update={"sources": left})
        return replace(spec, nodes=nodes), {**kept, adapter.layer: layer}
    assert isinstance(total, Merge)
    del kept[adapter.layer]
    own = nodes.pop(adapter.layer).model_copy(update={"activation": total.activation})
    whole: dict[str, Node] = {name: own if name == adapter.total else node for name, node in nodes.items()}
    return replace(spec, nodes=whole), {**kept, adapter.total: layer}


def product(down: torch.nn.Module, up: torch.nn.Module) -> Tensor:
    """B A as a weight like that of the layer beside, in float64."""
    a, b = down.weight, up.weight
    assert isinstance(a, Tensor)
    assert isinstance(b, Tensor)
    return torch.einsum("or,r...->o...", b.double().flatten(1), a.double())
