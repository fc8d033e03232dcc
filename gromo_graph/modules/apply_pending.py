"""Turning pending growth into weights, through everything that grows together, and forgetting it.

`surgery.write_weights` writes the weights, as it does for a draft. Only the public API and the tests reach this file:
the scheduler commits drafts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from gromo_graph.errors import GrowthError
from gromo_graph.layers import operation_adapter, operations_of
from gromo_graph.layers.channel_propagation import as_factor
from gromo_graph.layers.layer_group import repeats_of
from gromo_graph.layers.operation import Passed
from gromo_graph.layers.weighted import bias_of, weight_of
from gromo_graph.modules.extensions import extend_in, inputs_inserted, outputs_appended, parameter_step
from gromo_graph.modules.group_links import all_links, growing_links
from gromo_graph.modules.layer_module import Group, LayerModule
from gromo_graph.modules.linkable import Linkable
from gromo_graph.modules.pending import (
    mismatch,
    pending_group,
    pending_inputs,
    pending_neurons,
    size_of_inputs,
    size_of_outputs,
    stands_alone,
)
from gromo_graph.modules.scaling import give_factor
from gromo_graph.statistics.forward_new_channels import flow
from gromo_graph.surgery.group import insertions, take_over
from gromo_graph.surgery.write_weights import Step, widened


@torch.no_grad()
def apply_change(
    module: LayerModule,
    *,
    apply_previous: bool = True,
    apply_delta: bool = True,
    apply_extension: bool = True,
    extension_size: int | None = None,
) -> None:
    """Turn what is pending into weights, after everything about it has been checked."""
    delta = module.optimal_delta_layer if apply_delta else None
    alone = apply_extension and not apply_previous and _extends_alone(module, extension_size)
    group = (
        _group_to_extend(module, extension_size, apply_previous) if apply_extension and not alone else None
    )
    if delta is None and group is None and not alone:
        return
    _check_factor(module, of_inputs=group is not None or alone)
    extend = _extend_alone if group is None else _extension_of(group, module, apply_previous)
    if delta is not None:
        _apply_delta(module, delta)
    if group is not None or alone:
        extend(module)


def _extension_of(group: Group, module: LayerModule, apply_previous: bool) -> Callable[[LayerModule], None]:
    """The function that writes an extension; operations are measured before the delta changes what they see."""
    if not _changes(group, module, apply_previous):
        return lambda _: None
    if apply_previous:
        return partial(_grow, group, _measured_channels(group))
    return partial(_grow_inputs, group)


def _extend_alone(module: LayerModule) -> None:
    """Write the pending inputs of a module whose input comes from elsewhere."""
    s = as_factor(module.input_factor, module.weight).detach()
    if float(s) != 0.0:
        extend_in(module, s * pending_inputs(module).fan_out[0].weight)
        module.extension_applied = True


def _check_factor(module: LayerModule, *, of_inputs: bool) -> None:
    """Refuse to apply parts whose factor was never set.

    Args:
        of_inputs: whether new inputs are applied, and not only a delta, which may have a factor of its own.
    """
    if module.input_factor is None and (of_inputs or module.delta_factor is None):
        raise GrowthError(
            f"{module.name} has no scaling factor: call set_scaling_factor(s) or pass scaling_factor"
        )


def _apply_delta(module: LayerModule, delta: torch.nn.Module) -> None:
    """W ← W − s² δ, or by the factor that was set for it."""
    scale = module.delta_scale.detach()
    if float(scale) != 0.0:
        bias = bias_of(delta)
        parameter_step(module, -scale * weight_of(delta), None if bias is None else -scale * bias)


def _extends_alone(module: LayerModule, extension_size: int | None) -> bool:
    """True if a module has pending inputs that come from nothing that growth knows; what gives them is the caller's."""
    if not stands_alone(module) or module.extended_input_layer is None or module.extension_applied:
        return False
    _check_size(module, extension_size, module.adapter.in_neurons(module.extended_input_layer))
    return True


def _changes(group: Group, module: LayerModule, apply_previous: bool) -> bool:
    """True if some factor of a group's new channels is not 0: with all at 0 it is left as it is."""
    own = as_factor(module.input_factor, module.weight)
    if not apply_previous:
        return float(own) != 0.0
    inputs = [as_factor(each.input_factor, each.weight) for each in group.consumers]
    outputs = [as_factor(each.output_factor, each.weight) for each in group.producers]
    return any(float(factor) != 0.0 for factor in (own, *inputs, *outputs))


def _check_size(module: LayerModule, asked: int | None, size: int) -> None:
    """Refuse another number of neurons than are pending."""
    if asked is not None and asked != size:
        raise GrowthError(
            f"{module.name} has {size} pending neurons and apply_change was asked for {asked}: "
            "call sub_select_optimal_added_parameters() or create_layer_extensions() first"
        )


def _group_to_extend(module: LayerModule, extension_size: int | None, apply_previous: bool) -> Group | None:
    """The group whose extension is to be applied; refuses parts that do not fit together."""
    if module.extension_applied:
        return None
    group = pending_group(module)
    size = 0 if group is None else size_of_inputs(module, group)
    _check_size(module, extension_size, size)
    if group is None:
        if module.extended_input_layer is not None:
            growing_links(module)  # says why it cannot grow
        return None
    if not apply_previous:
        return group if module.extended_input_layer is not None else None
    if not _fits(group, size):
        raise mismatch(group, module)
    return group if size > 0 else None


