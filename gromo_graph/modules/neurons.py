"""New neurons of a group as plain tensors, and as pending growth on its modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gromo_graph.algebra import OptimalExtension
from gromo_graph.errors import GrowthError
from gromo_graph.modules.checks import expect_shape
from gromo_graph.modules.crossing import readings_of
from gromo_graph.modules.growth_moment import spans_of

if TYPE_CHECKING:
    from gromo_graph.graph.width_flow import GroupPlace
    from gromo_graph.modules.group import LinkedGroup
    from gromo_graph.modules.measured import MeasuredModule


@dataclass(frozen=True)
class FanIn:
    """What a producer computes for the new neurons: weight (k, in, ...), bias (k,) or None."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class FanOut:
    """What a consumer makes of the new neurons.

    Attributes:
        weight: of the layer that reads them, (out, inputs, ...), place after place.
        repeats: for each place the inputs that one neuron becomes there.
    """

    weight: Tensor
    repeats: tuple[int, ...]

    def by_place(self) -> list[Tensor]:
        """(out, k, repeat, ...) for each place: views of the weight."""
        size = self.weight.shape[1] // max(1, sum(self.repeats))
        parts = self.weight.split([size * repeat for repeat in self.repeats], dim=1)
        return [part.unflatten(1, (size, repeat)) for part, repeat in zip(parts, self.repeats, strict=True)]

    def of(self, parts: Sequence[Tensor]) -> FanOut:
        """The inverse of `by_place`."""
        return replace(self, weight=torch.cat([part.flatten(1, 2) for part in parts], dim=1))


@dataclass(frozen=True)
class GroupNeurons:
    """New neurons, in the order of the group's producers and consumers.

    Attributes:
        fan_in, fan_out: α and ω.
        values: (k,), λ; None where nothing was solved.
        solver, decomposition: which way they were found.
        spreads: root mean square of the channels at s = 1, by member of the group (producers, then merges) and index
            of the operation in its function, where an operation needs it.
    """

    fan_in: tuple[FanIn, ...]
    fan_out: tuple[FanOut, ...]
    values: Tensor | None
    solver: str = "none"
    decomposition: str = "full"
    spreads: Mapping[tuple[int, int], Tensor] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.fan_in[0].weight.shape[0]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.fan_out[0].weight.device

    def selected(self, order: Tensor, sign: Tensor | None = None) -> GroupNeurons:
        """Some neurons in another order, each times a sign on both sides."""

        def rows(values: Tensor) -> Tensor:
            chosen = values[order]
            return chosen if sign is None else chosen * sign.reshape(-1, *[1] * (chosen.dim() - 1))

        def columns(part: Tensor) -> Tensor:
            chosen = part[:, order]
            return chosen if sign is None else chosen * sign.reshape(1, -1, *[1] * (chosen.dim() - 2))

        return replace(
            self,
            fan_in=tuple(
                FanIn(rows(fan.weight), None if fan.bias is None else rows(fan.bias)) for fan in self.fan_in
            ),
            fan_out=tuple(fan.of([columns(part) for part in fan.by_place()]) for fan in self.fan_out),
            values=None if self.values is None else self.values[order],
            spreads={key: spread[order] for key, spread in self.spreads.items()},
        )

    def scaled(self, fan_in: Tensor | float, fan_out: Tensor | float) -> GroupNeurons:
        """α and ω times a factor, or a factor for each neuron, (k,)."""

        def rows(values: Tensor, factor: Tensor | float) -> Tensor:
            if isinstance(factor, Tensor) and factor.dim():
                factor = factor.reshape(-1, *[1] * (values.dim() - 1))
            return values * factor

        def columns(part: Tensor) -> Tensor:
            return rows(part.transpose(0, 1), fan_out).transpose(0, 1)

        return replace(
            self,
            fan_in=tuple(
                FanIn(rows(fan.weight, fan_in), None if fan.bias is None else rows(fan.bias, fan_in))
                for fan in self.fan_in
            ),
            fan_out=tuple(fan.of([columns(part) for part in fan.by_place()]) for fan in self.fan_out),
            spreads={key: spread * fan_in for key, spread in self.spreads.items()},
        )


