"""From statistics to the new neurons of a width group, solved for or drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gromo_graph.algebra import accumulation_dtype
from gromo_graph.algebra.neuron_weights import GroupNeurons, taking_turns
from gromo_graph.algebra.output_whitening import OutputWhitening
from gromo_graph.growth.candidates.preactivations import Preactivations, to_layer_scale, unlike_old
from gromo_graph.growth.candidates.stages import joined
from gromo_graph.growth.curvature import NO_CURVATURE
from gromo_graph.modules import MergeGrowingModule
from gromo_graph.modules.growing_module import GrowingModule, LinkedGroup
from gromo_graph.spec.settings import Growth
from gromo_graph.statistics.capture import stored_rows
from gromo_graph.statistics.growth_link import Followed, GrowthLink, links_of_group
from gromo_graph.statistics.solve_neurons import Criterion, Search, find

SPARE_DIRECTIONS = 8
"""Directions solved beyond those wanted: the exact slopes may order them otherwise than the singular values."""
ROWS_PER_INPUT = 2
"""With fewer rows than this times fan_in, g − δb nearly vanishes and says nothing (docs/maths.md, "Few samples")."""
FEW_SAMPLES = "few samples: new neurons may repeat what present weights can learn"
"""The note of neurons that were solved for g and not for g − δb: there were few samples for the layer's inputs."""
# A layer gets this many random units if all of its own are dead: else it could never grow again.
_RESCUE_NEURONS = 4


@dataclass(frozen=True)
class PartSolution:
    """New neurons of one connected group.

    Attributes:
        neurons: in the order of their singular values.
        deltas: (out, columns), the optimal delta of each consumer, by name.
        note: how it was solved, if that is out of the ordinary.
    """

    neurons: GroupNeurons
    deltas: Mapping[str, Tensor]
    note: str


def solve(
    linked: LinkedGroup,
    wanted: int,
    policy: Growth,
    outputs: OutputWhitening | None = None,
    *,
    unit: int = 1,
) -> PartSolution:
    """The best neurons of a group, from the statistics that its modules have gathered.

    Args:
        linked: its modules. wanted: how many neurons will be chosen of them.
        outputs: G^(−1/2) of its consumers, by which the criterion `natural` weighs them.
        unit: neurons that are added together.

    Raises:
        GrowthError: statistics that are missing or not finite.
    """
    links = links_of_group(linked)
    follows = {consumer: links[consumer].follows for consumer in linked.consumers}
    crossed = [c for c in linked.consumers if follows[c] == "crossed" and _enough_rows(c)]
    notes = _solve_deltas(follows, policy)
    whole = any(c not in crossed and kind != "projected" for c, kind in follows.items())
    if whole and policy.project != "never":  # else the policy asks for it, however many samples there are
        notes.append(FEW_SAMPLES)
    link = links[linked.consumers[0]]
    # GradMax wants just so many; of solved neurons the exact slopes choose.
    solved = policy.criterion != "gradmax"
    spare = wanted + SPARE_DIRECTIONS if solved else 0
    uncurved = policy.criterion == "natural" and outputs is None
    if uncurved:
        notes.append(NO_CURVATURE)
    search = Search(
        "tiny" if solved else "gradmax",
        maximum=0 if uncurved else wanted + spare,
        dtype=accumulation_dtype(linked.consumers[0].weight.dtype),
        ridge=policy.ridge,
        statistical_threshold=0.0,
        projected=crossed,
        outputs=outputs,
    )
    neurons = find(link, search)
    if neurons.solver not in ("cholesky", "none"):
        notes.append(f"neurons solved by {neurons.solver}")
    if solved and neurons.size:
        neurons = _fitted(linked, neurons, policy, wanted, unit)
    deltas = {c.name: c.delta_raw for c in linked.consumers if c.delta_raw is not None}
    return PartSolution(neurons, deltas, joined(*notes))


