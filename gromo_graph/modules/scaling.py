"""The scaling factor s of pending growth, and scaling or selecting what is pending."""

from __future__ import annotations

import math
import numbers
from dataclasses import replace

import torch
from torch import Tensor

from gromo_graph.algebra.neuron_weights import GroupNeurons
from gromo_graph.algebra.rescaling import Spreads, normalization_factors, spread_of
from gromo_graph.errors import GrowthError
from gromo_graph.modules.group_links import growable_links, growing_links
from gromo_graph.modules.layer_module import Group, LayerModule
from gromo_graph.modules.pending import (
    group_of_pending,
    pending_group,
    pending_inputs,
    pending_neurons,
    put,
    put_inputs,
)


def checked_factor(module: LayerModule, factor: object) -> Tensor:
    """A finite scalar: a tensor of one entry, kept so that gradients flow into it, or one made of a number."""
    if isinstance(factor, Tensor):
        if factor.numel() != 1 or not bool(torch.isfinite(factor).all()):
            raise GrowthError(
                f"{module.name}: the scaling factor is a tensor of shape {tuple(factor.shape)} "
                f"({factor.detach().flatten()[:3].tolist()} ...): expected one finite number"
            )
        return factor
    if isinstance(factor, numbers.Real) and not isinstance(factor, bool) and math.isfinite(factor):
        like = module.weight
        return torch.tensor(float(factor), dtype=like.dtype, device=like.device)
    raise GrowthError(
        f"{module.name}: the scaling factor is {factor!r}: expected a finite number or a tensor of one entry"
    )


def set_factor(module: LayerModule, factor: object) -> None:
    """Give the factor to the module and to everything that grows with its input; the delta follows as its square."""
    checked = checked_factor(module, factor)
    module.input_factor, module.delta_factor = checked, None
    for group in _groups(module):
        give_factor(group, checked)


def set_factors(
    module: LayerModule,
    *,
    delta: object = None,
    input_extension: object = None,
    output_extension: object = None,
) -> None:
    """Give one part of pending growth a factor of its own; None leaves a part as it is.

    Args:
        delta: the factor of δ itself. input_extension: of ω of this module. output_extension: of α of all layers that
            would widen.

    Raises:
        GrowthError: no finite number, or an output extension that no layer before the module has.
    """
    if delta is not None:
        module.delta_factor = checked_factor(module, delta)
    if input_extension is not None:
        if (
            module.delta_factor is None and module.input_factor is not None
        ):  # the delta keeps the factor it had
            module.delta_factor = module.delta_scale.detach()
        module.input_factor = checked_factor(module, input_extension)
    if output_extension is not None:
        checked = checked_factor(module, output_extension)
        groups = _groups(module)
        if not groups:
            growing_links(module)  # says why it cannot grow
        for group in groups:
            _give_outputs(group, checked)


def _groups(module: LayerModule) -> list[Group]:
    """The group that is pending, or all that can grow."""
    group = pending_group(module)
    return [group] if group is not None else [link.group for link in growable_links(module)]


def give_factor(group: Group, factor: Tensor | None) -> None:
    """The factor of every new channel of a group."""
    for consumer in group.consumers:
        consumer.input_factor = factor
    _give_outputs(group, factor)


def _give_outputs(group: Group, factor: Tensor | None) -> None:
    """The factor of new channels up to where they are read."""
    for place in group.member_places():
        group.module(place).passed[place.segment].factor = factor


@torch.no_grad()
def scale_layer(layer: torch.nn.Module, scale: float) -> torch.nn.Module:
    """Multiply weight and bias of a layer in place."""
    for parameter in layer.parameters(recurse=False):
        parameter.mul_(scale)
    return layer


@torch.no_grad()
def scale_update(module: LayerModule, scale: float) -> None:
    """Scale the pending delta and the decrease it promises."""
    if module.optimal_delta_layer is None:
        return
    scale_layer(module.optimal_delta_layer, scale)
    if module.parameter_update_decrease is not None:
        module.parameter_update_decrease = module.parameter_update_decrease * scale


@torch.no_grad()
def scale_extension(
    module: LayerModule, scale: float | None, scale_output: float | None, scale_input: float | None
) -> None:
    """Scale α (output) and ω (input); λ by the root of the product, because it enters squared."""
    output = scale if scale is not None else scale_output
    inputs = scale if scale is not None else scale_input
    if output is None or inputs is None:
        raise GrowthError(
            f"{module.name}: scale is None and so is one of scale_output ({scale_output}) and scale_input "
            f"({scale_input}): expected scale, or both of the others"
        )
    neurons = pending_neurons(module)
    if module.eigenvalues_extension is not None and output * inputs < 0:
        raise GrowthError(
            f"{module.name}: scales {output} and {inputs} have different signs, which turns a decrease "
            "of the loss into an increase: expected the same sign"
        )
    scaled = neurons.scaled(output, inputs)
    if scaled.values is not None:
        scaled = replace(scaled, values=scaled.values * math.sqrt(output * inputs))
    put(group_of_pending(module), scaled)


