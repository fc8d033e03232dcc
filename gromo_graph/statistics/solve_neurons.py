"""Finding new neurons for a group, by the criterion that is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, get_args

import torch
from torch import Tensor

from gromo_graph.algebra import (
    Spread,
    extension_from_rows,
    first_weights_extension,
    gradmax_extension,
    optimal_extension,
    random_extension,
    variance_transfer_extension,
)
from gromo_graph.algebra.neuron_weights import GroupNeurons
from gromo_graph.algebra.output_whitening import OutputWhitening
from gromo_graph.errors import GrowthError
from gromo_graph.layers import operation_adapter, operations_of
from gromo_graph.layers.growing import GrowingLayer
from gromo_graph.statistics.cross_moments import readings_of
from gromo_graph.statistics.forward_new_channels import measured_spreads
from gromo_graph.statistics.group_problem import problem_of
from gromo_graph.statistics.growth_link import (
    GatheringGroup,
    GatheringLayer,
    GatheringLink,
    GrowthLink,
    links_of_group,
)
from gromo_graph.statistics.growth_moment import spans_of
from gromo_graph.statistics.measured_group import MeasuredGroup
from gromo_graph.statistics.neuron_parts import split
from gromo_graph.statistics.sample_rows import gain_at, times_read

Layer = TypeVar("Layer", bound=GatheringLayer)


Rule = Callable[[Tensor, int], float]
"""(weights into each pre-activation (out, fan-in), inputs) -> the standard deviation of new ones."""

Criterion = Literal["tiny", "gradmax", "random", "variance_transfer"]

# With an activation that bends at 0, GradMax's units start this far from it, relative to the old fan-in.
_NUDGE = 1e-3


@dataclass(frozen=True)
class Search:
    """The search for new neurons.

    Attributes:
        criterion: "tiny" (the optimal extension), "gradmax", "random" or "variance_transfer".
        maximum: neurons at the most; the criteria that solve nothing need it.
        dtype: in which to solve.
        ridge, numerical_threshold, statistical_threshold: as in `algebra.optimal_extension`.
        projected: whether the gradient is projected by the consumers' deltas, or for which consumers it is.
        generator: source of random numbers; None takes torch's default one.
        outputs: G^(−1/2) of all that the consumers give, for "tiny" by natural gradient.
    """

    criterion: Criterion = "tiny"
    maximum: int | None = None
    dtype: torch.dtype = torch.float32
    ridge: float = 0.0
    numerical_threshold: float = 1e-15
    statistical_threshold: float = 1e-3
    projected: bool | Collection[GatheringLayer] = True
    generator: torch.Generator | None = None
    outputs: OutputWhitening | None = None


@torch.no_grad()
def find(link: GatheringLink, search: Search) -> GroupNeurons:
    """New neurons for the group of a link.

    Raises:
        GrowthError: an unknown criterion, statistics that are missing or not finite, or no number of neurons where the
            criterion solves nothing.
    """
    return _found(link, search)[0]


@torch.no_grad()
def first_neurons(group: GatheringGroup, neurons: int, generator: torch.Generator | None) -> GroupNeurons:
    """Neurons with first weights on both sides, for a group whose function need not be kept.

    Args:
        neurons: how many, in whole units of the group.
    """
    spread = kept_signal_spread(group, neurons)
    found = first_weights_extension(spread, neurons=neurons, generator=generator)
    every = torch.arange(found.alpha.shape[1], device=found.alpha.device)
    return _with_spreads(group, replace(split(group, found, every), values=None))


@torch.no_grad()
def find_best(
    links: Sequence[GrowthLink[Layer]], search: Search
) -> tuple[MeasuredGroup[Layer], GroupNeurons]:
    """New neurons for the one of several groups of which the criterion expects most, by default the first."""
    found = [(link.group, *_found(link, search)) for link in links]
    group, neurons, _ = max(found, key=lambda each: each[2])
    return group, neurons


def _found(link: GatheringLink, search: Search) -> tuple[GroupNeurons, float]:
    """New neurons, and the value that the criterion expects of all of them."""
    group = link.group
    most = search.maximum
    if most is not None and (isinstance(most, bool) or not isinstance(most, int)):
        raise GrowthError(f"maximum_added_neurons is {most!r}: expected None or a whole number of at least 0")
    if search.criterion not in get_args(Criterion):
        known = ", ".join(get_args(Criterion))
        raise GrowthError(f"unknown criterion {search.criterion!r}: expected one of {known}")
    if search.criterion == "tiny":
        neurons, promise = _optimal(link, search)
    else:
        count = search.maximum
        if count is None or count < 0:
            raise GrowthError(
                f"the criterion {search.criterion!r} adds as many neurons as it is told: expected "
                f"maximum_added_neurons of at least 0, found {count}"
            )
        if search.criterion == "gradmax":
            neurons, promise = _gradmax(link, search, count)
        else:
            neurons, promise = _drawn(group, search, count), 0.0
    # GatheringGroup norms grow by whole groups.
    whole = neurons.selected(torch.arange(neurons.size - neurons.size % group.unit, device=neurons.device))
    return _with_spreads(group, whole), promise


def _optimal(link: GatheringLink, search: Search) -> tuple[GroupNeurons, float]:
    """The optimal extension, and the decrease of the loss that it predicts."""
    group, links = link.group, links_of_group(link.group)
    if link.follows == "rows":
        return _from_rows(link, links, search)
    problem = problem_of(link, links, projected=search.projected)
    found = optimal_extension(
        problem.s.to(search.dtype),
        problem.n.to(search.dtype),
        ridge=search.ridge,
        numerical_threshold=search.numerical_threshold,
        statistical_threshold=search.statistical_threshold,
        maximum_neurons=search.maximum,
        outputs=search.outputs,
    )
    promise = group.linear_paths.gain * float(found.singular_values.square().sum())
    return split(group, found, problem.columns), promise


def _from_rows(
    link: GatheringLink, links: Mapping[GatheringLayer, GatheringLink], search: Search
) -> tuple[GroupNeurons, float]:
    """The optimal extension from rows that were kept."""
    group = link.group
    scale = times_read(group) ** 0.5  # so that S is that of sums, and N too
    rows = scale * link.rows.value().to(search.dtype)
    gradients = [
        gain_at(group, place) / scale * links[consumer].gradients.value()
        for consumer, places in group.reads.items()
        for place in places
    ]
    found = extension_from_rows(
        rows,
        torch.cat(gradients, dim=1).to(search.dtype),
        ridge=search.ridge,
        statistical_threshold=search.statistical_threshold,
        maximum_neurons=search.maximum,
        outputs=search.outputs,
    )
    promise = group.linear_paths.gain * float(found.singular_values.square().sum())
    return split(group, found, torch.arange(rows.shape[1], device=rows.device)), promise


def _gradmax(link: GatheringLink, search: Search, neurons: int) -> tuple[GroupNeurons, float]:
    """Neurons by GradMax, and the squared norm of the gradient at their fan-in."""
    group = link.group
    problem = problem_of(link, links_of_group(group), projected=False)
    length = _mean_norm([consumer.weight.transpose(0, 1) for consumer in group.consumers])
    found = gradmax_extension(
        problem.n.to(search.dtype),
        neurons=neurons,
        length=length,
        nudge=_NUDGE * _mean_norm([p.weight for p in group.producers]) if group.linear_paths.kinks else 0.0,
    )
    promise = (group.linear_paths.gain * length) ** 2 * float(found.singular_values.square().sum())
    return replace(split(group, found, problem.columns), values=None), promise


def _drawn(group: GatheringGroup, search: Search, neurons: int) -> GroupNeurons:
    """Random neurons, or pairs of them."""
    if search.criterion == "random":
        found = random_extension(first_spread(group), neurons=neurons, generator=search.generator)
    else:
        found = variance_transfer_extension(
            old_spread(group), neurons=neurons, unit=group.unit, generator=search.generator
        )
    every = torch.arange(found.alpha.shape[1], device=found.alpha.device)
    return replace(split(group, found, every), values=None)


def first_spread(group: GatheringGroup) -> Spread:
    """The standard deviation of the first weights of layers, uniform in ±1/√fan_in."""
    return _spread(group, lambda rows, _: _of_first_weights(rows))


def _of_first_weights(rows: Tensor) -> float:
    return float((3.0 * max(rows.shape[1], 1)) ** -0.5)


def old_spread(group: GatheringGroup) -> Spread:
    """The standard deviation of the weights as they are now; of first weights if there are none."""

    def of(rows: Tensor, inputs: int) -> float:
        found = float(rows.std()) if rows.numel() > 1 else 0.0
        return found if found > 0.0 else _of_first_weights(rows)

    return _spread(group, of)


def kept_signal_spread(group: GatheringGroup, neurons: int) -> Spread:
    """Standard deviations √(2 / fan_in), by which a signal behind relus keeps its size (He et al. 2015).

    Args:
        neurons: that are new, and widen what consumers read.
    """

    def of_consumer(rows: Tensor, inputs: int) -> float:
        fan_in = rows.shape[1]
        return math.sqrt(2.0 / (fan_in + neurons * fan_in // inputs))

    return _spread(group, lambda rows, _: math.sqrt(2.0 / max(rows.shape[1], 1)), of_consumer)


def _spread(group: GatheringGroup, of: Rule, of_consumer: Rule | None = None) -> Spread:
    """The standard deviations that a rule gives to the new weights of each layer.

    Args:
        of: the rule. of_consumer: that of consumers, if it is another one.
    """

    def given(rule: Rule, layer: GrowingLayer) -> float:
        return rule(layer.adapter.matrix(layer.weight.detach(), None), layer.in_neurons)

    of_consumer = of_consumer or of
    like = group.producers[0].weight
    fan_in = like.new_zeros(spans_of(group)[group.producers[-1]].stop)
    for producer, span in spans_of(group).items():
        fan_in[span] = given(of, producer)
    fan_out = []
    for consumer, places in group.reads.items():
        readings = sum(readings_of(consumer, group, place) for place in places)
        fan_out.append(like.new_full((consumer.pre_activations * readings,), given(of_consumer, consumer)))
    return Spread(fan_in, torch.cat(fan_out))


def _mean_norm(weights: list[Tensor]) -> float:
    """Mean norm of the rows of weights put side by side; 1 if there are none or they are zero."""
    rows = min(weight.shape[0] for weight in weights)
    if rows == 0:
        return 1.0
    squares = sum(
        (weight[:rows].detach().flatten(1).square().sum(dim=1) for weight in weights),
        weights[0].new_zeros(rows),
    )
    return float(squares.sqrt().mean()) or 1.0


def _with_spreads(group: GatheringGroup, neurons: GroupNeurons) -> GroupNeurons:
    """Neurons with the size that norms must know of them, measured on the stored batch."""
    if (
        group.jumps
        or neurons.size == 0
        or any(p.capture.input is None for p in group.producers)
        or not any(
            operation_adapter(operation).needs_spread
            for module in (*group.producers, *group.merges)
            for operation in operations_of(module.extension_function)
        )
    ):
        return neurons
    return replace(neurons, spreads=measured_spreads(group, neurons))
