"""A width group behind attention of several heads, seen by one head at a time.

New features come in units, one for each head, and each head mixes positions in its own way: so the best feature of each
is found for it alone, and the i-th of all heads make a unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from gromo_graph.layers.attention import Mixing, OneHead
from gromo_graph.modules.statistic import SharedMoment
from gromo_graph.modules.ways import Way

if TYPE_CHECKING:
    from gromo_graph.modules.group import LinkedGroup, Slot


def head_views(group: LinkedGroup) -> tuple[LinkedGroup, ...]:
    """The group as each feature of a unit finds it on its way; the group itself where all find the same.

    They have statistics of their own, to be gathered and solved; what is found is put on the group itself.
    """
    heads = [
        operation.attend.heads
        for slots in group.ways.by_slot.values()
        for ways in slots.values()
        for way in ways
        for operation in way.operations
        if isinstance(operation, Mixing)
    ]
    if max(heads, default=1) == 1:
        return (group,)
    return tuple(_view(group, place) for place in range(group.unit))


def _view(group: LinkedGroup, place: int) -> LinkedGroup:
    """The group as the features at one place of each unit find it."""

    def seen(ways: Mapping[Slot, tuple[Way, ...]]) -> Mapping[Slot, tuple[Way, ...]]:
        return {slot: tuple(_with_head(way, place) for way in each) for slot, each in ways.items()}

    view = replace(group, together=None, second_moment=SharedMoment("S of the growth"))
    found = {producer: seen(slots) for producer, slots in group.ways.by_slot.items()}
    view.__dict__["ways"] = replace(
        group.ways, by_slot=found
    )  # in the place of what it would find out itself
    return view


def _with_head(way: Way, place: int) -> Way:
    operations: list[torch.nn.Module] = [
        OneHead(operation, place % operation.attend.heads) if isinstance(operation, Mixing) else operation
        for operation in way.operations
    ]
    return replace(way, operations=tuple(operations))
