"""The transaction: the one way to change a network. Spec, weights and optimizer change together or not at all."""

from __future__ import annotations

import torch

from gromo_graph.errors import GrowthError
from gromo_graph.graph import WidthGroup, apply, build_graph, widening
from gromo_graph.modules.applying import apply_change, delete_update
from gromo_graph.modules.group import LinkedGroup
from gromo_graph.modules.pending import size_of_outputs
from gromo_graph.network.network import GrowingNetwork
from gromo_graph.network.optimizer_state import NewState, follow_growth


def apply_pending(
    network: GrowingNetwork,
    group: WidthGroup,
    linked: LinkedGroup,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    new_state: NewState = "matched",
) -> None:
    """Apply the growth that is pending on the modules of a width group, and clear it.

    Args:
        network: changed in place: weights, spec and graph.
        group: what grows. linked: its modules, which carry the extensions, deltas and scaling factors.
        optimizer: follows the new parameters. new_state: what it knows of new entries.

    Raises:
        GrowthError: nothing is pending; the network is left as it was.
    """
    neurons = size_of_outputs(linked.producers[0])
    if neurons == 0:
        raise GrowthError(f"`{group.target}` has no pending growth: expected neurons to be put there first")
    graph = build_graph(apply(network.spec, widening(group, neurons)))
    # The first one extends everything; the others have only their deltas left.
    replaced = [each for consumer in linked.consumers for each in apply_change(consumer)]
    for consumer in linked.consumers:
        delete_update(consumer)
    network._graph = graph
    if optimizer is not None:
        follow_growth(optimizer, replaced, new_state)
