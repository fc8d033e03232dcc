"""From a producer to a slot: what stands in for the functions on the way while sums are taken.

New neurons are found from sums of products, and for those the way must be linear: each activation is its slope at the
value a new channel rests at, a max pool is the mean, a norm passes. Whatever that misses, the exact slope measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gromo_graph.algebra import Patches, Tangent, patch_matrix
from gromo_graph.layers import operation_adapter, operations_of

if TYPE_CHECKING:
    from gromo_graph.modules.group import LinkedGroup, Slot
    from gromo_graph.modules.measured import MeasuredModule


@dataclass(frozen=True)
class Way:
    """One path: a factor, and the operations that mix positions, in order."""

    gain: float
    operations: tuple[torch.nn.Module, ...] = ()


@dataclass(frozen=True)
class Ways:
    """The ways of a group.

    Attributes:
        by_slot: of each producer to the slots it is visible in; several where paths lie upon each other.
        gain: the largest factor of any way; those above are relative to it.
        resting: the value that a new channel has in each slot while its weights are zero.
        kinks: whether some activation leaves the resting value with another slope to the right than to the left.
        bends: whether new channels of the opposite sign do not just arrive with the opposite sign.
    """

    by_slot: Mapping[MeasuredModule, Mapping[Slot, tuple[Way, ...]]]
    gain: float
    resting: Mapping[Slot, float]
    kinks: bool
    bends: bool

    def to(self, producer: MeasuredModule, slot: Slot) -> tuple[Way, ...]:
        """The ways of a producer to a slot, none where it cannot be seen there."""
        return self.by_slot[producer].get(slot, ())


def ways_of(group: LinkedGroup) -> Ways:
    """The ways of a group, with slopes measured on its functions."""
    tangents: dict[tuple[Slot, int], Tangent] = {}
    kinks = bends = False

    def rest(slot: Slot, resting: float) -> float:
        nonlocal kinks, bends
        for place, operation in enumerate(operations_of(slot.module.extension_function)):
            adapter = operation_adapter(operation)
            tangents[slot, place] = tangent = adapter.gain(operation, resting)
            kinks = kinks or tangent.has_kink
            bends = bends or adapter.bends
            resting = tangent.value
        return resting

    resting = group.carried(dict.fromkeys(group.producers, 0.0), rest, lambda a, b: a + b)

    def follow(slot: Slot, ways: tuple[Way, ...]) -> tuple[Way, ...]:
        for place, operation in enumerate(operations_of(slot.module.extension_function)):
            tangent = tangents[slot, place]
            slope = tangent.right if tangent.right != 0.0 else tangent.left
            added = (operation,) if operation_adapter(operation).slides else ()
            ways = tuple(Way(way.gain * slope, way.operations + added) for way in ways)
        return ways

    start: tuple[Way, ...] = (Way(1.0),)
    found = {
        producer: group.carried({producer: start}, follow, lambda a, b: _joined(a + b))
        for producer in group.producers
    }
    read = group.read_slots()
    gains = [abs(way.gain) for slots in found.values() for slot in read for way in slots.get(slot, ())]
    largest = max(gains, default=0.0)
    scale = 1.0 / largest if largest else 0.0
    relative = {
        producer: {
            slot: tuple(Way(way.gain * scale, way.operations) for way in ways) for slot, ways in slots.items()
        }
        for producer, slots in found.items()
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
    producer: MeasuredModule,
    ways: tuple[Way, ...],
    rows: Patches,
    constant: Tensor | None = None,
    *,
    part: slice | None = None,
) -> Tensor:
    """The rows of a producer as they arrive in a slot, as an image (n, columns, height, width).

    Args:
        producer: whose rows. ways: to the slot. rows: what its layer reads.
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
    assert total is not None  # a slot without ways is never asked for
    return total if total.dim() == 4 else total[:, :, None, :]
