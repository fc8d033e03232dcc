"""Changing the parameters of a growing module, and turning pending growth into real weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gromo_graph.algebra.initialization import initialization
from gromo_graph.errors import GrowthError
from gromo_graph.modules.checks import expect_shape
from gromo_graph.modules.links import Linkable, source_of
from gromo_graph.modules.measuring import clear

if TYPE_CHECKING:
    from gromo_graph.modules.layer import LayerModule


def layer_of_tensor(
    module: LayerModule, weight: Tensor, bias: Tensor | None, force_bias: bool
) -> torch.nn.Module:
    """A layer like the module's own, with copies of these parameters."""
    if force_bias and module.use_bias != (bias is not None):
        raise GrowthError(
            f"{module.name} has {'a' if module.use_bias else 'no'} bias and the new layer got "
            f"{'none' if bias is None else 'one'}: expected the same, or force_bias=False"
        )
    return module.adapter.layer_of(module.layer, weight, bias)


@torch.no_grad()
def extend_in(module: LayerModule, weight: Tensor) -> None:
    """Append inputs; statistics of the old width are emptied, pending weights get zeros for them."""
    adapter = module.adapter
    expect_shape(module, "weight", weight, adapter.in_extension_shape(module.layer, weight.shape[1]))
    if weight.shape[1] == 0:
        return
    adapter.extend_in(module.layer, weight.to(module.weight))
    clear(module)
    _forget_pass(module)
    for layer in (module.optimal_delta_layer, module.extended_output_layer):
        if layer is not None:
            shape = adapter.in_extension_shape(layer, weight.shape[1])
            adapter.extend_in(layer, weight.new_zeros(shape).to(module.weight))


@torch.no_grad()
def extend_out(module: LayerModule, weight: Tensor, bias: Tensor | None) -> None:
    """Append outputs; statistics of the old width are emptied, pending weights get zeros for them."""
    adapter, size = module.adapter, weight.shape[0]
    expect_shape(module, "weight", weight, adapter.out_extension_shape(module.layer, size))
    if module.use_bias != (bias is not None):
        raise GrowthError(
            f"{module.name} has {'a' if module.use_bias else 'no'} bias and its new outputs got "
            f"{'none' if bias is None else 'one'}: expected the same"
        )
    if bias is not None:
        expect_shape(module, "bias", bias, (size,))
    if size == 0:
        return
    adapter.extend_out(module.layer, weight.to(module.weight), None if bias is None else bias.to(weight))
    # S of the input is still right; what was multiplied with the gradient is not.
    module.tensor_m.reset()
    module.tensor_m_prev.reset()
    _forget_pass(module)
    for layer in (module.optimal_delta_layer, module.extended_input_layer):
        if layer is not None:
            zeros = weight.new_zeros(adapter.out_extension_shape(layer, size)).to(module.weight)
            no_bias = zeros.new_zeros(size) if adapter.has_bias(layer) else None
            adapter.extend_out(layer, zeros, no_bias)


def _forget_pass(module: LayerModule) -> None:
    module.capture.clear()
    module.delta_raw = None


def add_parameters(
    module: LayerModule,
    matrix_extension: Tensor | None,
    bias_extension: Tensor | None,
    added_in_features: int,
    added_out_features: int,
) -> None:
    """Append inputs or outputs, with zeros where no values are given."""
    if (added_in_features > 0) == (added_out_features > 0):
        raise GrowthError(
            f"{module.name}: added_in_features is {added_in_features} and added_out_features "
            f"{added_out_features}: expected exactly one of them to be positive"
        )
    like = module.weight
    if added_in_features > 0:
        shape = module.adapter.in_extension_shape(module.layer, added_in_features)
        weight = like.new_zeros(shape) if matrix_extension is None else matrix_extension
        expect_shape(module, "matrix_extension", weight, shape)
        extend_in(module, weight)
        return
    shape = module.adapter.out_extension_shape(module.layer, added_out_features)
    weight = like.new_zeros(shape) if matrix_extension is None else matrix_extension
    expect_shape(module, "matrix_extension", weight, shape)
    if bias_extension is None and module.use_bias:
        bias_extension = like.new_zeros(added_out_features)
    extend_out(module, weight, bias_extension)


@torch.no_grad()
def parameter_step(module: LayerModule, delta_weights: Tensor, delta_biases: Tensor | None) -> None:
    """Add to the parameters in place (they stay the same objects, with their optimizer state)."""
    expect_shape(module, "delta_weights", delta_weights, tuple(module.weight.shape))
    bias = module.bias
    if delta_biases is not None:
        if bias is None:
            raise GrowthError(f"{module.name} has no bias and got delta_biases: expected None")
        expect_shape(module, "delta_biases", delta_biases, tuple(bias.shape))
    module.weight.add_(delta_weights.to(module.weight))
    if delta_biases is not None and bias is not None:
        bias.add_(delta_biases.to(bias))


