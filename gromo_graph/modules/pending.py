"""Pending growth read back from the modules of a group, so that it can be scaled, selected and put there again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gromo_graph.algebra.neuron_weights import FanIn, FanOut, GroupNeurons
from gromo_graph.errors import GrowthError
from gromo_graph.layers.layer_group import repeats_of
from gromo_graph.layers.shape_checks import expect_shape
from gromo_graph.layers.weighted import bias_of, weight_of
from gromo_graph.modules.group_links import growable_links, growing_links
from gromo_graph.modules.layer_module import Group, LayerModule
from gromo_graph.modules.linkable import Linkable


def stands_alone(module: LayerModule) -> bool:
    """True if nothing that growth knows stands before a module, so that its input is up to the caller."""
    return not isinstance(module.previous_module, Linkable)


def pending_group(module: LayerModule) -> Group | None:
    """The group for which the module has pending inputs, or its producers pending outputs; None if there is none.

    Of several groups that the module reads it is the one whose producers have pending outputs.
    """
    groups = [link.group for link in growable_links(module)]
    for group in groups:
        if any(producer.extended_output_layer is not None for producer in group.producers):
            return group
    return groups[0] if groups and module.extended_input_layer is not None else None


def group_of_pending(module: LayerModule) -> Group:
    """The group of `pending_group`, by default the first that can grow.

    Raises:
        GrowthError: none can.
    """
    links = growing_links(module)
    return pending_group(module) or links[0].group


def pending_neurons(module: LayerModule) -> GroupNeurons:
    """The neurons that are pending in the group that a consumer reads (`group_of_pending`).

    Raises:
        GrowthError: a part is missing, or the parts differ in size.
    """
    group = group_of_pending(module)
    fan_in = tuple(_fan_in(producer, module) for producer in group.producers)
    fan_out = tuple(_fan_out(group, consumer, module) for consumer in group.consumers)
    if len({*(len(fan.weight) for fan in fan_in), *(fan.size for fan in fan_out)}) != 1:
        raise mismatch(group, module)
    return _with_solver(module, GroupNeurons(fan_in, fan_out, None, spreads=_spreads(group)))


def pending_inputs(module: LayerModule) -> GroupNeurons:
    """The neurons that are pending on the input of one consumer, without a fan-in.

    Raises:
        GrowthError: there are none.
    """
    group = None if stands_alone(module) else group_of_pending(module)
    fan_out = _fan_out(group, module, module)
    nothing = FanIn(fan_out.weight.new_zeros(fan_out.size, 0), None)
    return _with_solver(module, GroupNeurons((nothing,), (fan_out,), None))


def _with_solver(module: LayerModule, neurons: GroupNeurons) -> GroupNeurons:
    return replace(
        neurons,
        values=module.eigenvalues_extension,
        solver=module.extension_solver or "none",
        decomposition=module.extension_decomposition or "full",
    )


def _spreads(group: Group) -> dict[tuple[int, int], Tensor]:
    """The spreads that the functions of a group were told, as `GroupNeurons.spreads`."""
    return {
        (member, index): spread
        for member, owner in enumerate(group.members)
        for place in group.places[owner]
        for index, spread in owner.passed[place.segment].spreads.items()
    }


def mismatch(group: Group, module: LayerModule) -> GrowthError:
    """The error for halves of different sizes."""
    inputs = ", ".join(f"{c.name} {size_of_inputs(c, group)}" for c in group.consumers)
    outputs = ", ".join(f"{p.name} {size_of_outputs(p)}" for p in group.producers)
    return GrowthError(
        f"{module.name}: the pending inputs ({inputs}) and pending outputs ({outputs}) differ in number: expected as "
        "many neurons everywhere; compute or create them together, or delete_update() what is left of another growth"
    )


def size_of_inputs(consumer: LayerModule, group: Group) -> int:
    """Pending neurons on the input of a consumer."""
    layer = consumer.extended_input_layer
    return (
        0 if layer is None else consumer.adapter.in_neurons(layer) // max(1, sum(repeats_of(group, consumer)))
    )


def size_of_outputs(producer: LayerModule) -> int:
    """Pending neurons on the output of a producer."""
    layer = producer.extended_output_layer
    return 0 if layer is None else producer.adapter.out_neurons(layer)


def _fan_in(producer: LayerModule, module: LayerModule) -> FanIn:
    layer = producer.extended_output_layer
    if layer is None:
        raise GrowthError(
            f"{producer.name}, which {module.name} reads, has no output extension: call "
            f"compute_optimal_added_parameters() or create_layer_extensions() of {module.name} first"
        )
    bias = bias_of(layer)
    return FanIn(weight_of(layer).detach(), None if bias is None else bias.detach())


def _fan_out(group: Group | None, consumer: LayerModule, module: LayerModule) -> FanOut:
    layer = consumer.extended_input_layer
    if layer is None:
        raise GrowthError(
            f"{consumer.name} has no input extension: call compute_optimal_added_parameters() or "
            f"create_layer_extensions() of {module.name} first"
        )
    return FanOut(weight_of(layer).detach(), (1,) if group is None else repeats_of(group, consumer))


@torch.no_grad()
def put(
    group: Group,
    neurons: GroupNeurons,
    *,
    producers: bool = True,
    consumers: Sequence[LayerModule] | None = None,
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
            put_inputs(consumer, fan_out, neurons)
    if producers:
        for producer, fan_in in zip(group.producers, neurons.fan_in, strict=True):
            producer.extended_output_layer = pending_layer(producer, fan_in.weight, fan_in.bias, neurons.size)
        expect_channels(group, neurons.size)
        _give_spreads(group, neurons.spreads)


def put_inputs(consumer: LayerModule, fan_out: FanOut, neurons: GroupNeurons) -> None:
    """Make neurons pending on the input of one consumer."""
    consumer.extended_input_layer = pending_layer(consumer, fan_out.weight, None, neurons.size)
    consumer.eigenvalues_extension = None if neurons.values is None else neurons.values.detach().clone()
    consumer.extension_solver = neurons.solver
    consumer.extension_decomposition = neurons.decomposition
    consumer.extension_applied = False


def pending_layer(
    module: LayerModule, weight: Tensor, bias: Tensor | None, size: int
) -> torch.nn.Module | None:
    """A layer like the module's own with copies of these parameters; None if they are those of no neuron."""
    if size == 0:
        return None
    weight = weight.to(module.weight)
    return module.adapter.layer_of(module.layer, weight, None if bias is None else bias.to(weight))


