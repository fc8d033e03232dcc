"""New channels whose activation is not 0 at 0 shift their consumers, by an effect of order √γ that biases take back."""

from __future__ import annotations

import torch
from torch import Tensor

from gromo_graph.algebra.neuron_weights import GroupNeurons
from gromo_graph.graph import Graph
from gromo_graph.layers.product import resting_factors
from gromo_graph.modules.growing_module import GrowingModule, LinkedGroup
from gromo_graph.statistics.cross_moments import window_of

# What sums of weights may be off by, in units of their last place.
_ROUNDING = 8.0


def cannot_be_taken_back(graph: Graph, linked: LinkedGroup, *, frozen: bool = False) -> str | None:
    """Say why the shift of some consumer cannot be taken back; None if it can (docs/maths.md, "Exact slopes").

    Args:
        frozen: whether the biases that are there have to stay as they are.
    """
    lost = lost_in_a_product(linked)
    if lost is not None:
        return lost
    for consumer, places in linked.reads.items():
        moved = [
            linked.linear_paths.resting[place]
            for place in places
            if linked.linear_paths.resting[place] != 0.0
        ]
        if not moved:
            continue
        if not consumer.use_bias:
            return f"its new units start at {moved[0]:g} and `{consumer.name}` has no bias to take it back"
        sizes = graph.shapes[graph.sources(consumer.name)[0]][1:]
        if frozen:
            return (
                f"its new units start at {moved[0]:g}, which the bias of `{consumer.name}` would take back, and "
                "`growth.freeze: old` keeps that bias"
            )
        if not _same_everywhere(linked, consumer, sizes):
            return (
                f"its new units start at {moved[0]:g}, which the zeros around what `{consumer.name}` reads make differ "
                "from position to position, so no bias can take it back"
            )
    return None


def lost_in_a_product(linked: LinkedGroup) -> str | None:
    """Say why nothing of new channels is read, if all factors of a product start at 0; else give None."""
    products = [merge.name for merge in linked.merges if merge.multiplies]
    if linked.linear_paths.gain or not products:
        return None
    return f"all that `{products[0]}` multiplies starts at 0, so that γ has no slope: expected one gate that does not"


def moves_all_positions(graph: Graph, linked: LinkedGroup) -> str | None:
    """Say why a factor of one position, which multiplies all positions of another, cannot grow with it; or None.

    As long as the other rests at 0, the new channels of such a factor have no effect at first order.
    """
    resting = linked.linear_paths.resting
    for place, sources in linked.layout.flow.items():
        if not linked.module(place).multiplies:
            continue
        whole = graph.shapes[graph.units[place.unit].node]
        slopes = resting_factors([resting[source] for source in sources])
        for source, slope in zip(sources, slopes, strict=True):
            if slope != 0.0 and graph.shapes[graph.units[source.unit].last] != whole:
                return (
                    f"`{place.unit}` multiplies each position by `{source.unit}`, but what it multiplies starts at "
                    f"{slope:g}: expected a function that is 0 at 0"
                )
    return None


def _same_everywhere(linked: LinkedGroup, consumer: GrowingModule, sizes: tuple[int, ...]) -> bool:
    """True if every output reads a constant map as the same constant: no tap reads padding."""
    window = window_of(consumer, linked)
    if window is None:
        return True
    lengths = (1, *sizes) if len(sizes) == 1 else sizes
    return all(
        sum(axis.reached(tap, length)) == axis.outputs(length)
        for axis, taps, length in zip(window.axes, window.taps, lengths, strict=True)
        for tap in taps
    )


def compensations(linked: LinkedGroup, neurons: GroupNeurons) -> dict[str, Tensor]:
    """The shift that the bias of each consumer takes back per unit of √γ, (out,), by name; empty if there is none."""
    found = {}
    for (consumer, places), fan_out in zip(linked.reads.items(), neurons.fan_out, strict=True):
        moved = [
            consumer.adapter.matrix(part.flatten(1, 2), None).sum(dim=1) * linked.linear_paths.resting[place]
            for place, part in zip(places, fan_out.by_place(), strict=True)
            if linked.linear_paths.resting[place] != 0.0
        ]
        # Pairs of opposite units cancel but for rounding.
        rounding = _ROUNDING * torch.finfo(fan_out.weight.dtype).eps * float(fan_out.weight.abs().sum())
        total = sum(moved, torch.zeros(())) if moved else None
        if total is not None and bool((total.abs() > rounding).any()):
            found[consumer.name] = total
    return found
