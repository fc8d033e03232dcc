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
from gromo_graph.statistics.linearised_paths import LinearPath
from gromo_graph.statistics.measured_group import MeasuredGroup
from gromo_graph.statistics.running_mean import SharedMoment

Layer = TypeVar("Layer", bound=ObservedLayer)


def head_views(group: MeasuredGroup[Layer]) -> tuple[MeasuredGroup[Layer], ...]:
    """The group as each feature of a unit finds it on its way; the group itself if all find the same.

    They have statistics of their own, to be gathered and solved; what is found is put on the group itself.
    """
    heads = [
        operation.attend.heads
        for places in group.linear_paths.by_place.values()
        for paths in places.values()
        for path in paths
        for operation in path.operations
        if isinstance(operation, Mixing)
    ]
    if max(heads, default=1) == 1:
        return (group,)
    return tuple(_view(group, index) for index in range(group.unit))


def _view(group: MeasuredGroup[Layer], index: int) -> MeasuredGroup[Layer]:
    """The group as the features at one place of each unit find it."""

    def seen(
        paths: Mapping[GroupPlace, tuple[LinearPath, ...]],
    ) -> Mapping[GroupPlace, tuple[LinearPath, ...]]:
        return {place: tuple(_with_head(path, index) for path in each) for place, each in paths.items()}

    found = {producer: seen(places) for producer, places in group.linear_paths.by_place.items()}
    paths = replace(group.linear_paths, by_place=found)
    return replace(group, together=None, known_paths=paths, second_moment=SharedMoment("S of the growth"))


def _with_head(path: LinearPath, index: int) -> LinearPath:
    operations: list[torch.nn.Module] = [
        OneHead(operation, index % operation.attend.heads) if isinstance(operation, Mixing) else operation
        for operation in path.operations
    ]
    return replace(path, operations=tuple(operations))
