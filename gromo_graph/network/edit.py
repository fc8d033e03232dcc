"""The transaction: the one way to change a network. Spec, weights and optimizer change together or not at all."""

from __future__ import annotations

import torch

from gromo_graph.errors import GrowthError
from gromo_graph.graph import Widen, WidthGroup, apply, build_graph
from gromo_graph.modules import GrowingModule
from gromo_graph.network.network import GrowingNetwork
from gromo_graph.network.optimizer_state import follow_growth


def apply_pending(
    network: GrowingNetwork,
    group: WidthGroup,
    *,
    scaling_factor: float,
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Apply the growth that is pending on the consumer of a width group, and clear it.

    Args:
        network: changed in place: weights, spec and graph.
        group: what grows; its consumer carries the extension (and the delta, where it is to be applied).
        scaling_factor: s; new weights are multiplied by s, the delta by γ = s².
        optimizer: follows the new parameters.

    Raises:
        GrowthError: nothing is pending; the network is left as it was.
    """
    consumer = network.growing(group.consumers[0])
    neurons = pending_neurons(consumer)
    if neurons == 0:
        raise GrowthError(
            f"`{group.target}` has no pending growth: expected set_extension to be called first"
        )
    graph = build_graph(apply(network.spec, Widen(group.producers, neurons)))
    before = dict(network.named_parameters())
    consumer.apply_change(scaling_factor=scaling_factor)
    consumer.delete_update()
    network._graph = graph
    if optimizer is not None:
        follow_growth(optimizer, before, dict(network.named_parameters()))


def pending_neurons(consumer: GrowingModule) -> int:
    """How many new inputs are pending on a module."""
    extension = consumer.extended_input_layer
    return 0 if extension is None else consumer.get_fan_in_from_layer(extension)