@torch.no_grad()
def create_in_extension(module: LayerModule, size: int, init: str = "copy_uniform") -> None:
    """A pending extension of the input with first values."""
    shape = module.adapter.in_extension_shape(module.layer, _checked_size(module, size))
    make = initialization(init)
    probe = module.adapter.layer_of(module.layer, module.weight.new_zeros(shape), None)
    weight = make(shape, module.weight, module.adapter.fan_in(probe))
    module.extended_input_layer = module.adapter.layer_of(module.layer, weight, None)
    module.eigenvalues_extension = None


@torch.no_grad()
def create_out_extension(module: LayerModule, size: int, init: str = "copy_uniform") -> None:
    """A pending extension of the output with first values."""
    shape = module.adapter.out_extension_shape(module.layer, _checked_size(module, size))
    make, fan_in, bias = initialization(init), module.adapter.fan_in(module.layer), module.bias
    weight = make(shape, module.weight, fan_in)
    new_bias = None if bias is None else make((size,), bias, fan_in)
    module.extended_output_layer = module.adapter.layer_of(module.layer, weight, new_bias)


def create_extensions(
    module: LayerModule, *, output_size: int, input_size: int, output_init: str, input_init: str
) -> None:
    """Pending extensions of this module's input and of the previous module's output."""
    source = source_of(module)
    for name in (output_init, input_init):
        initialization(name)  # both are known before anything is made
    for size in (output_size, input_size):
        _checked_size(module, size)
    create_out_extension(source, output_size, output_init)
    create_in_extension(module, input_size, input_init)


@torch.no_grad()
def apply_change(
    module: LayerModule,
    *,
    apply_previous: bool,
    apply_delta: bool,
    apply_extension: bool,
    extension_size: int | None,
) -> None:
    """Turn what is pending into weights, after everything about it has been checked."""
    delta = module.optimal_delta_layer if apply_delta else None
    inputs = module.extended_input_layer if apply_extension else None
    source = _extended_source(module, extension_size, apply_previous) if apply_extension else None
    if delta is None and inputs is None:
        return
    if module.input_factor is None:
        raise GrowthError(
            f"{module.name} has no scaling factor: call set_scaling_factor(s) or pass scaling_factor"
        )
    s = module.scaling_factor.detach()
    if float(s) == 0.0:
        return
    if delta is not None:
        bias = getattr(delta, "bias", None)
        parameter_step(module, -(s**2) * _weight(delta), None if bias is None else -(s**2) * bias)
    if inputs is not None:
        extend_in(module, s * _weight(inputs))
    if source is not None and source.extended_output_layer is not None:
        layer = source.extended_output_layer
        bias = getattr(layer, "bias", None)
        extend_out(source, s * _weight(layer), None if bias is None else s * bias)


def _extended_source(
    module: LayerModule, extension_size: int | None, apply_previous: bool
) -> LayerModule | None:
    """The module whose output is extended too; refuses halves that do not fit together."""
    inputs = module.extended_input_layer
    size = 0 if inputs is None else module.adapter.in_neurons(inputs)
    if extension_size is not None and extension_size != size:
        raise GrowthError(
            f"{module.name} has {size} pending neurons and apply_change was asked for {extension_size}: "
            "call sub_select_optimal_added_parameters() or create_layer_extensions() first"
        )
    previous = module.previous_module
    source = previous.direct_source() if isinstance(previous, Linkable) else None
    if not apply_previous or (inputs is None and (source is None or source.extended_output_layer is None)):
        return None
    source = source_of(module)
    outputs = source.extended_output_layer
    found = 0 if outputs is None else source.adapter.out_neurons(outputs)
    if found != size:
        raise GrowthError(
            f"{module.name} has {size} pending inputs and {source.name} {found} pending outputs: expected "
            "as many; compute or create both together, or delete_update() what is left of another growth"
        )
    return source


def delete_update(
    module: LayerModule,
    *,
    include_previous: bool,
    delete_delta: bool,
    delete_input: bool,
    delete_output: bool,
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
    if delete_output:
        module.extended_output_layer = module.output_factor = None
    if delete_input:
        source = previous.direct_source() if isinstance(previous, Linkable) else None
        if include_previous and source is not None:
            source.extended_output_layer = source.output_factor = None
        module.extended_input_layer = module.eigenvalues_extension = None
    if module.optimal_delta_layer is None and module.extended_input_layer is None:
        module.input_factor = None
    module.capture.clear()


def _weight(layer: torch.nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


def _checked_size(module: LayerModule, size: int) -> int:
    if not isinstance(size, int) or size < 0:
        raise GrowthError(
            f"{module.name}: the size of an extension is {size!r}: expected an int of at least 0"
        )
    return size
