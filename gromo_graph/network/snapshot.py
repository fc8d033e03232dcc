"""A network and its optimizers as they stand, to go back to."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from gromo_graph.network.draft import Draft, install
from gromo_graph.network.network import GrowingNetwork
from gromo_graph.network.optimizers import OptimizerMemory, Optimizers, bring_back, remembered
from gromo_graph.network.optimizers.heirs import inherit_unchanged


@dataclass(frozen=True)
class Memory:
    """Copies, which nothing that happens to the network touches.

    Attributes:
        network: with weights, gradients, running statistics and modes.
        optimizers: with what they know of the parameters of that copy.
    """

    network: GrowingNetwork
    optimizers: OptimizerMemory


def remember(network: GrowingNetwork, optimizers: Optimizers) -> Memory:
    """The network and its optimizers as they stand; as much memory as both take."""
    kept = copy.deepcopy(network)
    copies = dict(zip(network.parameters(), kept.parameters(), strict=True))
    for parameter, twin in copies.items():
        inherit_unchanged(parameter, twin)
    return Memory(kept, remembered(optimizers, lambda parameter: copies.get(parameter, parameter)))


def go_back(network: GrowingNetwork, optimizers: Optimizers, memory: Memory) -> None:
    """Make the network what it was, in place; a memory serves once. Parameters of others in the optimizers stay."""
    gone = set(network.parameters())
    install(network, Draft(memory.network))
    bring_back(optimizers, memory.optimizers, gone=gone, overwrite=True)