def expect_channels(group: Group, size: int) -> None:
    """Tell the functions of a group how many new channels are pending in each segment."""
    for place in group.member_places():
        module = group.module(place)
        module.passed[place.segment].expect(size * place.repeat // module.positions)


def _give_spreads(group: Group, spreads: Mapping[tuple[int, int], Tensor]) -> None:
    """Tell the functions how large the channels are; those that ask have a single segment of the group."""
    for (member, index), spread in spreads.items():
        (place,) = group.places[group.members[member]]
        group.module(place).passed[place.segment].spreads[index] = spread


def _check(group: Group, neurons: GroupNeurons) -> None:
    size = neurons.size
    for producer, fan_in in zip(group.producers, neurons.fan_in, strict=True):
        shape = producer.adapter.out_extension_shape(producer.layer, size)
        expect_shape(producer, "alpha", fan_in.weight, shape)
        of_bias = producer.adapter.bias_extension_shape(producer.layer, size)
        if producer.use_bias != (fan_in.bias is not None):
            found = "none" if fan_in.bias is None else "one"
            raise GrowthError(
                f"the new neurons of {producer.name} come with {found} for a bias: expected "
                f"{'one of shape ' + str(of_bias) if producer.use_bias else 'none'}, as the layer has"
            )
        if fan_in.bias is not None:
            expect_shape(producer, "the bias of alpha", fan_in.bias, of_bias)
    for consumer, fan_out in zip(group.consumers, neurons.fan_out, strict=True):
        inputs = size * sum(fan_out.repeats)
        shape = consumer.adapter.in_extension_shape(consumer.layer, inputs)
        expect_shape(consumer, "omega", fan_out.weight, shape)
    if neurons.values is not None:
        expect_shape(group.consumers[0], "eigenvalues", neurons.values, (size,))
