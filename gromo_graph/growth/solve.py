"""From statistics to new neurons: the closed forms of MATH.md for one producer and one consumer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gromo_graph.algebra import OptimalDelta, optimal_delta, optimal_extension, tangent_of
from gromo_graph.errors import GrowthError
from gromo_graph.growth.candidates import NewNeurons, Proposal
from gromo_graph.modules import GrowingModule
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Growth

# Directions solved beyond those wanted: the exact slopes may order them otherwise than the singular values.
_SPARE_DIRECTIONS = 8
# With fewer rows than this times fan_in, g − δb nearly vanishes and says nothing (MATH.md, "few samples").
_ROWS_PER_INPUT = 2
# A layer gets this many random units where all of its own are dead (EVIDENCE.md).
_RESCUE_NEURONS = 4


@dataclass(frozen=True)
class Solution:
    """New neurons in the order of their singular values, and the consumer's optimal delta."""

    weights: NewNeurons
    delta: OptimalDelta
    note: str


def solve(network: GrowingNetwork, proposal: Proposal, policy: Growth) -> Solution:
    """The optimal neurons of a proposal from the statistics its modules have gathered.

    Raises:
        GrowthError: statistics that are missing or not finite.
    """
    consumer, producer = modules_of(network, proposal)
    s, m = (
        finite(consumer, "tensor_s", consumer.tensor_s()),
        finite(consumer, "tensor_m", consumer.tensor_m()),
    )
    delta = optimal_delta(s, m, ridge=policy.ridge)
    n = -finite(consumer, "tensor_m_prev", consumer.tensor_m_prev())
    notes = [] if delta.solver == "cholesky" else [f"delta solved by {delta.solver}"]
    if consumer.tensor_s.samples < _ROWS_PER_INPUT * s.shape[0]:
        notes.append("raw gradient: few samples")
    else:
        n = n + consumer.cross_covariance() @ delta.delta.T
    found = optimal_extension(
        finite(producer, "tensor_s", consumer.tensor_s_growth()),
        n,
        ridge=policy.ridge,
        statistical_threshold=0.0,
        maximum_neurons=2 * proposal.neurons + _SPARE_DIRECTIONS,
    )
    if found.solver != "cholesky":
        notes.append(f"neurons solved by {found.solver}")
    weights = NewNeurons(
        *split_bias(found.alpha, producer.use_bias), omega=found.omega, singular_values=found.singular_values
    )
    return Solution(weights, delta, "; ".join(notes))


def random_neurons(
    network: GrowingNetwork, proposal: Proposal, count: int, generator: torch.Generator | None
) -> NewNeurons:
    """`count` units drawn like the first weights of their layer, with zero fan-out: the function does not change."""
    consumer, producer = modules_of(network, proposal)
    weight = producer.layer.weight
    bound = 1.0 / math.sqrt(weight.shape[1])
    drawn = torch.empty(count, weight.shape[1] + int(producer.use_bias)).uniform_(
        -bound, bound, generator=generator
    )
    alpha_weight, alpha_bias = split_bias(drawn.to(weight), producer.use_bias)
    omega = weight.new_zeros(consumer.layer.weight.shape[0], count)
    return NewNeurons(alpha_weight, alpha_bias, omega, weight.new_zeros(count))


def rescue_size(proposal: Proposal) -> int:
    """How many random units a dead layer gets."""
    return min(_RESCUE_NEURONS, proposal.neurons)


def is_dead(network: GrowingNetwork, proposal: Proposal) -> bool:
    """Does every unit of the group give 0 on all the data, so that no gradient passes?"""
    consumer, _ = modules_of(network, proposal)
    squares = consumer.tensor_s().diagonal()
    return bool((squares[: consumer.layer.weight.shape[1]] == 0).all())


def to_layer_scale(network: GrowingNetwork, proposal: Proposal, weights: NewNeurons) -> NewNeurons:
    """Fan-in at the mean standard deviation of the layer's pre-activations; fan-out takes it back.

    The product of α and ω stays, so that γ keeps its meaning; σ sees new units at the scale of the old ones.
    """
    consumer, producer = modules_of(network, proposal)
    s = consumer.tensor_s_growth()
    old = _deviations(s, *_matrix(producer.layer.weight, producer.layer.bias), producer.use_bias)
    new = _deviations(s, *_matrix(weights.alpha_weight, weights.alpha_bias), producer.use_bias)
    target = old.mean()
    if not target > 0:
        return weights
    factor = torch.where(new > 0, target / new, torch.ones_like(new))
    return NewNeurons(
        weights.alpha_weight * factor[:, None],
        None if weights.alpha_bias is None else weights.alpha_bias * factor,
        weights.omega / factor,
        weights.singular_values,
        weights.resting_value,
    )


def resting_value(producer: GrowingModule) -> float:
    """What a new unit gives behind the activation while its fan-in is still 0."""
    return tangent_of(producer.post_layer_function).value


def modules_of(network: GrowingNetwork, proposal: Proposal) -> tuple[GrowingModule, GrowingModule]:
    """(consumer, producer) of a proposal."""
    assert proposal.group is not None
    return network.growing(proposal.group.consumers[0]), network.growing(proposal.group.producers[0])


def split_bias(matrix: Tensor, use_bias: bool) -> tuple[Tensor, Tensor | None]:
    """Weight and bias from a matrix whose last column is the bias, where there is one."""
    return (matrix[:, :-1].contiguous(), matrix[:, -1].contiguous()) if use_bias else (matrix, None)


def joined(weights: NewNeurons) -> Tensor:
    """[weight | bias] of the new fan-in, (k, fan_in)."""
    if weights.alpha_bias is None:
        return weights.alpha_weight
    return torch.cat([weights.alpha_weight, weights.alpha_bias[:, None]], dim=1)


def finite(module: GrowingModule, name: str, value: Tensor) -> Tensor:
    """The value, if every number of it is finite.

    Raises:
        GrowthError: names the module and the statistic.
    """
    if not torch.isfinite(value).all():
        raise GrowthError(
            f"`{module.name}`: {name} holds values that are not finite: expected finite activations and "
            "gradients; look at the data and the learning rate"
        )
    return value


def _matrix(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    return weight.detach(), None if bias is None else bias.detach()


def _deviations(s: Tensor, weight: Tensor, bias: Tensor | None, constant: bool) -> Tensor:
    """Standard deviations of W b + bias from S = E[b bᵀ] alone; without a constant column, root mean squares."""
    matrix = weight if bias is None else torch.cat([weight, bias[:, None]], dim=1)
    squares = ((matrix @ s) * matrix).sum(dim=1)
    means = matrix @ s[:, -1] if constant else torch.zeros_like(squares)
    return (squares - means.square()).clamp_min(0).sqrt()
