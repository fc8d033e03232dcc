"""Pending growth read back from the modules of a group, so that it can be scaled, selected and put there again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from gromo_graph.errors import GrowthError
from gromo_graph.modules.link import growable_links, growing_links
from gromo_graph.modules.neurons import FanIn, FanOut, GroupNeurons, pending_layer, put, repeats_of

if TYPE_CHECKING:
    from gromo_graph.modules.group import LinkedGroup
    from gromo_graph.modules.measured import MeasuredModule


@dataclass(frozen=True)
class PendingNeurons:
    """Neurons and where they are pending.

    Attributes:
        group: the group. neurons: all of them.
        module: the consumer they were asked of. alone: only its own part is looked at.
    """

    group: LinkedGroup
    neurons: GroupNeurons
    module: MeasuredModule
    alone: bool


def pending_group(module: MeasuredModule) -> LinkedGroup | None:
    """The group for which the module has pending inputs, or its producers pending outputs; None where there is none.

    Of several groups that the module reads it is the one whose producers have pending outputs.
    """
    groups = [link.group for link in growable_links(module)]
    for group in groups:
        if any(producer.extended_output_layer is not None for producer in group.producers):
            return group
    return groups[0] if groups and module.extended_input_layer is not None else None


def pending_neurons(module: MeasuredModule, *, alone: bool = False) -> PendingNeurons:
    """What is pending on the input of a module.

    Args:
        module: a consumer. alone: leave its fellow consumers and the producers aside.

    Raises:
        GrowthError: nothing is, or the parts do not belong together.
    """
    links = growing_links(module)
    group = pending_group(module) or links[0].group
    if alone:
        fan_out = _fan_out(group, module, module)
        size = fan_out.weight.shape[1] // max(1, sum(fan_out.repeats))
        nothing = FanIn(fan_out.weight.new_zeros(size, 0), None)
        neurons = GroupNeurons((nothing,), (fan_out,), module.eigenvalues_extension)
        return PendingNeurons(group, neurons, module, True)
    fan_in = tuple(_fan_in(producer, module) for producer in group.producers)
    fan_outs = tuple(_fan_out(group, consumer, module) for consumer in group.consumers)
    sizes = {fan.weight.shape[0] for fan in fan_in} | {
        fan.weight.shape[1] // max(1, sum(fan.repeats)) for fan in fan_outs
    }
    if len(sizes) != 1:
        raise mismatch(group, module)
    spreads = {
        (member, index): spread
        for member, owner in enumerate(group.members)
        for place in group.places[owner]
        for index, spread in owner.passed[place.segment].spreads.items()
    }
    neurons = GroupNeurons(
        fan_in,
        fan_outs,
        module.eigenvalues_extension,
        module.extension_solver or "none",
        module.extension_decomposition or "full",
        spreads,
    )
    return PendingNeurons(group, neurons, module, False)


def put_back(found: PendingNeurons, neurons: GroupNeurons) -> None:
    """Make the changed neurons pending in place of the old ones."""
    if not found.alone:
        put(found.group, neurons)
        return
    module, fan_out = found.module, neurons.fan_out[0]
    module.extended_input_layer = pending_layer(module, fan_out.weight, None, neurons.size)
    module.eigenvalues_extension = neurons.values


def mismatch(group: LinkedGroup, module: MeasuredModule) -> GrowthError:
    """The error for halves of different sizes."""
    inputs = ", ".join(f"{c.name} {size_of_inputs(c, group)}" for c in group.consumers)
    outputs = ", ".join(f"{p.name} {size_of_outputs(p)}" for p in group.producers)
    return GrowthError(
        f"{module.name}: the pending inputs ({inputs}) and pending outputs ({outputs}) differ in number: expected as "
        "many neurons everywhere; compute or create them together, or delete_update() what is left of another growth"
    )


def size_of_inputs(consumer: MeasuredModule, group: LinkedGroup) -> int:
    """Pending neurons on the input of a consumer."""
    layer = consumer.extended_input_layer
    return (
        0 if layer is None else consumer.adapter.in_neurons(layer) // max(1, sum(repeats_of(group, consumer)))
    )


def size_of_outputs(producer: MeasuredModule) -> int:
    """Pending neurons on the output of a producer."""
    layer = producer.extended_output_layer
    return 0 if layer is None else producer.adapter.out_neurons(layer)


def _fan_in(producer: MeasuredModule, module: MeasuredModule) -> FanIn:
    layer = producer.extended_output_layer
    if layer is None:
        raise GrowthError(
            f"{producer.name}, which {module.name} reads, has no output extension: call "
            f"compute_optimal_added_parameters() or create_layer_extensions() of {module.name} first"
        )
    bias = layer.bias
    return FanIn(_weight(layer), bias.detach() if isinstance(bias, Tensor) else None)


def _fan_out(group: LinkedGroup, consumer: MeasuredModule, module: MeasuredModule) -> FanOut:
    layer = consumer.extended_input_layer
    if layer is None:
        raise GrowthError(
            f"{consumer.name} has no input extension: call compute_optimal_added_parameters() or "
            f"create_layer_extensions() of {module.name} first"
        )
    return FanOut(_weight(layer), repeats_of(group, consumer))


def _weight(layer: object) -> Tensor:
    weight = getattr(layer, "weight", None)
    assert isinstance(weight, Tensor)
    return weight.detach()
