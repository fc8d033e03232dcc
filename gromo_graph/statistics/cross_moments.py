"""Cross moments of a consumer with the producers of its group: M_prev with its gradient, C with its input.

A consumer reads a new channel several times: a convolution through each tap of its kernel, a linear layer behind a
flatten at each position. Column (o, t) of M_prev belongs to output o and reading t; place after place, producers below
each other.

For linear consumers everything is summed against the producer's raw input and spread to its rows afterwards: spreading
is linear, and the sums of raw inputs are smaller. Where it is another for each sample (attention) the rows are written
down as they arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gromo_graph.algebra import (
    AxisWeights,
    Moment,
    Patches,
    Product,
    View,
    cross_moment,
    padded_rows,
    patch_cross_moments,
    patch_matrix,
    spread_out,
    value_of,
    with_constant,
)
from gromo_graph.graph.width_flow import GroupPlace
from gromo_graph.spec.kinds.window import Axis
from gromo_graph.statistics.capture import ObservedLayer, stored_input, stored_rows
from gromo_graph.statistics.linearised_paths import LinearPath, arriving, plain_gain
from gromo_graph.statistics.measured_group import ObservedGroup
from gromo_graph.statistics.side_by_side import column_gains, side_by_side

# Values of rows written down at a time if positions are mixed on the way.
_WRITTEN = {"cpu": 1 << 23, "cuda": 1 << 27}


@dataclass(frozen=True)
class Window:
    """The way in which a convolution reads new channels.

    Attributes:
        axes: its kernel along height and width.
        taps: those that new channels are read through.
    """

    axes: tuple[Axis, Axis]
    taps: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def stride(self) -> tuple[int, int]:
        """Positions between two outputs."""
        return self.axes[0].stride, self.axes[1].stride

    @property
    def spread(self) -> tuple[int, int]:
        """The distance of the positions that are read, once they are spread out."""
        return self.axes[0].spread, self.axes[1].spread

    @property
    def readings(self) -> int:
        """The number of times that a channel is read."""
        return len(self.taps[0]) * len(self.taps[1])

    def back(self, weights: AxisWeights) -> View:
        """The output that reads each position, for each tap.

        Output r reads position p where stride · r + offset = spread · p: what belongs to the outputs stands at
        spread · p − offset, once it is spread out by the stride.

        Args:
            weights: how often each position counts.
        """
        height, width = (
            tuple(-axis.offsets[tap] for tap in taps) for axis, taps in zip(self.axes, self.taps, strict=True)
        )
        return View((height, width), weights, self.spread)

    def pairs(self) -> Iterator[tuple[int, int]]:
        """The taps along height and width, in the order of a weight."""
        return ((i, j) for i in self.taps[0] for j in self.taps[1])


def window_of(consumer: ObservedLayer, group: ObservedGroup) -> Window | None:
    """The way in which a consumer reads the new channels of a group, None for one that reads rows of features."""
    axes = consumer.adapter.axes(consumer.layer)
    if axes is None:
        return None
    if group.kernel_of(consumer) == "centre":
        return Window(axes, ((axes[0].centre,), (axes[1].centre,)))
    return Window(axes, (tuple(range(axes[0].kernel)), tuple(range(axes[1].kernel))))


def readings_of(consumer: ObservedLayer, group: ObservedGroup, place: GroupPlace) -> int:
    """The number of times that a consumer reads one new channel in a place."""
    window = window_of(consumer, group)
    return place.repeat if window is None else window.readings


def m_prev_of_batch(consumer: ObservedLayer, group: ObservedGroup, gradient: Tensor) -> Moment:
    """Σ b₋₂ gᵀ of the stored batch, (columns of all producers, readings of all places · out)."""
    image = consumer.adapter.output_image(consumer.layer, gradient)
    window = window_of(consumer, group)
    together = None if window is not None else side_by_side(group)
    if together is not None:
        moment = Product(together.rows, padded_rows(image[:, :, 0, 0])).value()
        return _in_slots(consumer, group, moment, together.gains)
    if window is None and group.sees_samples:
        rows = image[:, :, 0, 0]
        return _stacked(
            group, consumer, lambda p, place: _written(group, p, place, rows).transpose(1, 2).flatten(1)
        )
    if window is None:
        return _stacked(
            group, consumer, lambda producer, place: _m_prev_of_rows(group, producer, place, image)
        )
    view = window.back(_everywhere(consumer))
    pulled = spread_out(image, window.stride)

    def block(producer: ObservedLayer, place: GroupPlace) -> Moment:
        return _through_window(group, producer, place, pulled, [view])[0]

    return _stacked(group, consumer, block)


def _in_slots(consumer: ObservedLayer, group: ObservedGroup, moment: Tensor, gains: Tensor) -> Tensor:
    """Sums of all producers' rows as they arrive in each place that a consumer reads, places side by side."""
    read = group.read_places()
    at = [read.index(place) for place in group.reads[consumer]]
    parts = [moment * gains[:, index : index + 1] for index in at]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _stacked(
    group: ObservedGroup, consumer: ObservedLayer, block: Callable[[ObservedLayer, GroupPlace], Moment]
) -> Moment:
    """Stack the blocks of producers below each other, those of places side by side."""
    rows = [
        joined([block(producer, place) for place in group.reads[consumer]], dim=1)
        for producer in group.producers
    ]
    return joined(rows, dim=0)


