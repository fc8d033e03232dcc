"""Turning pending growth into weights, through everything that grows together, and forgetting it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gromo_graph.errors import GrowthError
from gromo_graph.graph.width_flow import GroupPlace
from gromo_graph.layers import Replaced, operation_adapter, operations_of
from gromo_graph.layers.channel_propagation import as_factor
from gromo_graph.layers.layer_group import repeats_of
from gromo_graph.layers.operation import Passed
from gromo_graph.modules.extensions import extend_in, extend_out, parameter_step
from gromo_graph.modules.group_links import all_links, growing_links
from gromo_graph.modules.layer_module import Group, LayerModule
from gromo_graph.modules.linkable import Linkable
from gromo_graph.modules.pending import mismatch, pending_group, size_of_inputs, size_of_outputs
from gromo_graph.modules.scaling import give_factor
from gromo_graph.statistics.forward_new_channels import flow
from gromo_graph.surgery.group import Insertion, insertions


@torch.no_grad()
def apply_change(
    module: LayerModule,
    *,
    apply_previous: bool = True,
    apply_delta: bool = True,
    apply_extension: bool = True,
    extension_size: int | None = None,
) -> list[Replaced]:
    """Turn what is pending into weights, after everything about it has been checked.

    Returns:
        The parameters that others took the place of.
    """
    delta = module.optimal_delta_layer if apply_delta else None
    group = _group_to_extend(module, extension_size, apply_previous) if apply_extension else None
    if delta is None and group is None:
        return []
    if module.input_factor is None:
        raise GrowthError(
            f"{module.name} has no scaling factor: call set_scaling_factor(s) or pass scaling_factor"
        )
    s = as_factor(module.input_factor, module.weight).detach()
    if float(s) == 0.0:
        return []
    if group is not None and apply_previous:
        _measure_moments(group)
        _check_functions(group)
    if delta is not None:
        _step(module, s)
    if group is None:
        return []
    return _grow(group, s) if apply_previous else _grow_inputs(module, group.reads[module], s)


def _group_to_extend(module: LayerModule, extension_size: int | None, apply_previous: bool) -> Group | None:
    """The group whose extension is to be applied; refuses parts that do not fit together."""
    if module.extension_applied:
        return None
    group = pending_group(module)
    size = 0 if group is None else size_of_inputs(module, group)
    if extension_size is not None and extension_size != size:
        raise GrowthError(
            f"{module.name} has {size} pending neurons and apply_change was asked for {extension_size}: "
            "call sub_select_optimal_added_parameters() or create_layer_extensions() first"
        )
    if group is None:
        if module.extended_input_layer is not None:
            growing_links(module)  # says why it cannot grow
        return None
    if not apply_previous:
        return group if module.extended_input_layer is not None else None
    if not _fits(group, size):
        raise mismatch(group, module)
    return group if size > 0 else None


def _step(module: LayerModule, s: Tensor) -> None:
    """W ← W − s² δ."""
    delta = module.optimal_delta_layer
    if delta is not None:
        bias = delta.bias
        step = None if not isinstance(bias, Tensor) else -(s**2) * bias
        parameter_step(module, -(s**2) * _weight(delta), step)


def _fits(group: Group, size: int) -> bool:
    """Whether every producer has so many pending outputs, and every consumer the inputs that they become."""
    inputs = all(
        (
            0
            if consumer.extended_input_layer is None
            else consumer.adapter.in_neurons(consumer.extended_input_layer)
        )
        == size * sum(repeats_of(group, consumer))
        for consumer in group.consumers
    )
    return inputs and all(size_of_outputs(producer) == size for producer in group.producers)


def _grow(group: Group, s: Tensor) -> list[Replaced]:
    """All inputs first: then the new outputs of a layer that also reads the group have zeros for its new inputs."""
    size = size_of_outputs(group.producers[0])
    replaced: list[Replaced] = []
    for consumer in group.consumers:
        replaced += _grow_inputs(consumer, group.reads[consumer], s)
        consumer.extension_applied = True
    for producer in group.producers:
        layer = producer.extended_output_layer
        assert layer is not None  # its size was checked
        bias = layer.bias if isinstance(layer.bias, Tensor) else None
        replaced += extend_out(producer, s * _weight(layer), None if bias is None else s * bias)
    for member in (*group.producers, *group.merges):
        for place in reversed(group.places[member]):
            replaced += _grow_function(group, place, size)
    return replaced


def _grow_inputs(consumer: LayerModule, places: Sequence[GroupPlace], s: Tensor) -> list[Replaced]:
    """Insert the pending inputs behind the group's old ones, from the last place to the first."""
    layer = consumer.extended_input_layer
    assert layer is not None
    weight = _weight(layer)
    neurons = weight.shape[1] // max(1, sum(place.repeat for place in places))
    parts = weight.split([neurons * place.repeat for place in places], dim=1)
    replaced: list[Replaced] = []
    for place, part in reversed(list(zip(places, parts, strict=True))):
        replaced += extend_in(consumer, s * part, place.end)
    return replaced


def _insertions(group: Group, place: GroupPlace, size: int) -> Iterator[tuple[Insertion, Passed]]:
    """For each operation behind a module the new channels there, with what was measured of them."""
    module = group.module(place)
    for each in insertions(module.function, module.positions, place, size):
        device = next((p.device for p in each.operation.parameters()), torch.device("cpu"))
        yield each, module.passed[place.segment].at(each.index, device)


def _check_functions(group: Group) -> None:
    """Refuse what some operation could not grow by, while nothing has changed yet."""
    size = size_of_outputs(group.producers[0])
    for place in group.member_places():
        module = group.module(place)
        for each, passed in _insertions(group, place, size):
            operation_adapter(each.operation).check(each.operation, each.size, passed)
        for operation in operations_of(module.extension_function):
            adapter = operation_adapter(operation)
            own = module.extension_function is not module.function
            if own and (adapter.needs_moments or adapter.needs_spread or adapter.jumps):
                raise GrowthError(
                    f"{module.name} has {operation} in the function for its new channels, which nothing keeps "
                    "when they become ordinary ones: expected norms in the function of all channels alone"
                )


def _grow_function(group: Group, place: GroupPlace, size: int) -> list[Replaced]:
    """The operations behind a module get the new channels."""
    return [
        replaced
        for each, passed in _insertions(group, place, size)
        for replaced in operation_adapter(each.operation).grow(each.operation, each.at, each.size, passed)
    ]


def delete_update(
    module: LayerModule,
    *,
    include_previous: bool = True,
    delete_delta: bool = True,
    delete_input: bool = True,
    delete_output: bool = False,
) -> None:
    """Forget pending growth; where nothing is pending any more the scaling factor goes too."""
    previous = module.previous_module
    if include_previous and previous is not None and not isinstance(previous, Linkable):
        raise TypeError(
            f"the previous module of {module.name} is a {type(previous).__name__}: expected a GrowingModule "
            "or MergeGrowingModule"
        )
    if delete_delta:
        module.optimal_delta_layer = module.parameter_update_decrease = module.delta_raw = None
        module.delta_partners = ()
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
        module.input_factor = None


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


def _weight(layer: torch.nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


@torch.no_grad()
def _measure_moments(group: Group) -> None:
    """Let the functions of a group see the pending channels of the stored batch, at the scaling factor in force.

    Norms that grow need their mean and variance; where extended_forward has shown them already, nothing is done.
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
