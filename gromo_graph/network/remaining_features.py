"""The features that stay when a layer gets narrower."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gromo_graph.graph import Graph
from gromo_graph.graph.edits import Edited
from gromo_graph.network.network import GrowingNetwork
from gromo_graph.spec.kinds import Layer


def largest_features(network: GrowingNetwork, graph: Graph, edited: Edited) -> dict[str, list[int]]:
    """The features that stay in each layer that gets narrower: those of its width group with the largest weights.

    Args:
        network: before the edit. graph: after it.
    """
    found: dict[str, list[int]] = {}
    for name, node in graph.spec.nodes.items():
        was = edited.renamed.get(name, name)
        old = None if name in edited.added else network.spec.nodes.get(was)
        if not isinstance(node, Layer) or not isinstance(old, Layer) or was in found:
            continue
        if node.features < old.features:
            group = network.graph.group_of(was)
            stay = _best(_importance(network, group.producers), node.features, group.unit)
            found |= dict.fromkeys(group.producers, stay)
    return found


def _best(importance: Tensor, count: int, unit: int) -> list[int]:
    """Places of the most important features in their order; those that belong together stay or go together."""
    unit = 1 if count % unit else unit
    first = importance.unflatten(0, (-1, unit)).sum(dim=1).topk(count // unit).indices.sort().values * unit
    return (first[:, None] + torch.arange(unit, device=first.device)).flatten().tolist()  # type: ignore[no-any-return]


def _importance(network: GrowingNetwork, producers: Sequence[str]) -> Tensor:
    """The norm of the weights that make each feature of a group."""
    weights = [network.parts[name].get_parameter("weight").detach() for name in producers]
    return torch.stack([weight.flatten(1).square().sum(dim=1) for weight in weights]).sum(dim=0)
