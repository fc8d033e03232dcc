"""Layers and norms of torch's functions in a spec: what has weights of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gromo_graph.interop.blueprint import Unmapped, View
from gromo_graph.interop.calls import Call, Weight, same_along_axes, size_of, weights_of
from gromo_graph.interop.orders import behind_positions
from gromo_graph.spec.kinds import (
    BatchNorm,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    DepthwiseConv1d,
    DepthwiseConv2d,
    Embedding,
    GroupNorm,
    LayerNorm,
    Linear,
)

Handler = Callable[..., Any]


def linear(call: Call, input: Any, weight: Any, bias: Any = None) -> View:
    """Along the last of several dimensions it is a convolution with a kernel of 1."""
    view, weights = call.view(input), weights_of(call, weight=weight, bias=bias)
    fields = {"features": size_of(weights["weight"], 0), "bias": weights["bias"] is not None}
    if len(view.shape) == 1:
        return call.add(Linear, weights, sources=(call.exact(view),), **fields)
    source = call.blueprint.by_features(view)
    kind = (Conv1d, Conv2d)[len(call.blueprint.shapes[source]) - 2]
    return behind_positions(call, call.add(kind, weights, sources=(source,), kernel=1, **fields))


def embedding(
    call: Call,
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> View:
    """torch's operator of export says −1 for no padding."""
    if padding_idx not in (None, -1) or max_norm is not None or scale_grad_by_freq or sparse:
        raise Unmapped(
            f"its padding_idx is {padding_idx}, its max_norm {max_norm}, scale_grad_by_freq {scale_grad_by_freq}, "
            f"sparse {sparse}: expected none of these"
        )
    weights = weights_of(call, weight=weight)
    vocabulary, features = (size_of(weights["weight"], dim) for dim in (0, 1))
    source = call.exact(input)
    return behind_positions(
        call, call.add(Embedding, weights, sources=(source,), vocabulary=vocabulary, features=features)
    )


def _sliding(
    call: Call,
    input: Any,
    weights: Mapping[str, Weight | None],
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
) -> dict[str, Any]:
    """What all kinds of convolutions are told."""
    return {
        "sources": (call.exact(input),),
        "kernel": same_along_axes(kernel, "kernel"),
        "stride": same_along_axes(stride, "stride"),
        "padding": 0 if padding == "valid" else same_along_axes(padding, "padding"),
        "dilation": same_along_axes(dilation, "dilation"),
        "bias": weights["bias"] is not None,
    }


def convolution(dimensions: int) -> Handler:
    kinds = ((Conv1d, DepthwiseConv1d), (Conv2d, DepthwiseConv2d))[dimensions - 1]

    def handle(
        call: Call,
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> View:
        weights = weights_of(call, weight=weight, bias=bias)
        out, own, *kernel = (size_of(weights["weight"], dim) for dim in range(2 + dimensions))
        fields = _sliding(call, input, weights, kernel, stride, padding, dilation)
        if groups == 1:
            return call.add(kinds[0], weights, features=out, **fields)
        if own == 1 and out == groups:
            return call.add(kinds[1], weights, **fields)
        raise Unmapped(
            f"it has {groups} groups of {own} channels that give {out}: expected one group, or a depthwise convolution "
            "with a kernel for each channel"
        )

    return handle


def transposed_convolution(dimensions: int) -> Handler:
    kind = (ConvTranspose1d, ConvTranspose2d)[dimensions - 1]

    def handle(
        call: Call,
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> View:
        weights = weights_of(call, weight=weight, bias=bias)
        channels, own, *kernel = (size_of(weights["weight"], dim) for dim in range(2 + dimensions))
        if groups != 1:
            raise Unmapped(
                f"it has {groups} groups of {channels // groups} channels that give {own * groups}: expected one group"
            )
        fields = _sliding(call, input, weights, kernel, stride, padding, dilation)
        beyond = same_along_axes(output_padding, "output padding")
        return call.add(kind, weights, features=own, output_padding=beyond, **fields)

    return handle


def batch_norm(
    call: Call,
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    num_batches_tracked: Any = None,
) -> View:
    if running_mean is None or running_var is None:
        raise Unmapped("it keeps no running mean and variance: expected track_running_stats=True")
    if weight is None or bias is None:
        raise Unmapped("it has no weight and bias: expected affine=True")
    if momentum is None:
        raise Unmapped("its running mean is that of all batches (momentum=None): expected a number")
    weights = weights_of(
        call,
        weight=weight,
        bias=bias,
        running_mean=running_mean,
        running_var=running_var,
        num_batches_tracked=num_batches_tracked,
    )
    return call.add(
        BatchNorm, weights, sources=(call.exact(input),), eps=float(eps), momentum=float(momentum)
    )


def aten_batch_norm(
    call: Call,
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn: bool = False,
) -> View:
    return batch_norm(call, input, running_mean, running_var, weight, bias, training, momentum, eps)


def layer_norm(
    call: Call,
    input: Any,
    normalized_shape: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn: bool = False,
) -> View:
    view = call.view(input)
    over_all, over_last = tuple(normalized_shape) == view.shape, tuple(normalized_shape) == view.shape[-1:]
    if not over_all and not over_last:
        raise Unmapped(
            f"it normalises {tuple(normalized_shape)} of {list(view.shape)}: expected all values of a sample together, "
            "or the last dimension"
        )
    if weight is None or bias is None:
        raise Unmapped("it has no weight or no bias: expected elementwise_affine=True and bias=True")
    weights = weights_of(call, weight=weight, bias=bias)
    if not over_all:
        source = call.blueprint.by_features(view)
        normed = call.add(LayerNorm, weights, sources=(source,), eps=float(eps), over="features")
        return behind_positions(call, normed)
    return call.add(LayerNorm, weights, sources=(call.exact(view),), eps=float(eps))


def group_norm(
    call: Call,
    input: Any,
    num_groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn: bool = False,
) -> View:
    if weight is None or bias is None:
        raise Unmapped("it has no weight and bias: expected affine=True")
    weights = weights_of(call, weight=weight, bias=bias)
    return call.add(GroupNorm, weights, sources=(call.exact(input),), groups=num_groups, eps=float(eps))
