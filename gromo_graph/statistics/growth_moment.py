"""S of the inputs of a group's producers, summed over the places where their new channels are read.

These places are further rows of one layer (docs/maths.md, "Width groups"). A position of an image counts as often as
the consumer that reads it most. Products that several places share are formed once.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gromo_graph.algebra import (
    AxisWeights,
    Patches,
    Product,
    patch_cross_moment,
    patch_second_moment,
)
from gromo_graph.graph.width_flow import GroupPlace
from gromo_graph.statistics.capture import ObservedLayer, stored_rows
from gromo_graph.statistics.cross_moments import portions, window_of
from gromo_graph.statistics.linearised_paths import arriving, plain_gain
from gromo_graph.statistics.measured_group import ObservedGroup
from gromo_graph.statistics.side_by_side import side_by_side


def growth_moment_of_batch(group: ObservedGroup) -> Tensor:
    """The sum over the stored batch, (columns, columns) of all producers."""
    together = side_by_side(group)
    if together is not None:
        return Product(together.rows, together.rows).value() * together.by_pair
    rows = {producer: stored_rows(producer) for producer in group.producers}
    spans = spans_of(group)
    size = spans[group.producers[-1]].stop
    total = next(iter(rows.values())).image.new_zeros(size, size)
    plain: dict[tuple[ObservedLayer, ObservedLayer, AxisWeights], float] = {}
    for place in group.read_places():
        gains = {p: plain_gain(paths) for p in group.producers if (paths := group.linear_paths.to(p, place))}
        if any(gain is None for gain in gains.values()):
            _add_written(total, group, place, list(gains), rows, spans)
            continue
        for p, q in _pairs(list(gains)):
            weights = weights_of(group, place, rows[p].grid)
            factor = (gains[p] or 0.0) * (gains[q] or 0.0)
            plain[p, q, weights] = plain.get((p, q, weights), 0.0) + factor
    for (p, q, weights), factor in plain.items():
        if factor != 0.0:
            block = _product(rows[p], rows[q], weights)
            total[spans[p], spans[q]].add_(block, alpha=factor)
            if p is not q:
                total[spans[q], spans[p]].add_(block.T, alpha=factor)
    return total


def is_input_moment(group: ObservedGroup) -> bool:
    """True if the sum is just S of the one producer's input: one place, and every position read once."""
    places = group.read_places()
    if (
        len(group.producers) != 1
        or len(places) != 1
        or plain_gain(group.linear_paths.to(group.producers[0], places[0])) is None
    ):
        return False
    windows = [window_of(consumer, group) for consumer in group.consumers]
    return all(
        window is None
        or all(axis.reads_each_once(taps) for axis, taps in zip(window.axes, window.taps, strict=True))
        for window in windows
    )


def spans_of(group: ObservedGroup) -> dict[ObservedLayer, slice]:
    """The columns of each producer."""
    spans, start = {}, 0
    for producer in group.producers:
        columns = producer.adapter.columns(producer.layer)
        spans[producer] = slice(start, start + columns)
        start += columns
    return spans


def weights_of(group: ObservedGroup, place: GroupPlace, grid: tuple[int, int]) -> AxisWeights:
    """The number of times that each position of a place is read, along height and width."""
    weights = [[0.0] * size for size in grid]
    for consumer in group.consumers:
        if place in group.reads[consumer]:
            window = window_of(consumer, group)
            for axis in (0, 1):
                reads = (
                    (1.0,) * grid[axis]
                    if window is None
                    else window.axes[axis].reads(grid[axis], window.taps[axis])
                )
                weights[axis] = [max(pair) for pair in zip(weights[axis], reads, strict=True)]
    return tuple(weights[0]), tuple(weights[1])


def _pairs(producers: list[ObservedLayer]) -> list[tuple[ObservedLayer, ObservedLayer]]:
    return [(p, q) for place, p in enumerate(producers) for q in producers[place:]]


def _product(left: Patches, right: Patches, weights: AxisWeights) -> Tensor:
    return patch_second_moment(left, weights) if left is right else patch_cross_moment(left, right, weights)


def _add_written(
    total: Tensor,
    group: ObservedGroup,
    place: GroupPlace,
    visible: list[ObservedLayer],
    rows: Mapping[ObservedLayer, Patches],
    spans: Mapping[ObservedLayer, slice],
) -> None:
    """A place behind operations that mix positions: the rows are written down as they arrive."""
    index = torch.cat([torch.arange(spans[p].start, spans[p].stop) for p in visible]).to(total.device)
    for part in portions(max((rows[p] for p in visible), key=lambda r: r.columns * r.grid[0] * r.grid[1])):
        arrived = [
            arriving(p, group.linear_paths.to(p, place), rows[p].of(rows[p].image[part]), part=part)
            for p in visible
        ]
        image = torch.cat(arrived, dim=1)
        grid = (image.shape[2], image.shape[3])
        moment = patch_second_moment(Patches(image, grid=grid), weights_of(group, place, grid))
        total[index[:, None], index[None, :]] += moment
