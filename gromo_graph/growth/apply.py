"""A proposal for a width group becomes pending growth on its modules, and is taken off again."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gromo_graph.errors import GrowthError
from gromo_graph.growth.bias_compensation import compensation
from gromo_graph.growth.candidates.widen import Widening
from gromo_graph.modules.applying import forget_group
from gromo_graph.modules.measured_module import LinkedGroup
from gromo_graph.modules.pending import put
from gromo_graph.modules.scaling import give_factor
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.groups import linked_group
from gromo_graph.spec.settings import Growth


def linked(network: GrowingNetwork, proposal: Widening, policy: Growth) -> LinkedGroup:
    """The modules of a proposal."""
    return linked_group(network, proposal.group, kernel=policy.kernel)


def set_pending(proposal: Widening, group: LinkedGroup, gamma: float, *, finite_scale: bool) -> None:
    """Put the proposal on its modules at step size γ: `extended_forward` then shows what it would do.

    With s = √γ the fan-in becomes s·α and the fan-out s·ω. With `finite_scale` they become α and γ·ω: the pending
    weights are divided beforehand by what applying multiplies them with.
    """
    weights = proposal.weights
    if not gamma > 0 or not math.isfinite(gamma):
        raise GrowthError(f"`{proposal.target}` cannot be applied with γ = {gamma}: γ > 0 is needed")
    s = math.sqrt(gamma)
    put(group, weights.scaled(1.0 / s, s) if finite_scale else weights)
    for index, consumer in enumerate(group.consumers):
        delta = proposal.deltas.get(consumer.name)
        moved = None if finite_scale else compensation(group, index, weights)
        weight: Tensor = torch.zeros_like(consumer.weight)
        bias = None if consumer.bias is None else torch.zeros_like(consumer.bias)
        if delta is not None:
            weight, bias = consumer.adapter.weight_and_bias(consumer.layer, delta.to(weight))
        if moved is not None:
            assert bias is not None  # proposals without it are left out before they are solved
            bias = bias + moved / s  # it is of order s, and a delta is multiplied by s²
        pending = delta is not None or moved is not None
        consumer.optimal_delta_layer = (
            consumer.adapter.layer_of(consumer.layer, weight, bias) if pending else None
        )
    give_factor(group, s)


def clear_pending(group: LinkedGroup) -> None:
    """Take pending growth off again; weights were never touched."""
    forget_group(group)