def joined(parts: list[Moment], *, dim: int) -> Moment:
    """Concatenate parts; a single one stays as it is, neither copied nor multiplied out."""
    return parts[0] if len(parts) == 1 else torch.cat([value_of(part) for part in parts], dim=dim)


def _m_prev_of_rows(
    group: ObservedGroup, producer: ObservedLayer, place: GroupPlace, image: Tensor
) -> Moment:
    paths = group.linear_paths.to(producer, place)
    if not paths:
        return image.new_zeros(producer.adapter.columns(producer.layer), image.shape[1] * place.repeat)
    rows, gradient = stored_rows(producer), image[:, :, 0, 0]
    if rows.is_matrix and plain_gain(paths) == 1.0:
        return Product(rows.rows, padded_rows(gradient))
    return spread_to_rows(producer, paths, rows, cross_moment(raw_values(rows), gradient)).flatten(1)


def _through_window(
    group: ObservedGroup, producer: ObservedLayer, place: GroupPlace, image: Tensor, views: Sequence[View]
) -> list[Tensor]:
    """Products of a producer's rows in a place with readings of an image, (columns, columns of the view) each."""
    paths = group.linear_paths.to(producer, place)
    rows = stored_rows(producer)
    if not paths:
        return [image.new_zeros(rows.columns, image.shape[1] * view.taps + view.constant) for view in views]
    gain = plain_gain(paths)
    if gain is not None:
        moments = patch_cross_moments(rows, image, views)
        return moments if gain == 1.0 else [moment * gain for moment in moments]
    totals: list[Tensor] = []
    for part in portions(rows):
        arrived = arriving(producer, paths, rows.of(rows.image[part]), part=part)
        written = Patches(arrived, grid=_grid(views[0]))
        moments = patch_cross_moments(written, image[part], views)
        totals = [a + b for a, b in zip(totals, moments, strict=True)] if totals else moments
    return totals


def _written(group: ObservedGroup, producer: ObservedLayer, place: GroupPlace, values: Tensor) -> Tensor:
    """Products of a producer's rows at each position of a place with values (n, q), (columns, positions, q)."""
    paths, rows = group.linear_paths.to(producer, place), stored_rows(producer)
    total = values.new_zeros(rows.columns, place.repeat, values.shape[1])
    if paths:
        for part in portions(rows):
            arrived = arriving(producer, paths, rows.of(rows.image[part]), part=part).flatten(2)
            total += torch.einsum("ncp,nq->cpq", arrived, values[part].to(arrived))
    return total


