"""Changing the parameters of a growing module, and first values for extensions."""

from __future__ import annotations

import torch
from torch import Tensor

from gromo_graph.algebra.initialization import initialization
from gromo_graph.errors import GrowthError
from gromo_graph.layers.layer_group import repeats_of
from gromo_graph.layers.shape_checks import expect_shape
from gromo_graph.modules.group_links import growing_link
from gromo_graph.modules.layer_module import LayerModule
from gromo_graph.modules.pending import expect_channels, pending_layer
from gromo_graph.modules.update_statistics import clear


def layer_of_tensor(
    module: LayerModule, weight: Tensor, bias: Tensor | None, force_bias: bool
) -> torch.nn.Module:
    """A layer like the module's own, with copies of these parameters."""
    if force_bias and module.use_bias != (bias is not None):
        raise GrowthError(
            f"{module.name} has {'a' if module.use_bias else 'no'} bias and the new layer got "
            f"{'none' if bias is None else 'one'}: expected the same, or force_bias=False"
        )
    if weight.dim() != module.weight.dim() or weight.shape[2:] != module.weight.shape[2:]:
        raise GrowthError(
            f"{module.name}: a weight of shape {tuple(weight.shape)} makes no layer like it: expected "
            f"(out, in{''.join(f', {size}' for size in module.weight.shape[2:])})"
        )
    return module.adapter.layer_of(module.layer, weight, bias)


def layer_of_matrix(module: LayerModule, matrix: Tensor) -> torch.nn.Module:
    """A layer like the module's own with the weights of a matrix [weight | bias], (out, columns)."""
    weight, bias = module.adapter.weight_and_bias(module.layer, matrix.to(module.weight))
    return module.adapter.layer_of(module.layer, weight, bias)


@torch.no_grad()
def extend_in(module: LayerModule, weight: Tensor, at: int | None = None) -> None:
    """Insert inputs, by default behind the others."""
    size = weight.shape[1] if weight.dim() > 1 else 0
    expect_shape(module, "weight", weight, module.adapter.in_extension_shape(module.layer, size))
    if size == 0:
        return
    place = module.in_neurons if at is None else at
    module.adapter.extend_in(module.layer, weight.to(module.weight), place)
    inputs_inserted(module, size, place)


@torch.no_grad()
def inputs_inserted(module: LayerModule, size: int, at: int) -> None:
    """Follow a layer that got inputs: statistics of the old width are emptied, pending weights get zeros."""
    clear(module)
    module.changes += 1
    _forget_pass(module)
    for layer in (module.optimal_delta_layer, module.extended_output_layer):
        if layer is not None:
            zeros = module.weight.new_zeros(module.adapter.in_extension_shape(layer, size))
            module.adapter.extend_in(layer, zeros, at)


@torch.no_grad()
def extend_out(module: LayerModule, weight: Tensor, bias: Tensor | None) -> None:
    """Append outputs."""
    adapter, size = module.adapter, weight.shape[0]
    expect_shape(module, "weight", weight, adapter.out_extension_shape(module.layer, size))
    if module.use_bias and bias is None:
        raise GrowthError(f"{module.name} has a bias and its new outputs got none: expected one")
    if not module.use_bias:
        bias = None  # "if needed" says the document, and it is not
    if bias is not None:
        expect_shape(module, "bias", bias, adapter.bias_extension_shape(module.layer, size))
    if size == 0:
        return
    new_bias = None if bias is None else bias.to(module.weight)
    adapter.extend_out(module.layer, weight.to(module.weight), new_bias)
    outputs_appended(module, size)


@torch.no_grad()
def outputs_appended(module: LayerModule, size: int) -> None:
    """Follow a layer that got outputs: statistics of the old width are emptied, pending weights get zeros."""
    # S of the input is still right; what was multiplied with the gradient is not.
    module.tensor_m.reset()
    module.growth_links = None
    module.changes += 1
    _forget_pass(module)
    for layer in (module.optimal_delta_layer, module.extended_input_layer):
        if layer is not None:
            adapter = module.adapter
            zeros = module.weight.new_zeros(adapter.out_extension_shape(layer, size))
            shape = adapter.bias_extension_shape(layer, size)
            adapter.extend_out(layer, zeros, zeros.new_zeros(shape) if adapter.has_bias(layer) else None)


def _forget_pass(module: LayerModule) -> None:
    """Stored activations and the last delta belong to the old sizes."""
    module.capture.clear()
    module.delta_raw = None


def add_parameters(
    module: LayerModule,
    matrix_extension: Tensor | None,
    bias_extension: Tensor | None,
    added_in_features: int,
    added_out_features: int,
) -> None:
    """Append inputs or outputs, with zeros if no values are given."""
    if (added_in_features > 0) == (added_out_features > 0):
        raise GrowthError(
            f"{module.name}: added_in_features is {added_in_features} and added_out_features "
            f"{added_out_features}: expected exactly one of them to be positive"
        )
    adapter = module.adapter
    if added_in_features > 0:
        shape = adapter.in_extension_shape(module.layer, added_in_features)
    else:
        shape = adapter.out_extension_shape(module.layer, added_out_features)
    weight = module.weight.new_zeros(shape) if matrix_extension is None else matrix_extension
    expect_shape(module, "matrix_extension", weight, shape)
    if added_in_features > 0:
        extend_in(module, weight)
        return
    if bias_extension is None and module.use_bias:
        bias_extension = weight.new_zeros(added_out_features)
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
    module.extended_input_layer = pending_layer(module, weight, None, size)
    module.eigenvalues_extension = None
    module.extension_applied = False


@torch.no_grad()
def create_out_extension(module: LayerModule, size: int, init: str = "copy_uniform") -> None:
    """A pending extension of the output with first values."""
    shape = module.adapter.out_extension_shape(module.layer, _checked_size(module, size))
    make, fan_in, bias = initialization(init), module.adapter.fan_in(module.layer), module.bias
    weight = make(shape, module.weight, fan_in)
    new_bias = None if bias is None else make((size,), bias, fan_in)
    module.extended_output_layer = pending_layer(module, weight, new_bias, size)
    module.passed[0].expect(size)


def create_extensions(
    module: LayerModule,
    *,
    neurons: int,
    output_size: int | None,
    input_size: int | None,
    output_init: str,
    input_init: str,
    producer: LayerModule | None,
) -> None:
    """Pending extensions of everything that grows with this module's input: all producers and all consumers.

    Args:
        neurons: how many. output_size: of the producers' outputs, by default as many.
        input_size: of this module's input, by default what the neurons become there.
    """
    group = growing_link(module, producer).group
    for name in (output_init, input_init):
        initialization(name)  # both are known before anything is made
    outputs = _checked_size(module, neurons if output_size is None else output_size)
    for size in (neurons, input_size or 0):
        _checked_size(module, size)
    for each in group.producers:
        create_out_extension(each, outputs, output_init)
    expect_channels(group, outputs)
    for consumer in group.consumers:
        own = neurons * sum(repeats_of(group, consumer))
        create_in_extension(
            consumer, input_size if consumer is module and input_size is not None else own, input_init
        )


def _checked_size(module: LayerModule, size: int) -> int:
    if not isinstance(size, int) or size < 0:
        raise GrowthError(
            f"{module.name}: the size of an extension is {size!r}: expected an int of at least 0"
        )
    return size
