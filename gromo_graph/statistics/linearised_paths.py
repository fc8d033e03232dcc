"""Linearised paths from a producer to a place, which stand in for the functions on the way while sums are taken.

New neurons are found from sums of products, and for those the way must be linear: each activation is its slope at the
value a new channel rests at, a max pool is the mean, a norm passes. Whatever that misses, the exact slope measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gromo_graph.algebra import Patches, Tangent, patch_matrix
from gromo_graph.graph.width_flow import GroupPlace
from gromo_graph.layers import operation_adapter, operations_of
from gromo_graph.layers.growing import GrowingLayer
from gromo_graph.layers.layer_group import LayerGroup


@dataclass(frozen=True)
class Way:
    """One path: a factor, and the operations that mix positions, in order."""

    gain: float
    operations: tuple[torch.nn.Module, ...] = ()


@dataclass(frozen=True)
class Ways:
    """The ways of a group.

    Attributes:
        by_place: of each producer to the places it is visible in; several where paths lie upon each other.
        gain: the largest factor of any way; those above are relative to it.
        resting: the value that a new channel has in each place while its weights are zero.
        kinks: whether some activation leaves the resting value with another slope to the right than to the left.
        bends: whether new channels of the opposite sign do not just arrive with the opposite sign.
    """

    by_place: Mapping[GrowingLayer, Mapping[GroupPlace, tuple[Way, ...]]]
    gain: float
    resting: Mapping[GroupPlace, float]
    kinks: bool
    bends: bool

    def to(self, producer: GrowingLayer, place: GroupPlace) -> tuple[Way, ...]:
        """The ways of a producer to a place, none where it cannot be seen there."""
        return self.by_place[producer].get(place, ())


def ways_of(group: LayerGroup[GrowingLayer]) -> Ways:
    """The ways of a group, with slopes measured on its functions."""
    tangents: dict[tuple[GroupPlace, int], Tangent] = {}
    kinks = bends = False

    def rest(place: GroupPlace, resting: float) -> float:
        nonlocal kinks, bends
        for index, operation in enumerate(operations_of(group.module(place).extension_function)):
            adapter = operation_adapter(operation)
            tangents[place, index] = tangent = adapter.gain(operation, resting)
            kinks = kinks or tangent.has_kink
            bends = bends or adapter.bends
            resting = tangent.value
        return resting

    resting = group.carried({group.start(p): 0.0 for p in group.producers}, rest, lambda a, b: a + b)

    def follow(place: GroupPlace, ways: tuple[Way, ...]) -> tuple[Way, ...]:
        for index, operation in enumerate(operations_of(group.module(place).extension_function)):
            tangent = tangents[place, index]
            slope = tangent.right if tangent.right != 0.0 else tangent.left
            added = (operation,) if operation_adapter(operation).slides else ()
            ways = tuple(Way(way.gain * slope, way.operations + added) for way in ways)
        return ways

    start: tuple[Way, ...] = (Way(1.0),)
    found = {
        producer: group.carried({group.start(producer): start}, follow, lambda a, b: _joined(a + b))
        for producer in group.producers
    }
    read = group.read_places()
    gains = [abs(way.gain) for places in found.values() for place in read for way in places.get(place, ())]
    largest = max(gains, default=0.0)
    scale = 1.0 / largest if largest else 0.0
    relative = {
        producer: {
            place: tuple(Way(way.gain * scale, way.operations) for way in ways)
            for place, ways in places.items()
        }
        for producer, places in found.items()
    }
    return Ways(relative, largest, resting, kinks, kinks or bends)


def _joined(ways: tuple[Way, ...]) -> tuple[Way, ...]:
    """Ways over the same operations are one way with the sum of their factors."""
    gains: dict[tuple[torch.nn.Module, ...], float] = {}
    for way in ways:
        gains[way.operations] = gains.get(way.operations, 0.0) + way.gain
    return tuple(Way(gain, operations) for operations, gain in gains.items())


def plain_gain(ways: tuple[Way, ...]) -> float | None:
    """The factor of a way that mixes no positions, None where some does."""
    if any(way.operations for way in ways):
        return None
    return sum(way.gain for way in ways)


def arriving(
    producer: GrowingLayer,
    ways: tuple[Way, ...],
    rows: Patches,
    constant: Tensor | None = None,
    *,
    part: slice | None = None,
) -> Tensor:
    """The rows of a producer as they arrive in a place, as an image (n, columns, height, width).

    Args:
        producer: whose rows. ways: to the place. rows: what its layer reads.
        constant: (n,) values that stand for the constant 1 of each sample.
        part: which samples of the stored batch they are, where an operation on the way does not do the same to all.
    """
    maps = patch_matrix(rows, constant=constant)
    sizes = rows.grid if producer.adapter.dimensions == 2 else rows.grid[1:]
    maps = maps.reshape(*maps.shape[:2], *sizes)
    total: Tensor | None = None
    for way in ways:
        values = maps
        for operation in way.operations:
            adapter = operation_adapter(operation)
            here = operation if part is None else adapter.of_samples(operation, part)
            values = adapter.average(here, values)
        values = values * way.gain
        total = values if total is None else total + values
    assert total is not None  # a place without ways is never asked for
    return total if total.dim() == 4 else total[:, :, None, :]