def _fitted(
    linked: LinkedGroup, neurons: GroupNeurons, policy: Growth, wanted: int, unit: int
) -> GroupNeurons:
    """Unlike the neurons that are there, and at their scale, as the policy asks for."""
    limit, to_scale = policy.neurons.alike or 1.0, policy.scale == "alpha_std"
    if limit < 1.0 or to_scale:
        values = Preactivations(linked)
        if limit < 1.0:
            neurons = unlike_old(values, neurons, limit, wanted=wanted, unit=unit)
        if to_scale:
            neurons = to_layer_scale(values, neurons)
    return neurons


def _solve_deltas(follows: Mapping[GrowingModule, Followed], policy: Growth) -> list[str]:
    """Solve for the deltas that are needed, of consumers by the gradient that is followed; what was unusual."""
    notes = []
    for consumer, kind in follows.items():
        if kind in ("crossed", "projected") or policy.apply_delta:
            if consumer.delta_raw is None:
                compute_delta(consumer, policy.ridge)
            if consumer.delta_solver != "cholesky":
                notes.append(f"delta solved by {consumer.delta_solver}")
    return notes


def solve_views(
    views: Sequence[LinkedGroup],
    wanted: int,
    policy: Growth,
    outputs: Sequence[OutputWhitening | None],
    *,
    unit: int,
) -> PartSolution:
    """The best neurons of a group that each head sees in its own way: those of all heads take turns.

    Args:
        unit: neurons that are added together, those of all heads.
    """
    heads = len(views)
    found = [
        solve(view, wanted // heads, policy, own, unit=max(1, unit // heads))
        for view, own in zip(views, outputs, strict=True)
    ]
    if heads == 1:
        return found[0]
    notes = [note for solution in found for note in solution.note.split("; ")]
    neurons = taking_turns([solution.neurons for solution in found])
    return PartSolution(neurons, found[0].deltas, joined(*notes))


def compute_delta(consumer: GrowingModule, ridge: float) -> None:
    """The optimal delta of a layer, or of all that enter the same sum together."""
    dtype = consumer.tensor_s().dtype
    merge = consumer.next_module
    if len(consumer.partners) > 1 and isinstance(merge, MergeGrowingModule):
        merge.compute_optimal_delta(update=False, dtype=dtype, ridge=ridge)
    else:
        consumer.compute_optimal_delta(update=False, dtype=dtype, ridge=ridge)


def _enough_rows(consumer: GrowingModule) -> bool:
    rows = stored_rows(consumer)
    per_sample = rows.image.shape[0] / consumer.input.shape[0] * rows.grid[0] * rows.grid[1]
    columns = sum(partner.adapter.columns(partner.layer) for partner in consumer.partners)
    return consumer.tensor_s.samples * per_sample >= ROWS_PER_INPUT * columns


def random_neurons(
    linked: LinkedGroup,
    policy: Growth,
    count: int,
    generator: torch.Generator | None,
) -> GroupNeurons:
    """`count` units that change nothing yet, drawn by the policy's criterion or else like first weights."""
    criterion: Criterion = "variance_transfer" if policy.criterion == "variance_transfer" else "random"
    search = Search(criterion, maximum=count, generator=generator)
    return find(GrowthLink(linked.consumers[0], linked), search)


def rescue_size(wanted: int, unit: int) -> int:
    """The number of neurons that are drawn for a dead layer, in whole units."""
    return max(min(_RESCUE_NEURONS, wanted), unit)


def is_dead(linked: LinkedGroup) -> bool:
    """True if every unit of the group gives 0 on all the data, so that no gradient passes."""
    for consumer, places in linked.reads.items():
        squares = _squares_read(consumer)
        if any(bool((squares[place.start : place.end] != 0).any()) for place in places):
            return False
    return True


def _squares_read(consumer: GrowingModule) -> Tensor:
    """Mean squares of what a consumer reads, (inputs, any number): the diagonal of S, or what stands in for it."""
    for link in consumer.growth_links or ():
        if link.activity.samples:
            return link.activity()
    diagonal = consumer.tensor_s().diagonal()[: consumer.adapter.fan_in(consumer.layer)]
    return diagonal.reshape(consumer.in_neurons, -1)
