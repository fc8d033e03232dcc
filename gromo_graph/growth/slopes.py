"""Exact slopes: what the loss really does per unit of γ, for all proposals in one pass (MATH.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gromo_graph.algebra import SignedSlopes, SlopeParts, signed_slopes, slope_parts, tangent_of
from gromo_graph.growth.candidates import NewNeurons, Proposal
from gromo_graph.growth.observe import Loader, Loss, observe
from gromo_graph.growth.solve import Solution, joined, modules_of
from gromo_graph.modules import GrowingModule
from gromo_graph.network import GrowingNetwork


@dataclass
class _Measurement:
    proposal: Proposal
    solution: Solution
    consumer: GrowingModule
    producer: GrowingModule
    parts: SlopeParts | None = None
    delta_slope: float = 0.0

    def add(self, gradient: Tensor, *, finite_scale: bool) -> None:
        weights = self.solution.weights
        received = self.producer.input_extended.flatten(0, -2).detach() @ joined(weights).T
        pull = gradient.flatten(0, -2) @ weights.omega
        if finite_scale:  # fan-in is not scaled by γ: the activation is seen as it is, in both orientations
            given, mirrored = self._activated(received), self._activated(-received)
            parts = SlopeParts(-(pull * given).sum(dim=0), (pull * mirrored).sum(dim=0))
        else:
            parts = slope_parts(received, pull)
        self.parts = parts if self.parts is None else self.parts + parts
        rows = self.consumer.input_extended.flatten(0, -2).detach()
        self.delta_slope += float(((rows @ self.solution.delta.delta.T) * gradient.flatten(0, -2)).sum())

    def _activated(self, received: Tensor) -> Tensor:
        with torch.no_grad():
            activated: Tensor = self.producer.post_layer_function(received)
        return activated


def measure(
    network: GrowingNetwork,
    loss: Loss,
    loader: Loader,
    solved: Sequence[tuple[Proposal, Solution]],
    *,
    apply_delta: bool,
    finite_scale: bool,
) -> list[Proposal]:
    """The proposals with their best neurons, signs chosen, slopes measured; no weight is touched.

    Args:
        solved: proposals with more neurons than wanted; the best of positive slope are kept.
        apply_delta: the slope includes that of the optimal delta.
        finite_scale: γ scales the fan-out alone (`scale: alpha_std`).
    """
    work = [_Measurement(proposal, solution, *modules_of(network, proposal)) for proposal, solution in solved]
    modules = list({id(m): m for item in work for m in (item.producer, item.consumer)}.values())
    samples = 0
    for seen in observe(network, loss, loader, modules):
        samples += seen.samples
        for item in work:
            item.add(seen.gradients[item.consumer.name], finite_scale=finite_scale)
    return [_chosen(item, samples, apply_delta=apply_delta, finite_scale=finite_scale) for item in work]


def _chosen(item: _Measurement, samples: int, *, apply_delta: bool, finite_scale: bool) -> Proposal:
    """Best sign of each neuron, those of positive slope, the steepest first, as many as wanted."""
    assert item.parts is not None
    tangent = tangent_of(item.producer.post_layer_function)
    if finite_scale:
        slopes = SignedSlopes(item.parts.above / samples, item.parts.below / samples)
    else:
        slopes = signed_slopes(item.parts, tangent, samples)
    best = torch.maximum(slopes.kept, slopes.flipped)
    order = torch.argsort(best, descending=True, stable=True)[: item.proposal.neurons]
    order = order[best[order] > 0]
    sign = torch.where(slopes.flipped > slopes.kept, -1.0, 1.0).to(best.dtype)[order]
    weights = _selected(item.solution.weights, order, sign, 0.0 if finite_scale else tangent.value)
    slope = float(best[order].sum())
    predicted = max(tangent.right, tangent.left) * float(weights.singular_values.square().sum())
    delta = None
    if apply_delta:
        delta = item.solution.delta.delta
        slope += item.delta_slope / samples
        predicted += float(item.solution.delta.decrease)
    return replace(
        item.proposal,
        neurons=len(order),
        predicted=predicted,
        slope=slope if len(order) else None,
        weights=weights if len(order) else None,
        delta=delta,
        note=item.solution.note,
        reason=None if len(order) else "no new neuron would lower the loss",
    )


def _selected(weights: NewNeurons, order: Tensor, sign: Tensor, resting: float) -> NewNeurons:
    bias = weights.alpha_bias
    return NewNeurons(
        alpha_weight=weights.alpha_weight[order] * sign[:, None],
        alpha_bias=None if bias is None else bias[order] * sign,
        omega=weights.omega[:, order] * sign,
        singular_values=weights.singular_values[order],
        resting_value=resting,
    )
