"""A proposal becomes pending growth on its modules, and pending growth becomes weights."""

from __future__ import annotations

import math

import torch

from gromo_graph.errors import GrowthError
from gromo_graph.growth.candidates import Proposal
from gromo_graph.growth.solve import modules_of
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.edit import apply_pending


def set_pending(network: GrowingNetwork, proposal: Proposal, gamma: float, *, finite_scale: bool) -> None:
    """Put the proposal on its modules at step size γ: `extended_forward` then shows what it would do.

    With s = √γ the fan-in becomes s·α and the fan-out s·ω. With `finite_scale` they become α and γ·ω: the pending
    weights are divided beforehand by what applying multiplies them with.
    """
    weights = proposal.weights
    if weights is None or not gamma > 0 or not math.isfinite(gamma):
        raise GrowthError(
            f"`{proposal.target}` cannot be applied with γ = {gamma}: {proposal.reason or 'γ > 0 is needed'}"
        )
    consumer, _ = modules_of(network, proposal)
    s = math.sqrt(gamma)
    inward, outward = (1.0 / s, s) if finite_scale else (1.0, 1.0)
    consumer.set_extension(
        weights.alpha_weight * inward,
        None if weights.alpha_bias is None else weights.alpha_bias * inward,
        weights.omega * outward,
        weights.singular_values,
    )
    consumer.optimal_delta_layer = _delta_layer(network, proposal, s)
    consumer.set_scaling_factor(s)


def clear_pending(network: GrowingNetwork, proposal: Proposal) -> None:
    """Take pending growth off again; weights were never touched."""
    consumer, _ = modules_of(network, proposal)
    consumer.delete_update()


def apply_proposal(
    network: GrowingNetwork,
    proposal: Proposal,
    gamma: float,
    *,
    finite_scale: bool,
    optimizer: torch.optim.Optimizer | None,
) -> None:
    """Set it pending and make it real; the optimizer follows."""
    assert proposal.group is not None
    set_pending(network, proposal, gamma, finite_scale=finite_scale)
    apply_pending(network, proposal.group, scaling_factor=math.sqrt(gamma), optimizer=optimizer)


def _delta_layer(network: GrowingNetwork, proposal: Proposal, s: float) -> torch.nn.Module | None:
    """The delta to subtract at γ = s²: the optimal one if the policy applies it, and what the bias takes back.

    A new unit whose activation is not 0 at 0 shifts its consumer by s·ω·σ(0), an effect of order √γ. As a delta,
    which is multiplied by s², the compensation is ω·σ(0) / s.
    """
    weights = proposal.weights
    consumer, _ = modules_of(network, proposal)
    assert weights is not None
    if proposal.delta is None and weights.resting_value == 0.0:
        return None
    weight = torch.zeros_like(consumer.layer.weight)
    bias = torch.zeros_like(consumer.layer.bias) if consumer.use_bias else None
    if proposal.delta is not None:
        weight = proposal.delta[:, : weight.shape[1]]
        bias = proposal.delta[:, -1] if bias is not None else None
    if weights.resting_value != 0.0:
        assert bias is not None  # proposals without it are left out before they are solved
        bias = bias + weights.omega.sum(dim=1) * (weights.resting_value / s)
    layer: torch.nn.Module = consumer.layer_of_tensor(weight.clone(), None if bias is None else bias.clone())
    return layer