def united(
    union: LinkedGroup, groups: Sequence[LinkedGroup], neurons: Sequence[GroupNeurons]
) -> GroupNeurons:
    """The neurons of several groups as those of all of them together, the i-th of each as one.

    Args:
        union: the modules of all groups. groups, neurons: equally many of each.
    """
    fan_in: dict[MeasuredModule, FanIn] = {}
    by_place: dict[tuple[MeasuredModule, GroupPlace], Tensor] = {}
    spreads: dict[tuple[int, int], Tensor] = {}
    index_of = {module: index for index, module in enumerate(union.members)}
    for group, found in zip(groups, neurons, strict=True):
        fan_in |= dict(zip(group.producers, found.fan_in, strict=True))
        for (consumer, places), fan_out in zip(group.reads.items(), found.fan_out, strict=True):
            by_place |= {
                (consumer, place): part for place, part in zip(places, fan_out.by_place(), strict=True)
            }
        spreads |= {(index_of[group.members[i]], at): value for (i, at), value in found.spreads.items()}
    fan_outs = []
    for consumer, places in union.reads.items():
        parts = [by_place[consumer, place].flatten(1, 2) for place in places]
        fan_outs.append(FanOut(torch.cat(parts, dim=1), repeats_of(union, consumer)))
    values = [found.values for found in neurons]
    squares = [value.square() for value in values if value is not None]
    return GroupNeurons(
        tuple(fan_in[producer] for producer in union.producers),
        tuple(fan_outs),
        torch.stack(squares).sum(dim=0).sqrt() if len(squares) == len(values) else None,
        neurons[0].solver,
        neurons[0].decomposition,
        spreads,
    )


def taking_turns(parts: Sequence[GroupNeurons]) -> GroupNeurons:
    """Neurons that were found for each place of a unit alone: the i-th of all are neighbours; as many as all have."""
    count, first = min(part.size for part in parts), parts[0]

    def rows(values: Sequence[Tensor]) -> Tensor:
        return torch.stack([value[:count] for value in values], dim=1).flatten(0, 1)

    fan_in = []
    for sides in zip(*(part.fan_in for part in parts), strict=True):
        biases = [side.bias for side in sides if side.bias is not None]
        fan_in.append(FanIn(rows([side.weight for side in sides]), rows(biases) if biases else None))
    fan_out = []
    for outs in zip(*(part.fan_out for part in parts), strict=True):
        places = zip(*(out.by_place() for out in outs), strict=True)
        fan_out.append(
            outs[0].of([rows([each.transpose(0, 1) for each in place]).transpose(0, 1) for place in places])
        )
    values = [part.values for part in parts if part.values is not None]
    return replace(
        first,
        fan_in=tuple(fan_in),
        fan_out=tuple(fan_out),
        values=rows(values) if len(values) == len(parts) else None,
        spreads={key: rows([part.spreads[key] for part in parts]) for key in first.spreads},
    )


def split(group: LinkedGroup, found: OptimalExtension, columns: Tensor) -> GroupNeurons:
    """The neurons of a solved problem, part by part.

    Args:
        group: whose problem it was.
        found: α over the kept columns, ω over the outputs of all consumers side by side.
        columns: which columns were kept; the others are 0.
    """
    spans = spans_of(group)
    size = found.singular_values.shape[0]
    alpha = found.alpha.new_zeros(size, spans[group.producers[-1]].stop)
    alpha[:, columns] = found.alpha
    outputs = [consumer.out_neurons for consumer in group.consumers]
    readings = [
        [readings_of(consumer, group, place) for place in places] for consumer, places in group.reads.items()
    ]
    omegas = found.omega.split([out * sum(each) for out, each in zip(outputs, readings, strict=True)])
    fan_in = []
    for producer in group.producers:
        weight, bias = producer.adapter.weight_and_bias(producer.layer, alpha[:, spans[producer]])
        kind = producer.weight.dtype
        fan_in.append(FanIn(weight.to(kind), None if bias is None else bias.to(kind)))
    fan_out = []
    for consumer, omega, each in zip(group.consumers, omegas, readings, strict=True):
        kernel = group.kernel_of(consumer)
        out = consumer.out_neurons
        parts = [
            consumer.adapter.fan_out_weight(consumer.layer, part.reshape(out, reading, size), kernel)
            for part, reading in zip(omega.split([out * reading for reading in each]), each, strict=True)
        ]
        weight = torch.cat(parts, dim=1).to(consumer.weight.dtype)
        fan_out.append(FanOut(weight, repeats_of(group, consumer)))
    return GroupNeurons(
        tuple(fan_in),
        tuple(fan_out),
        found.singular_values.to(group.producers[0].weight.dtype),
        found.solver,
        found.decomposition,
    )


