"""The scaling factor s of pending growth, and scaling or selecting what is pending."""

from __future__ import annotations

import math
import numbers
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gromo_graph.algebra.rescaling import Spreads, normalization_factors, spread_of
from gromo_graph.errors import GrowthError
from gromo_graph.modules.links import Linkable, source_of

if TYPE_CHECKING:
    from gromo_graph.modules.layer import LayerModule


def checked_factor(module: LayerModule, factor: object) -> float | Tensor:
    """A finite scalar: a number, or a tensor of one entry (kept, so that gradients flow into it)."""
    if isinstance(factor, Tensor):
        if factor.numel() != 1 or not bool(torch.isfinite(factor).all()):
            raise GrowthError(
                f"{module.name}: the scaling factor is a tensor of shape {tuple(factor.shape)} "
                f"({factor.detach().flatten()[:3].tolist()} ...): expected one finite number"
            )
        return factor
    if isinstance(factor, numbers.Real) and not isinstance(factor, bool) and math.isfinite(factor):
        return float(factor)
    raise GrowthError(
        f"{module.name}: the scaling factor is {factor!r}: expected a finite number or a tensor of one entry"
    )


def set_factor(module: LayerModule, factor: object) -> None:
    """Give the factor to the module and to the output extension of the module before it."""
    checked = checked_factor(module, factor)
    module.input_factor = checked
    previous = module.previous_module
    source = previous.direct_source() if isinstance(previous, Linkable) else None
    if source is not None:
        source.output_factor = checked


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
    source = source_of(module)
    if module.extended_input_layer is None or source.extended_output_layer is None:
        raise GrowthError(
            f"{module.name} and {source.name} have no extension to scale: call "
            "compute_optimal_added_parameters() or create_layer_extensions() first"
        )
    if module.eigenvalues_extension is not None:
        if output * inputs < 0:
            raise GrowthError(
                f"{module.name}: scales {output} and {inputs} have different signs, which turns a decrease "
                "of the loss into an increase: expected the same sign"
            )
        module.eigenvalues_extension = module.eigenvalues_extension * math.sqrt(output * inputs)
    scale_layer(module.extended_input_layer, inputs)
    scale_layer(source.extended_output_layer, output)


def normalize(module: LayerModule, std_target: float | None, kind: str) -> None:
    """Bring pending weights to a standard deviation (see `normalization_factors`)."""
    previous = module.previous_module
    source = previous.direct_source() if isinstance(previous, Linkable) else None
    omega = _weight(module.extended_input_layer)
    alpha = None if source is None else _weight(source.extended_output_layer)
    spreads = Spreads(spread_of(_weight(module.optimal_delta_layer)), spread_of(omega), spread_of(alpha))
    target = _default_target(module) if std_target is None else std_target
    factors = normalization_factors(kind, spreads, target)
    scale_update(module, factors.delta)
    if omega is not None and alpha is not None:
        scale_extension(module, None, factors.fan_in, factors.fan_out)


def _default_target(module: LayerModule) -> float:
    spread = spread_of(module.weight)
    if spread is not None:
        return spread
    # A layer without weights takes the size of the inputs it is about to get.
    layer = module.layer if module.in_neurons else module.extended_input_layer or module.layer
    return float(max(module.adapter.fan_in(layer), 1) ** -0.5)


def _weight(layer: torch.nn.Module | None) -> Tensor | None:
    weight = getattr(layer, "weight", None)
    return weight if isinstance(weight, Tensor) else None


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
    keep = _number_to_keep(module, keep_neurons, threshold)
    if zeros_if_not_enough and not (zeros_fan_in or zeros_fan_out):
        raise GrowthError(
            f"{module.name}: zeros_if_not_enough needs zeros_fan_in or zeros_fan_out to say which weights "
            "become zero: expected at least one of them"
        )
    source = source_of(module) if sub_select_previous else None
    if source is not None and source.extended_output_layer is None:
        raise GrowthError(
            f"{source.name} has no output extension to select from: call "
            f"compute_optimal_added_parameters() of {module.name} first, or pass sub_select_previous=False"
        )
    values = module.eigenvalues_extension
    if zeros_if_not_enough:
        if values is not None:
            module.eigenvalues_extension = _first_only(values, keep)
        if zeros_fan_out:
            _zero_inputs(module, keep)
        if zeros_fan_in and source is not None:
            _zero_outputs(source, keep)
        return
    if values is not None:
        module.eigenvalues_extension = values[:keep].clone()
    _keep_inputs(module, keep)
    if source is not None:
        _keep_outputs(source, keep)


def _number_to_keep(module: LayerModule, keep_neurons: int | None, threshold: float | None) -> int:
    values = module.eigenvalues_extension
    if module.extended_input_layer is None:
        raise GrowthError(
            f"{module.name} has no pending neurons to select from: call "
            "compute_optimal_added_parameters() first"
        )
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


def _first_only(values: Tensor, keep: int) -> Tensor:
    values = values.clone()
    values[keep:] = 0.0
    return values


def _zero_inputs(module: LayerModule, keep: int) -> None:
    weight = _weight(module.extended_input_layer)
    assert weight is not None
    weight[:, keep:] = 0.0


def _zero_outputs(source: LayerModule, keep: int) -> None:
    layer = source.extended_output_layer
    assert layer is not None
    for parameter in layer.parameters(recurse=False):
        parameter[keep:] = 0.0


def _keep_inputs(module: LayerModule, keep: int) -> None:
    weight = _weight(module.extended_input_layer)
    assert weight is not None
    module.extended_input_layer = module.adapter.layer_of(module.layer, weight[:, :keep], None)


def _keep_outputs(source: LayerModule, keep: int) -> None:
    layer = source.extended_output_layer
    weight, bias = _weight(layer), getattr(layer, "bias", None)
    assert weight is not None
    bias = None if bias is None else bias[:keep]
    source.extended_output_layer = source.adapter.layer_of(source.layer, weight[:keep], bias)
