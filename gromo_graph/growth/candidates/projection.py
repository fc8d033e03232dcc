"""N = −E[b₋₂ (g − δb)ᵀ] from a second pass over the samples that δ was solved from, without C (docs/maths.md, "N
without C").
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gromo_graph.growth.candidates.group_neurons import compute_delta
from gromo_graph.growth.effort.sample_size import followed
from gromo_graph.growth.observe import Loader, Loss, Watched, observe
from gromo_graph.growth.process_sums import Processes, sum_up
from gromo_graph.growth.statistics_pass import Gathered
from gromo_graph.modules.extensions import layer_of_matrix
from gromo_graph.modules.growing_module import GrowingModule
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Growth
from gromo_graph.statistics.growth_link import GrowthLink

Consumers = dict[GrowingModule, list[GrowthLink[GrowingModule]]]


def project(
    network: GrowingNetwork,
    loss: Loss,
    loader: Loader,
    gathered: Gathered,
    policy: Growth,
    processes: Processes,
) -> None:
    """Count M_prev of the projected gradient for all links that follow it.

    A consumer whose delta cannot be solved for, or not from so few samples, follows the raw gradient.

    Args:
        loader: the samples that were counted. gathered: what they gave, S and M of the consumers among it.
    """
    consumers = _projecting(gathered)
    if not consumers:
        return
    layers = {consumer: _deltas_beside(consumer, gathered.samples, policy) for consumer in consumers}
    watched = _watched(consumers)
    seen_samples = 0
    with processes.together():
        for seen in observe(network, loss, loader, watched):
            for consumer, links in consumers.items():
                gradient = seen.gradients[consumer.name]
                if gathered.per_weight != 1.0:
                    gradient = gradient * gathered.per_weight
                gradient = _projected(gradient, layers[consumer])
                for link in links:
                    link.count_gradient(consumer, gradient)
            seen_samples += seen.samples
            if seen_samples >= gathered.own_samples:
                break
    for consumer, links in consumers.items():
        for link in links if not layers[consumer] else ():
            link.follows = "raw"
    sum_up([link.m_prev for links in consumers.values() for link in links], processes)


def _projecting(gathered: Gathered) -> Consumers:
    found: Consumers = {}
    for module in gathered.sums.measured:
        links = [link for link in module.growth_links or () if link.follows == "projected"]
        if links:
            found[module] = links  # type: ignore[assignment]
    return found


def _deltas_beside(
    consumer: GrowingModule, samples: int, policy: Growth
) -> dict[GrowingModule, torch.nn.Module]:
    """Layers with the deltas as weights, of all that enter one sum with a consumer; none if they cannot be solved."""
    inputs = sum(partner.adapter.columns(partner.layer) for partner in consumer.partners)
    if followed(policy, samples=samples, inputs=inputs) == "raw":
        return {}
    if consumer.delta_raw is None:
        try:
            compute_delta(consumer, policy.ridge)
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            return {}
    partners: Sequence[GrowingModule] = consumer.partners  # type: ignore[assignment]
    return {
        partner: layer_of_matrix(partner, partner.delta_raw)
        for partner in partners
        if partner.delta_raw is not None
    }


def _watched(consumers: Consumers) -> Watched:
    """The consumers, and the inputs of all that is multiplied."""
    inputs: dict[GrowingModule, None] = {}
    for consumer, links in consumers.items():
        producers = [producer for link in links for producer in link.group.producers]
        inputs.update(dict.fromkeys([*consumer.partners, *producers]))  # type: ignore[list-item]
    others = [module for module in inputs if module not in consumers]
    return Watched(list(consumers), parameters=False, inputs=others)


@torch.no_grad()
def _projected(gradient: Tensor, layers: dict[GrowingModule, torch.nn.Module]) -> Tensor:
    """g − Σ δ b over the layers that enter the same sum."""
    for partner, layer in layers.items():
        gradient = gradient - layer(partner.input)
    return gradient
