"""Rows that are kept as they are: for fewer rows than inputs they take less than their products.

Then new neurons are found in the space of samples (docs/maths.md, "Few rows, many inputs").
"""

from __future__ import annotations

import torch
from torch import Tensor

from gromo_graph.algebra import patch_matrix, spread_out
from gromo_graph.algebra.patches import ONE_POSITION, gather
from gromo_graph.graph.width_flow import GroupPlace
from gromo_graph.statistics.capture import ObservedLayer, stored_rows
from gromo_graph.statistics.cross_moments import window_of
from gromo_graph.statistics.growth_moment import weights_of
from gromo_graph.statistics.linearised_paths import plain_gain
from gromo_graph.statistics.measured_group import ObservedGroup


class KeptRows:
    """Rows of a matrix, batch after batch, each forward pass once."""

    def __init__(self) -> None:
        self._batches: list[Tensor] = []
        self._last: object = None

    def add(self, rows: Tensor, forward_pass: object) -> None:
        """Keep rows (n, columns), unless they are of the forward pass that was kept last."""
        if forward_pass is not self._last:
            self._batches.append(rows.detach())
            self._last = forward_pass

    def value(self) -> Tensor:
        """All rows, (rows, columns)."""
        return torch.cat(self._batches)

    def rescale(self, factor: float) -> None:
        """Multiply all rows by a factor."""
        if factor != 1.0:
            self._batches = [batch * factor for batch in self._batches]

    @property
    def nbytes(self) -> int:
        """The bytes that the rows take."""
        return sum(batch.numel() * batch.element_size() for batch in self._batches)

    def reset(self) -> None:
        """Forget all rows."""
        self._batches.clear()
        self._last = None


def rows_can_be_kept(group: ObservedGroup) -> bool:
    """True for one producer whose outputs, if they have one position, all consumers read as they are."""
    if len(group.producers) != 1 or group.sees_samples:
        return False
    (producer,) = group.producers
    return all(_is_plain(group, producer, place) for places in group.reads.values() for place in places)


def _is_plain(group: ObservedGroup, producer: ObservedLayer, place: GroupPlace) -> bool:
    paths = group.linear_paths.to(producer, place)
    return place.repeat == 1 and bool(paths) and plain_gain(paths) is not None


def row_of_each_sample(producer: ObservedLayer) -> Tensor:
    """b of the stored batch of a layer with one position, (n, columns)."""
    rows = stored_rows(producer)
    return rows.rows.values if rows.is_matrix else patch_matrix(rows)[:, :, 0]


def gradient_of_each_sample(consumer: ObservedLayer, group: ObservedGroup, gradient: Tensor) -> Tensor:
    """g of a consumer as it reads one position, through each tap of its kernel, (n, out · readings)."""
    window = window_of(consumer, group)
    if window is None:
        return gradient
    image = spread_out(consumer.adapter.output_image(consumer.layer, gradient), window.stride)
    view = window.back(ONE_POSITION)
    found = gather(image, view.offsets, view.stride, range(1), range(1))
    return found.flatten(4).flatten(0, 2)[:, :, 0].T


def times_read(group: ObservedGroup) -> float:
    """The weight of the one position in S, summed over all places (docs/maths.md, "Width groups")."""
    total = 0.0
    for place in group.read_places():
        (height,), (width,) = weights_of(group, place, (1, 1))
        total += gain_at(group, place) ** 2 * height * width
    return total


def gain_at(group: ObservedGroup, place: GroupPlace) -> float:
    """The factor of the rows in a place."""
    gain = plain_gain(group.linear_paths.to(group.producers[0], place))
    assert gain is not None  # such groups have plain paths
    return gain