def normalize(module: LayerModule, std_target: float | None, kind: str) -> None:
    """Bring pending weights to a standard deviation (see `normalization_factors`)."""
    group = pending_group(module)
    is_pending = group is not None
    omega = alpha = None
    if is_pending:
        neurons = pending_neurons(module)
        omega = torch.cat([fan.weight.flatten() for fan in neurons.fan_out])
        alpha = torch.cat([fan.weight.flatten() for fan in neurons.fan_in])
    delta = module.optimal_delta_layer
    spreads = Spreads(
        None if delta is None else spread_of(delta.get_parameter("weight")),
        spread_of(omega),
        spread_of(alpha),
    )
    target = _default_target(module) if std_target is None else std_target
    before = None if group is None else _spread_of_all(group)
    factors = normalization_factors(kind, spreads, target, before)
    scale_update(module, factors.delta)
    if is_pending:
        scale_extension(module, None, factors.fan_in, factors.fan_out)


def _spread_of_all(group: Group) -> float | None:
    """The standard deviation of the weights of all layers before, which α extends; None if they have none."""
    return spread_of(torch.cat([producer.weight.flatten() for producer in group.producers]))


@torch.no_grad()
def normalize_columns(module: LayerModule, scale: float) -> None:
    """Bring ω of each pending neuron to `scale` times the mean norm of the columns that the layer has.

    The values λ, which enter squared, take the root of the factor, as only one side is scaled.
    """
    if module.extended_input_layer is None or not module.in_neurons:
        raise GrowthError(
            f"{module.name} has {module.in_neurons} inputs and {'a' if module.in_neurons == 0 else 'no'} pending input "
            "extension: expected an extension of a layer with inputs, whose norms it takes"
        )
    if not scale > 0.0:
        raise GrowthError(f"{module.name}: gradmax_scale is {scale}: expected a positive number")
    neurons = pending_inputs(module)
    (fan_out,) = neurons.fan_out
    target = scale * module.weight.transpose(0, 1).flatten(1).norm(dim=1).mean()
    places = [part.transpose(0, 1).flatten(1) for part in fan_out.by_place()]
    norms = torch.cat(places, dim=1).norm(dim=1)
    factors = torch.where(norms > 0.0, target / norms, torch.ones_like(norms))
    scaled = neurons.scaled(1.0, factors)
    if scaled.values is not None:
        scaled = replace(scaled, values=scaled.values * factors.sqrt().to(scaled.values))
    put_inputs(module, scaled.fan_out[0], scaled)


def _default_target(module: LayerModule) -> float:
    spread = spread_of(module.weight)
    if spread is not None:
        return spread
    # A layer without weights takes the size of the inputs it is about to get.
    layer = module.layer if module.in_neurons else module.extended_input_layer or module.layer
    return float(max(module.adapter.fan_in(layer), 1) ** -0.5)


@torch.no_grad()
def sub_select(
    module: LayerModule,
    *,
    keep_neurons: int | None,
    threshold: float | None,
    sub_select_previous: bool,
    zeros_if_not_enough: bool,
    zeros_fan_in: bool,
    zeros_fan_out: bool,
) -> None:
    """Keep the first pending neurons, dropping the others or setting them to zero."""
    if module.extended_input_layer is None:
        raise GrowthError(
            f"{module.name} has no pending neurons to select from: call "
            "compute_optimal_added_parameters() first"
        )
    if zeros_if_not_enough and not (zeros_fan_in or zeros_fan_out):
        raise GrowthError(
            f"{module.name}: zeros_if_not_enough needs zeros_fan_in or zeros_fan_out to say which weights "
            "become zero: expected at least one of them"
        )
    keep = _number_to_keep(module, keep_neurons, threshold)
    neurons = pending_neurons(module) if sub_select_previous else pending_inputs(module)
    if zeros_if_not_enough:
        selected = _zeroed(neurons, keep, fan_in=zeros_fan_in, fan_out=zeros_fan_out)
    else:
        selected = neurons.selected(torch.arange(min(keep, neurons.size), device=module.device))
    if sub_select_previous:
        put(group_of_pending(module), selected)
    else:
        put_inputs(module, selected.fan_out[0], selected)


def _number_to_keep(module: LayerModule, keep_neurons: int | None, threshold: float | None) -> int:
    values = module.eigenvalues_extension
    if keep_neurons is not None:
        if keep_neurons < 0:
            raise GrowthError(f"{module.name}: keep_neurons is {keep_neurons}: expected at least 0")
        return keep_neurons
    if threshold is None:
        raise GrowthError(f"{module.name}: expected keep_neurons or a threshold, found neither")
    if values is None:
        raise GrowthError(
            f"{module.name}: its pending neurons have no singular values to hold against a threshold: "
            "pass keep_neurons"
        )
    return int((values >= threshold).sum())


def _zeroed(neurons: GroupNeurons, keep: int, *, fan_in: bool, fan_out: bool) -> GroupNeurons:
    """The neurons behind the first set to zero, on the sides that are asked for, and their λ."""
    kept = (torch.arange(neurons.size, device=neurons.device) < keep).to(neurons.fan_out[0].weight.dtype)
    one = torch.ones_like(kept)
    values = None if neurons.values is None else neurons.values * kept
    return replace(neurons.scaled(kept if fan_in else one, kept if fan_out else one), values=values)
