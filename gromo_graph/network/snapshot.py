"""A network and its optimizer as they stand, to go back to."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gromo_graph.network.draft import Draft, install
from gromo_graph.network.network import GrowingNetwork


@dataclass(frozen=True)
class Memory:
    """Copies, which nothing that happens to the network touches.

    Attributes:
        network: with weights, running statistics and modes.
        groups: names of the parameters of each group of the optimizer. state: what it knows of each, by name.
    """

    network: GrowingNetwork
    groups: Sequence[Sequence[str]] = ()
    state: Mapping[str, Any] | None = None


def remember(network: GrowingNetwork, optimizer: torch.optim.Optimizer | None) -> Memory:
    """The network and its optimizer as they stand; as much memory as both take."""
    kept = copy.deepcopy(network)
    if optimizer is None:
        return Memory(kept)
    names: dict[Any, str] = {parameter: name for name, parameter in network.named_parameters()}
    groups = [
        [names[parameter] for parameter in group["params"] if parameter in names]
        for group in optimizer.param_groups
    ]
    state = {names[p]: copy.deepcopy(known) for p, known in optimizer.state.items() if p in names}
    return Memory(kept, groups, state)


def go_back(network: GrowingNetwork, optimizer: torch.optim.Optimizer | None, memory: Memory) -> None:
    """Make the network what it was, in place; a memory serves once. Parameters of others in the optimizer stay."""
    gone = set(network.parameters())
    install(network, Draft(memory.network))
    if optimizer is None or memory.state is None:
        return
    parameters = dict(network.named_parameters())
    for group, names in zip(optimizer.param_groups, memory.groups, strict=True):
        group["params"] = [p for p in group["params"] if p not in gone] + [parameters[name] for name in names]
    for parameter in [known for known in optimizer.state if known in gone]:
        del optimizer.state[parameter]
    for name, known in memory.state.items():
        optimizer.state[parameters[name]] = known
