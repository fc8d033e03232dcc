"""New channels of a group forwarded from its producers to its consumers, on data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor

from gromo_graph.algebra.neuron_weights import GroupNeurons
from gromo_graph.graph.width_flow import GroupPlace
from gromo_graph.layers import operation_adapter, operations_of
from gromo_graph.layers.channel_propagation import Moments, PassedChannels, pass_new, pass_tangent
from gromo_graph.layers.growing import FeatureModule
from gromo_graph.layers.operation import Channels
from gromo_graph.layers.product import product_of_channels, same_rank
from gromo_graph.statistics.measured_group import ObservedGroup


def given(group: ObservedGroup, neurons: GroupNeurons) -> dict[GroupPlace, Tensor]:
    """The outputs of new neurons for the stored inputs of the producers, by the places where they begin."""
    found = {}
    for producer, fan_in in zip(group.producers, neurons.fan_in, strict=True):
        layer = producer.adapter.layer_of(producer.layer, fan_in.weight, fan_in.bias)
        found[group.start(producer)] = layer(producer.input)
    return found


def tangents(
    group: ObservedGroup,
    starts: Mapping[GroupPlace, Tensor],
    spreads: dict[tuple[GroupPlace, int], Moments] | None = None,
) -> dict[GroupPlace, Channels]:
    """Values of new channels at each place at first order in the scaling factor.

    Args:
        group: which group. starts: what its producers compute at scaling factor 1.
        spreads: takes the moments of the channels, by place and index of the operation, if an operation needs them.

    Raises:
        GrowthError: a function on the way has no slope.
    """

    def through(place: GroupPlace, channels: Channels) -> Channels:
        found: dict[int, Moments] = {}
        function = group.module(place).extension_function
        channels = pass_tangent(function, channels, None if spreads is None else found)
        if spreads is not None:
            spreads.update({(place, index): moments for index, moments in found.items()})
        return channels

    def add(a: Channels, b: Channels) -> Channels:
        return Channels(a.values + b.values, a.resting + b.resting)

    return group.carried(
        {p: Channels(values) for p, values in starts.items()},
        through,
        add,
        lambda found, sources: product_of_channels(list(found.values())),
    )


def flow(group: ObservedGroup, starts: Mapping[GroupPlace, Tensor]) -> dict[GroupPlace, Tensor]:
    """Values of new channels at each place as it is, at the scaling factor that the starts have.

    Raises:
        GrowthError: a function on the way needs the old channels too.
    """

    def through(place: GroupPlace, new: Tensor) -> Tensor:
        module = group.module(place)
        return pass_new(module.function, module.extension_function, new, module.passed[place.segment])

    return group.carried(dict(starts), through, torch.add, _multiplied)


@torch.no_grad()
def at_scale_one(
    group: ObservedGroup, neurons: GroupNeurons, starts: Mapping[GroupPlace, Tensor]
) -> dict[GroupPlace, Tensor]:
    """Values of new channels at each place of channels as large as the starts; pending growth does not matter."""

    def through(place: GroupPlace, new: Tensor) -> Tensor:
        module = group.module(place)
        passed = PassedChannels(factor=1.0, spreads=spreads_at(group, neurons, module))
        return pass_new(module.function, module.extension_function, new, passed)

    return group.carried(dict(starts), through, torch.add, _multiplied)


def _multiplied(found: Mapping[GroupPlace, Tensor], sources: Sequence[GroupPlace]) -> Tensor:
    return reduce(torch.mul, same_rank(list(found.values())))


def spreads_at(group: ObservedGroup, neurons: GroupNeurons, module: FeatureModule) -> dict[int, Tensor]:
    """The spreads of neurons at the operations of one module of the group."""
    own = group.members.index(module)
    return {index: value for (member, index), value in neurons.spreads.items() if member == own}


@torch.no_grad()
def measured_spreads(group: ObservedGroup, neurons: GroupNeurons) -> dict[tuple[int, int], Tensor]:
    """Root mean squares of new channels at scaling factor 1, from the stored inputs; as `GroupNeurons.spreads`."""
    moments: dict[tuple[GroupPlace, int], Moments] = {}
    tangents(group, given(group, neurons), moments)
    return spreads_of(group, moments)


def spreads_of(
    group: ObservedGroup, moments: Mapping[tuple[GroupPlace, int], Moments]
) -> dict[tuple[int, int], Tensor]:
    """Root mean square of the channels of each group of a norm, once for each channel."""
    indices = {module: index for index, module in enumerate(group.members)}
    found = {}
    for (place, index), moment in moments.items():
        operation = list(operations_of(group.module(place).extension_function))[index]
        unit = operation_adapter(operation).unit(operation)
        assert moment.squares is not None
        squares = (moment.squares / moment.count).unflatten(0, (-1, unit))
        found[indices[group.module(place)], index] = (
            squares.mean(dim=1, keepdim=True).expand_as(squares).flatten().sqrt()
        )
    return found