def portions(rows: Patches) -> Iterator[slice]:
    """Samples in portions, so that their rows can be written down without filling the memory."""
    n, values = rows.image.shape[0], rows.columns * rows.grid[0] * rows.grid[1]
    budget = _WRITTEN.get(rows.image.device.type, _WRITTEN["cuda"])
    size = max(1, budget // max(1, values))
    return (slice(start, start + size) for start in range(0, n, size))


def _grid(view: View) -> tuple[int, int]:
    return len(view.weights[0]), len(view.weights[1])


def _everywhere(consumer: ObservedLayer) -> AxisWeights:
    """Each position of what a convolution reads once."""
    height, width = _sizes(consumer)
    return (1.0,) * height, (1.0,) * width


def _sizes(consumer: ObservedLayer) -> tuple[int, int]:
    """Positions of what a convolution reads."""
    sizes = stored_input(consumer).shape[2:]
    return (sizes[0], sizes[1]) if len(sizes) == 2 else (1, sizes[0])


def cross_of_batch(
    consumer: ObservedLayer, group: ObservedGroup, partners: Sequence[ObservedLayer]
) -> Moment:
    """C of the stored batch: inputs of the producers against inputs of the layers that enter one sum.

    Args:
        consumer, group: as in `m_prev_of_batch`.
        partners: the layers whose columns stand side by side, usually the consumer alone.

    Returns:
        (values of all producers' raw inputs, columns) for a linear consumer whose producers' rows pass the same way in
        each sample, else (columns of all producers, readings of all places, columns).
    """
    window = window_of(consumer, group)
    together = None if window is not None else side_by_side(group)
    if together is not None:
        rows = [stored_rows(partner).rows for partner in partners]
        return joined([Product(together.rows, each) for each in rows], dim=1)
    if window is None and group.sees_samples:
        read = torch.cat([stored_rows(partner).rows.values for partner in partners], dim=1)
        return _stacked(group, consumer, lambda producer, place: _written(group, producer, place, read))
    if window is None:
        return joined(
            [
                joined([_against_rows(producer, partner) for partner in partners], dim=1)
                for producer in group.producers
            ],
            dim=0,
        )
    images = [_image_read(consumer, partner, window) for partner in partners]

    def block(producer: ObservedLayer, place: GroupPlace) -> Moment:
        parts: list[Moment] = [_c_block(group, producer, place, image, window) for image in images]
        return joined(parts, dim=2)

    return _stacked(group, consumer, block)


def _against_rows(producer: ObservedLayer, partner: ObservedLayer) -> Moment:
    """The raw input of a producer against the rows of a linear layer."""
    left, right = stored_rows(producer), stored_rows(partner).rows
    return Product(left.rows, right) if left.is_matrix else cross_moment(raw_values(left), right.values)


def raw_values(rows: Patches) -> Tensor:
    """The input of a layer, sample by sample, with its constant, (n, values)."""
    if rows.is_matrix:
        return rows.rows.values
    values = rows.together.flatten(1)
    return with_constant(values) if rows.constant else values


@dataclass(frozen=True)
class _Read:
    """An image with its readings: one view for each tap, or one view of all taps for each column."""

    image: Tensor
    views: list[View]
    columns: int


def _image_read(consumer: ObservedLayer, partner: ObservedLayer, window: Window) -> _Read:
    rows = stored_rows(partner)
    if partner is not consumer:
        written = patch_matrix(rows).reshape(rows.image.shape[0], rows.columns, *rows.grid)
        view = window.back(_everywhere(consumer))
        return _Read(spread_out(written, window.stride), [view], rows.columns)
    height, width = window.axes
    sizes = _sizes(consumer)
    views = [
        View(
            (_from_tap(height, i), _from_tap(width, j)),
            (height.reached(i, sizes[0]), width.reached(j, sizes[1])),
            window.spread,
            constant=rows.constant,
        )
        for i in window.taps[0]
        for j in window.taps[1]
    ]
    return _Read(rows.image, views, rows.columns)


def _from_tap(axis: Axis, tap: int) -> tuple[int, ...]:
    """Offsets of the positions that a row reads, from the position that it reads through a tap."""
    return tuple(offset - axis.offsets[tap] for offset in axis.offsets)


def _c_block(
    group: ObservedGroup, producer: ObservedLayer, place: GroupPlace, read: _Read, window: Window
) -> Tensor:
    """(columns of the producer, readings, columns of the partner)."""
    moments = _through_window(group, producer, place, read.image, read.views)
    if len(read.views) == window.readings:
        return torch.stack(moments, dim=1)
    (together,) = moments
    by_tap: Tensor = together.unflatten(1, (read.columns, window.readings))
    return by_tap.transpose(1, 2)


def spread_to_rows(
    producer: ObservedLayer, paths: tuple[LinearPath, ...], rows: Patches, moment: Tensor
) -> Tensor:
    """Sums against a producer's raw input as sums against the rows that arrive in a place.

    Args:
        producer, paths: to the place. rows: how the producer reads its input, of whatever samples.
        moment: (values of the raw input, q), with the constant last if the producer has a bias.

    Returns:
        (columns, q, positions of the place).
    """
    gain = plain_gain(paths)
    if rows.is_matrix and gain is not None:
        return (moment if gain == 1.0 else moment * gain)[:, :, None]
    values = moment[:-1] if rows.constant else moment
    image = spread_out(values.T.reshape(-1, *rows.together.shape[1:]), rows.spread)
    arrived = arriving(producer, paths, rows.of(image), moment[-1] if rows.constant else None)
    return arrived.flatten(2).transpose(0, 1)


def projected_part(
    consumer: ObservedLayer,
    group: ObservedGroup,
    read: Mapping[ObservedLayer, Patches],
    cross: Tensor,
    delta: Tensor,
) -> Tensor:
    """C δᵀ shaped like M_prev.

    Args:
        consumer, group: as in `m_prev_of_batch`. read: how each producer reads its input.
        cross: as of `cross_of_batch`. delta: (out, columns) of all partners side by side.
    """
    delta = delta.to(cross)
    window = window_of(consumer, group)
    if window is not None or group.sees_samples:
        places = cross.split([readings_of(consumer, group, place) for place in group.reads[consumer]], dim=1)
        parts: list[Tensor] = [torch.einsum("ptc,oc->pot", place, delta).flatten(1) for place in places]
        return torch.cat(parts, dim=1)
    if (
        len(group.producers) > 1
        and group.gains is not None
        and all(read[p].is_matrix for p in group.producers)
    ):
        return _in_slots(consumer, group, cross @ delta.T, column_gains(group).to(cross))
    sizes = [read[p].together.shape[1:].numel() + read[p].constant for p in group.producers]
    moments: dict[ObservedLayer, Tensor] = dict(
        zip(group.producers, (cross @ delta.T).split(sizes), strict=True)
    )

    def block(producer: ObservedLayer, place: GroupPlace) -> Moment:
        paths, moment = group.linear_paths.to(producer, place), moments[producer]
        if not paths:
            return moment.new_zeros(read[producer].columns, moment.shape[1] * place.repeat)
        return spread_to_rows(producer, paths, read[producer], moment).flatten(1)

    return value_of(_stacked(group, consumer, block))