def _fits(group: Group, size: int) -> bool:
    """True if every producer has so many pending outputs, and every consumer the inputs that they become."""
    for consumer in group.consumers:
        layer = consumer.extended_input_layer
        inputs = 0 if layer is None else consumer.adapter.in_neurons(layer)
        if inputs != size * sum(repeats_of(group, consumer)):
            return False
    return all(size_of_outputs(producer) == size for producer in group.producers)


Measured = dict[tuple[torch.nn.Module, int], Passed]
"""For each operation and place in it the measurements of the new channels that enter there."""


def _grow(group: Group, measured: Measured, module: LayerModule) -> None:
    """Write the pending neurons into all layers and operations of their group, each side at its own factor."""
    neurons = pending_neurons(module)
    inputs = [float(as_factor(each.input_factor, each.weight)) for each in group.consumers]
    outputs = [float(as_factor(each.output_factor, each.weight)) for each in group.producers]
    s = outputs[0]
    if len({*inputs, *outputs}) > 1:  # weights that are written at γ = 1 carry their factors
        neurons, s = neurons.scaled_apart(outputs, inputs), 1.0
    elif s < 0.0:  # the step size is s²: the sign belongs to the neurons
        neurons = neurons.scaled(-1.0, -1.0)
    found = widened(group, neurons, Step())
    for entry in found.entries:
        entry.write(s**2)
    for operation in found.operations:
        moments = {}
        for each in operation.insertions:
            passed = measured[operation.old, each.at]
            if passed.mean is not None and passed.variance is not None:
                moments[each.at] = (passed.mean, passed.variance)
        operation.write(s**2, moments)
    for old, new in found.modules.items():
        take_over(old, new)
    for consumer, places in group.reads.items():
        for place in reversed(places):
            inputs_inserted(consumer, neurons.size * place.repeat, place.end)
        consumer.extension_applied = True
    for producer in group.producers:
        outputs_appended(producer, neurons.size)


def _grow_inputs(group: Group, consumer: LayerModule) -> None:
    """Write the pending inputs of one consumer alone, from the last place to the first."""
    s = as_factor(consumer.input_factor, consumer.weight).detach()
    places, neurons = group.reads[consumer], pending_inputs(consumer)
    for place, part in reversed(list(zip(places, neurons.fan_out[0].by_place(), strict=True))):
        extend_in(consumer, s * part.flatten(1, 2), place.end)


def _measured_channels(group: Group) -> Measured:
    """The measurements of the pending channels of a group; refuses what an operation could not grow by."""
    _measure_moments(group)
    size = size_of_outputs(group.producers[0])
    found: Measured = {}
    for place in group.member_places():
        module = group.module(place)
        for each in insertions(module.function, module.positions, place, size):
            device = next((p.device for p in each.operation.parameters()), torch.device("cpu"))
            passed = module.passed[place.segment].at(each.index, device)
            operation_adapter(each.operation).check(each.operation, each.size, passed)
            found[each.operation, each.at] = passed
        for operation in operations_of(module.extension_function):
            adapter = operation_adapter(operation)
            own = module.extension_function is not module.function
            if own and (adapter.needs_moments or adapter.needs_spread or adapter.jumps):
                raise GrowthError(
                    f"{module.name} has {operation} in the function for its new channels, which nothing keeps "
                    "when they become ordinary ones: expected norms in the function of all channels alone"
                )
    return found


def delete_update(
    module: LayerModule,
    *,
    include_previous: bool = True,
    delete_delta: bool = True,
    delete_input: bool = True,
    delete_output: bool = False,
) -> None:
    """Forget pending growth, and the scaling factor if nothing is pending any more."""
    previous = module.previous_module
    if previous is not None and not isinstance(previous, Linkable):
        raise TypeError(
            f"the previous module of {module.name} is a {type(previous).__name__}: expected a GrowingModule "
            "or MergeGrowingModule"
        )
    if delete_delta:
        module.optimal_delta_layer = module.parameter_update_decrease = module.delta_raw = None
    if delete_output:
        module.extended_output_layer = None
        module.passed[0].clear()
    if delete_input:
        if include_previous:
            for link in all_links(module):
                _forget(link.group)
        module.extended_input_layer = module.eigenvalues_extension = None
        module.extension_applied = False
    if module.optimal_delta_layer is None and module.extended_input_layer is None:
        module.input_factor = module.delta_factor = None


def _forget(group: Group) -> None:
    """The pending neurons of a whole group; deltas of fellow consumers stay."""
    factors = {consumer: consumer.input_factor for consumer in group.consumers}
    give_factor(group, None)
    for producer in group.producers:
        producer.extended_output_layer = None
    for place in group.member_places():
        group.module(place).passed[place.segment].clear()
    for consumer in group.consumers:
        consumer.extended_input_layer = consumer.eigenvalues_extension = None
        consumer.extension_applied = False
        if consumer.optimal_delta_layer is not None:
            consumer.input_factor = factors[consumer]


@torch.no_grad()
def _measure_moments(group: Group) -> None:
    """Let the functions of a group see the pending channels of the stored batch, at the scaling factor in force.

    Norms that grow need their mean and variance; if extended_forward has shown them already, nothing is done.
    """
    if not any(
        operation_adapter(operation).needs_moments
        and index not in group.module(place).passed[place.segment].moments
        for place in group.member_places()
        for index, operation in enumerate(operations_of(group.module(place).function))
    ):
        return
    starts = {}
    for producer in group.producers:
        layer = producer.extended_output_layer
        if layer is None or producer.capture.input is None:
            return  # the norm says what is missing
        starts[group.start(producer)] = producer.passed[0].factor_like(producer.weight) * layer(
            producer.input
        )
    for place in group.member_places():
        group.module(place).passed[place.segment].moments.clear()
    flow(group, starts)
