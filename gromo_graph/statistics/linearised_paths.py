"""Linearised paths from a producer to a place: they stand in for the functions on the way while sums are taken.

New neurons are found from sums of products, and these pass only linear functions. So each activation is replaced by its
slope at the value where a new channel rests while its weights are zero, a max pool by the mean, and a norm by the
identity. The exact slope, which is measured afterwards, sees the functions themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from gromo_graph.algebra import AxisMaps, Patches, Tangent, patch_matrix, resampled_rows
from gromo_graph.graph.width_flow import GroupPlace
from gromo_graph.layers import operation_adapter, operations_of
from gromo_graph.layers.growing import GrowingLayer
from gromo_graph.layers.layer_group import LayerGroup
from gromo_graph.layers.product import resting_factors

Operations = tuple[torch.nn.Module, ...]


@dataclass(frozen=True)
class LinearPath:
    """One path: a factor, and the operations on it that mix positions, in order."""

    gain: float
    operations: Operations = ()

    @property
    def separable(self) -> bool:
        """True if the operations are one matrix along each axis."""
        return all(operation_adapter(operation).separable for operation in self.operations)


@dataclass(frozen=True)
class LinearPaths:
    """The paths of a group.

    Attributes:
        by_place: for each producer the paths to each place that it reaches; several if they meet in a sum.
        gain: the largest factor of any path; the factors of the paths are relative to it.
        resting: the value of a new channel at each place while its weights are zero.
        kinks: whether the slope of some activation jumps at the resting value.
        odd: whether a new channel with the opposite sign arrives with the opposite sign.
    """

    by_place: Mapping[GrowingLayer, Mapping[GroupPlace, tuple[LinearPath, ...]]]
    gain: float
    resting: Mapping[GroupPlace, float]
    kinks: bool
    odd: bool

    def to(self, producer: GrowingLayer, place: GroupPlace) -> tuple[LinearPath, ...]:
        """The paths of a producer to a place, none if it does not reach it."""
        return self.by_place[producer].get(place, ())


def linear_paths_of(group: LayerGroup[GrowingLayer]) -> LinearPaths:
    """The paths of a group, with the slopes of its functions measured.

    Raises:
        GrowthError: a function on the way has no slope.
    """
    tangents: dict[tuple[GroupPlace, int], Tangent] = {}

    def rest(place: GroupPlace, resting: float) -> float:
        for index, operation in enumerate(_operations(group, place)):
            tangents[place, index] = tangent = operation_adapter(operation).gain(operation, resting)
            resting = tangent.value
        return resting

    def follow(place: GroupPlace, paths: tuple[LinearPath, ...]) -> tuple[LinearPath, ...]:
        for index, operation in enumerate(_operations(group, place)):
            tangent = tangents[place, index]
            slope = tangent.right if tangent.right != 0.0 else tangent.left
            mixing = (operation,) if operation_adapter(operation).slides else ()
            paths = tuple(LinearPath(path.gain * slope, path.operations + mixing) for path in paths)
        return paths

    def multiplied(
        found: Mapping[GroupPlace, tuple[LinearPath, ...]], sources: Sequence[GroupPlace]
    ) -> tuple[LinearPath, ...]:
        slopes = zip(sources, resting_factors([resting[source] for source in sources]), strict=True)
        return _joined(
            tuple(
                path for source, slope in slopes if source in found for path in _scaled(found[source], slope)
            )
        )

    resting = group.carried(
        {group.start(p): 0.0 for p in group.producers},
        rest,
        lambda a, b: a + b,
        lambda found, sources: prod(found.values()),
    )
    start: tuple[LinearPath, ...] = (LinearPath(1.0),)
    found = {
        producer: group.carried(
            {group.start(producer): start}, follow, lambda a, b: _joined(a + b), multiplied
        )
        for producer in group.producers
    }
    largest = _largest_gain(found.values(), group.read_places())
    scale = 1.0 / largest if largest else 0.0
    relative = {
        producer: {place: _scaled(paths, scale) for place, paths in places.items()}
        for producer, places in found.items()
    }
    kinks = any(tangent.has_kink for tangent in tangents.values())
    bends = any(
        operation_adapter(operation).bends
        for place in group.layout.flow
        for operation in _operations(group, place)
    )
    return LinearPaths(relative, largest, resting, kinks, odd=not (kinks or bends))


def _operations(group: LayerGroup[GrowingLayer], place: GroupPlace) -> Iterator[torch.nn.Module]:
    """The operations that new channels pass behind the module of a place."""
    return operations_of(group.module(place).extension_function)


def _joined(paths: tuple[LinearPath, ...]) -> tuple[LinearPath, ...]:
    """Paths over the same operations as one path with the sum of their factors."""
    gains: dict[Operations, float] = {}
    for path in paths:
        gains[path.operations] = gains.get(path.operations, 0.0) + path.gain
    return tuple(LinearPath(gain, operations) for operations, gain in gains.items())


def _scaled(paths: tuple[LinearPath, ...], scale: float) -> tuple[LinearPath, ...]:
    """Paths with other factors; what passes with a factor of 0 is no path."""
    return tuple(LinearPath(path.gain * scale, path.operations) for path in paths if path.gain * scale != 0.0)


def _largest_gain(
    found: Iterable[Mapping[GroupPlace, tuple[LinearPath, ...]]], read: Iterable[GroupPlace]
) -> float:
    """The largest factor of a path to a place that is read; 0 without any."""
    wanted = set(read)
    gains = (
        abs(path.gain)
        for places in found
        for place, paths in places.items()
        if place in wanted
        for path in paths
    )
    return max(gains, default=0.0)


def plain_gain(paths: tuple[LinearPath, ...]) -> float | None:
    """The factor of paths that mix no positions, None if one does."""
    if any(path.operations for path in paths):
        return None
    return sum(path.gain for path in paths)


def arriving(
    producer: GrowingLayer,
    paths: tuple[LinearPath, ...],
    rows: Patches,
    constant: Tensor | None = None,
    *,
    part: slice | None = None,
) -> Tensor:
    """The rows of a producer as they arrive in a place, as an image (n, columns, height, width).

    Args:
        producer: whose rows. paths: to the place. rows: what its layer reads.
        constant: (n,) values that stand for the constant 1 of each sample.
        part: which samples of the stored batch they are, if an operation on the path does not do the same to all.
    """
    sizes = rows.grid if producer.adapter.dimensions == 2 else rows.grid[1:]
    found: list[Tensor] = []
    if all(path.separable for path in paths):
        for path in paths:
            maps = _axis_maps(path.operations, rows.image, sizes)
            found.append(path.gain * resampled_rows(rows, maps, constant))
    else:
        written = patch_matrix(rows, constant=constant).unflatten(2, sizes)
        found += [path.gain * _passed(path.operations, written, part) for path in paths]
    total = sum(found[1:], found[0])
    return total if total.dim() == 4 else total[:, :, None, :]


def _passed(operations: Operations, values: Tensor, part: slice | None = None) -> Tensor:
    """Values behind the operations of a path, (n, channels, ...)."""
    for operation in operations:
        adapter = operation_adapter(operation)
        here = operation if part is None else adapter.of_samples(operation, part)
        values = adapter.average(here, values)
    return values


def _axis_maps(operations: Operations, like: Tensor, sizes: Sequence[int]) -> AxisMaps:
    """The matrices of separable operations, from what they make of one row, or one column, of ones after the other.

    Of row r that is (column r of the height's matrix) ⊗ (row sums of the width's matrix).

    Args:
        sizes: of the image that enters, one or two.
    """
    if len(sizes) == 1:
        (length,) = sizes
        passed = _passed(operations, torch.eye(length).to(like)[:, None])
        return AxisMaps(like.new_ones(1, 1), passed[:, 0].T)
    height, width = sizes
    rows = _passed(operations, torch.eye(height).to(like)[:, None, :, None].expand(-1, 1, -1, width))[:, 0]
    columns = _passed(operations, torch.eye(width).to(like)[:, None, None, :].expand(-1, 1, height, -1))[:, 0]
    whole = rows.sum(dim=0)
    i, j = divmod(int(whole.argmax()), whole.shape[1])
    return AxisMaps(rows[:, :, j].T / whole[i, j], columns[:, i, :].T)