def repeats_of(group: LinkedGroup, consumer: MeasuredModule) -> tuple[int, ...]:
    """For each place that a consumer reads the inputs one neuron becomes."""
    return tuple(place.repeat for place in group.reads[consumer])


@torch.no_grad()
def put(
    group: LinkedGroup,
    neurons: GroupNeurons,
    *,
    producers: bool = True,
    consumers: Sequence[MeasuredModule] | None = None,
) -> None:
    """Make neurons pending on the modules of a group, after everything about them has been checked.

    Args:
        group, neurons: which neurons of what.
        producers: whether the producers take their part. consumers: those that take theirs; None is all.
    """
    chosen = group.consumers if consumers is None else consumers
    _check(group, neurons)
    for consumer, fan_out in zip(group.consumers, neurons.fan_out, strict=True):
        if consumer in chosen:
            values = neurons.values
            consumer.extended_input_layer = pending_layer(consumer, fan_out.weight, None, neurons.size)
            consumer.eigenvalues_extension = None if values is None else values.detach().clone()
            consumer.extension_solver = neurons.solver
            consumer.extension_decomposition = neurons.decomposition
            consumer.extension_applied = False
    if producers:
        for producer, fan_in in zip(group.producers, neurons.fan_in, strict=True):
            producer.extended_output_layer = pending_layer(producer, fan_in.weight, fan_in.bias, neurons.size)
        expect_channels(group, neurons.size)
        _give_spreads(group, neurons.spreads)


def pending_layer(
    module: MeasuredModule, weight: Tensor, bias: Tensor | None, size: int
) -> torch.nn.Module | None:
    """A layer like the module's own with copies of these parameters; None where they are those of no neuron."""
    if size == 0:
        return None
    weight = weight.to(module.weight)
    return module.adapter.layer_of(module.layer, weight, None if bias is None else bias.to(weight))


def expect_channels(group: LinkedGroup, size: int) -> None:
    """Tell the functions of a group how many new channels are pending in each segment."""
    for place in group.member_places():
        module = group.module(place)
        module.passed[place.segment].expect(size * place.repeat // module.positions)


def _give_spreads(group: LinkedGroup, spreads: Mapping[tuple[int, int], Tensor]) -> None:
    """Tell the functions how large the channels are; those that ask have a single segment of the group."""
    for (member, index), spread in spreads.items():
        (place,) = group.places[group.members[member]]
        group.module(place).passed[place.segment].spreads[index] = spread


def _check(group: LinkedGroup, neurons: GroupNeurons) -> None:
    size = neurons.size
    for producer, fan_in in zip(group.producers, neurons.fan_in, strict=True):
        shape = producer.adapter.out_extension_shape(producer.layer, size)
        expect_shape(producer, "alpha", fan_in.weight, shape)
        if producer.use_bias != (fan_in.bias is not None):
            found = "none" if fan_in.bias is None else "one"
            raise GrowthError(
                f"the new neurons of {producer.name} come with {found} for a bias: expected "
                f"{'one of shape ' + str((size,)) if producer.use_bias else 'none'}, as the layer has"
            )
        if fan_in.bias is not None:
            expect_shape(producer, "the bias of alpha", fan_in.bias, (size,))
    for consumer, fan_out in zip(group.consumers, neurons.fan_out, strict=True):
        inputs = size * sum(fan_out.repeats)
        shape = consumer.adapter.in_extension_shape(consumer.layer, inputs)
        expect_shape(consumer, "omega", fan_out.weight, shape)
    if neurons.values is not None:
        expect_shape(group.consumers[0], "eigenvalues", neurons.values, (size,))
