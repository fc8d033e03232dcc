"""What the modules of torch are in a spec: how each is called as a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from gromo_graph.interop import operators, pools, transformer, weighted
from gromo_graph.interop.blueprint import Unmapped, View
from gromo_graph.interop.calls import Call, Weight
from gromo_graph.spec.kinds.window import TransposedAxis

Layer = Callable[..., Any]
"""(call, module, values...) -> View, or for attention a tuple as torch gives it."""


def _weight(call: Call, module: nn.Module, name: str) -> Weight | None:
    tensor = getattr(module, name)
    return None if tensor is None else Weight(f"{call.where}.{name}".lstrip("."), tensor)


def _linear(call: Call, module: Any, x: Any) -> View:
    return weighted.linear(call, x, _weight(call, module, "weight"), _weight(call, module, "bias"))


def _convolution(dimensions: int) -> Layer:
    convolve = weighted.convolution(dimensions)

    def handle(call: Call, module: Any, x: Any) -> View:
        if module.padding_mode != "zeros":
            raise Unmapped(f"it pads with {module.padding_mode!r}: expected padding_mode='zeros'")
        view: View = convolve(
            call,
            x,
            _weight(call, module, "weight"),
            _weight(call, module, "bias"),
            module.stride,
            module.padding,
            module.dilation,
            module.groups,
        )
        return view

    return handle


def _transposed(dimensions: int) -> Layer:
    convolve = weighted.transposed_convolution(dimensions)

    def handle(call: Call, module: Any, x: Any, output_size: Any = None) -> View:
        weight, bias = _weight(call, module, "weight"), _weight(call, module, "bias")
        further = module.output_padding if output_size is None else _further(call, module, x)
        view: View = convolve(
            call, x, weight, bias, module.stride, module.padding, further, module.groups, module.dilation
        )
        return view

    return handle


def _further(call: Call, module: Any, x: Any) -> tuple[int, ...]:
    """The output padding that leads to the size a module was asked for, which shows in the shapes."""
    sizes = zip(call.blueprint.shapes[call.exact(x)][1:], call.shape[1:], strict=True)
    options = zip(module.kernel_size, module.stride, module.padding, module.dilation, strict=True)
    return tuple(
        made - TransposedAxis.of(kernel, stride, padding, 0, dilation).outputs(size)
        for (size, made), (kernel, stride, padding, dilation) in zip(sizes, options, strict=True)
    )


def _batch_norm(call: Call, module: Any, x: Any) -> View:
    names = ("running_mean", "running_var", "weight", "bias")
    mean, variance, weight, bias = (_weight(call, module, name) for name in names)
    count = _weight(call, module, "num_batches_tracked")
    return weighted.batch_norm(
        call, x, mean, variance, weight, bias, False, module.momentum, module.eps, count
    )


def _layer_norm(call: Call, module: Any, x: Any) -> View:
    weight, bias = _weight(call, module, "weight"), _weight(call, module, "bias")
    return weighted.layer_norm(call, x, module.normalized_shape, weight, bias, module.eps)


def _group_norm(call: Call, module: Any, x: Any) -> View:
    weight, bias = _weight(call, module, "weight"), _weight(call, module, "bias")
    return weighted.group_norm(call, x, module.num_groups, weight, bias, module.eps)


def _activation(name: str, *settings: str) -> Layer:
    activate = operators.ACTIVATIONS[name]

    def handle(call: Call, module: Any, x: Any) -> View:
        view: View = activate(call, x, **{key: getattr(module, key) for key in settings})
        return view

    return handle


def _max_pool(dimensions: int) -> Layer:
    pool = pools.max_pool(dimensions)

    def handle(call: Call, module: Any, x: Any) -> View:
        view: View = pool(call, x, module.kernel_size, module.stride, module.padding, module.dilation)
        return view

    return handle


def _avg_pool(dimensions: int) -> Layer:
    pool = pools.avg_pool(dimensions)

    def handle(call: Call, module: Any, x: Any) -> View:
        divisor = getattr(module, "divisor_override", None)
        view: View = pool(
            call,
            x,
            module.kernel_size,
            module.stride,
            module.padding,
            module.ceil_mode,
            module.count_include_pad,
            divisor,
        )
        return view

    return handle


def _adaptive(dimensions: int) -> Layer:
    pool = pools.adaptive_avg_pool(dimensions)

    def handle(call: Call, module: Any, x: Any) -> View:
        view: View = pool(call, x, module.output_size)
        return view

    return handle


def _embedding(call: Call, module: Any, x: Any) -> View:
    return weighted.embedding(
        call,
        x,
        _weight(call, module, "weight"),
        module.padding_idx,
        module.max_norm,
        module.norm_type,
        module.scale_grad_by_freq,
        module.sparse,
    )


def _upsample(call: Call, module: Any, x: Any) -> View:
    return pools.interpolate(call, x, module.size, module.scale_factor, module.mode, module.align_corners)


LAYERS: Mapping[type[nn.Module], Layer] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution(1),
    nn.Conv2d: _convolution(2),
    nn.ConvTranspose1d: _transposed(1),
    nn.ConvTranspose2d: _transposed(2),
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
    nn.ReLU: _activation("relu"),
    nn.LeakyReLU: _activation("leaky_relu", "negative_slope"),
    nn.GELU: _activation("gelu", "approximate"),
    nn.SELU: _activation("selu"),
    nn.SiLU: _activation("silu"),
    nn.Tanh: _activation("tanh"),
    nn.Sigmoid: _activation("sigmoid"),
    nn.Softplus: _activation("softplus", "beta", "threshold"),
    nn.ELU: _activation("elu", "alpha"),
    nn.MultiheadAttention: transformer.multihead_attention,
    nn.TransformerEncoderLayer: transformer.encoder_layer,
    nn.TransformerEncoder: transformer.encoder,
    nn.Dropout: lambda call, module, x: operators.dropout(call, x, module.p),
    nn.MaxPool1d: _max_pool(1),
    nn.MaxPool2d: _max_pool(2),
    nn.AvgPool1d: _avg_pool(1),
    nn.AvgPool2d: _avg_pool(2),
    nn.AdaptiveAvgPool1d: _adaptive(1),
    nn.AdaptiveAvgPool2d: _adaptive(2),
    nn.Embedding: _embedding,
    nn.Upsample: _upsample,
    nn.UpsamplingNearest2d: _upsample,
    nn.Flatten: lambda call, module, x: operators.reshaped(call, x),
    nn.Unflatten: lambda call, module, x: operators.reshaped(call, x),
    nn.Identity: lambda call, module, x: operators.same(call, x),
}

_OWN = ("__call__", "forward", "_conv_forward")


def layer_of(module: nn.Module) -> Layer | None:
    """How a module is read: as the class of torch that it is, or descends from without another forward pass.

    >>> layer_of(nn.Conv2d(1, 2, 3)) is LAYERS[nn.Conv2d], layer_of(nn.LSTM(2, 3))
    (True, None)
    """
    for kind in type(module).__mro__:
        if kind in LAYERS:
            unchanged = all(getattr(type(module), name, None) is getattr(kind, name, None) for name in _OWN)
            return LAYERS[kind] if unchanged else None
    return None
