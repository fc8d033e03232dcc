"""Rows that are kept as they are: for fewer rows than inputs they take less than their products.

Then new neurons are found in the space of samples (docs/maths.md, "Few rows, many inputs").
"""

from __future__ import annotations

import torch
from torch import Tensor

from gromo_graph.graph.width_flow import GroupPlace
from gromo_graph.statistics.capture import ObservedLayer
from gromo_graph.statistics.cross_moments import window_of
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
    """True if the one producer and all consumers read rows of features, one a sample, and nothing mixes them."""
    if len(group.producers) != 1 or group.sees_samples:
        return False
    (producer,) = group.producers
    return producer.adapter.axes(producer.layer) is None and all(
        window_of(consumer, group) is None and all(_is_plain(group, producer, place) for place in places)
        for consumer, places in group.reads.items()
    )


def _is_plain(group: ObservedGroup, producer: ObservedLayer, place: GroupPlace) -> bool:
    paths = group.linear_paths.to(producer, place)
    return place.repeat == 1 and bool(paths) and plain_gain(paths) is not None


def gain_at(group: ObservedGroup, place: GroupPlace) -> float:
    """The factor of the rows in a place."""
    gain = plain_gain(group.linear_paths.to(group.producers[0], place))
    assert gain is not None  # such groups have plain paths
    return gain
