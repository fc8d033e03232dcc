"""A width group behind attention of several heads, seen by one head at a time.

New features come in units, one for each head, and each head mixes positions in its own way: so the best feature of each
is found for it alone, and the i-th of all heads make a unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import torch

from gromo_graph.graph.width_flow import GroupPlace
from gromo_graph.layers.attention import Mixing, OneHead
from gromo_graph.statistics.capture import ObservedLayer
from gromo_graph.statistics.linearised_paths import Way
from gromo_graph.statistics.measured_group import MeasuredGroup
from gromo_graph.statistics.running_mean import SharedMoment

Layer = TypeVar("Layer", bound=ObservedLayer)


def head_views(group: MeasuredGroup[Layer]) -> tuple[MeasuredGroup[Layer], ...]:
    """The group as each feature of a unit finds it on its way; the group itself where all find the same.

    They have statistics of their own, to be gathered and solved; what is found is put on the group itself.
    """
    heads = [
        operation.attend.heads
        for places in group.ways.by_place.values()
        for ways in places.values()
        for way in ways
        for operation in way.operations
        if isinstance(operation, Mixing)
    ]
    if max(heads, default=1) == 1:
        return (group,)
    return tuple(_view(group, index) for index in range(group.unit))


def _view(group: MeasuredGroup[Layer], index: int) -> MeasuredGroup[Layer]:
    """The group as the features at one place of each unit find it."""

    def seen(ways: Mapping[GroupPlace, tuple[Way, ...]]) -> Mapping[GroupPlace, tuple[Way, ...]]:
        return {place: tuple(_with_head(way, index) for way in each) for place, each in ways.items()}

    found = {producer: seen(places) for producer, places in group.ways.by_place.items()}
    ways = replace(group.ways, by_place=found)
    return replace(group, together=None, known_ways=ways, second_moment=SharedMoment("S of the growth"))


def _with_head(way: Way, index: int) -> Way:
    operations: list[torch.nn.Module] = [
        OneHead(operation, index % operation.attend.heads) if isinstance(operation, Mixing) else operation
        for operation in way.operations
    ]
    return replace(way, operations=tuple(operations))
