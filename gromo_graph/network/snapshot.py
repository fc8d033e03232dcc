"""A network and its optimizers as they stand, to go back to: by undo, and by a change that fails on its way."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from gromo_graph.graph import Graph
from gromo_graph.network.link_modules import Parts
from gromo_graph.network.network import GrowingNetwork
from gromo_graph.network.optimizers import OptimizerMemory, Optimizers, bring_back, remembered
from gromo_graph.network.optimizers.heirs import inherit_unchanged


@dataclass(frozen=True)
class Snapshot:
    """The parts of a network, and the state of its optimizers.

    Attributes:
        graph, parts, nodes: of the network. optimizers: their groups and states.
    """

    graph: Graph
    parts: Parts
    nodes: torch.nn.ModuleDict
    optimizers: OptimizerMemory

    def restore(self, network: GrowingNetwork, optimizers: Optimizers) -> None:
        """Make the network what it was, in place. Parameters of others in the optimizers stay."""
        gone = set(network.parameters())
        network.become(self.graph, self.parts, self.nodes)
        bring_back(optimizers, self.optimizers, gone=gone, overwrite=True)


def snapshot(network: GrowingNetwork, optimizers: Optimizers) -> Snapshot:
    """The modules themselves: enough to take a change back before anything is trained."""
    return Snapshot(network.graph, network.parts, network.nodes, remembered(optimizers))


def copied_snapshot(network: GrowingNetwork, optimizers: Optimizers) -> Snapshot:
    """Copies, with gradients, which no training touches; they take as much memory as the originals, and serve once."""
    kept = copy.deepcopy(network)
    copies = dict(zip(network.parameters(), kept.parameters(), strict=True))
    for parameter, twin in copies.items():
        inherit_unchanged(parameter, twin)
    known = remembered(optimizers, lambda parameter: copies.get(parameter, parameter))
    return Snapshot(kept.graph, kept.parts, kept.nodes, known)
