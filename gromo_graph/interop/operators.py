"""What the functions of torch are in a spec: one short function for each, called as torch calls it.

The names are those of `torch.nn.functional`, of tensor methods and of the operators that torch.export leaves; where
they take their arguments in the same order, one function serves all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from gromo_graph.interop.blueprint import Unmapped, View
from gromo_graph.interop.calls import Call, Weight, same_along_axes
from gromo_graph.interop.orders import ORDERS, behind_positions
from gromo_graph.spec.kinds import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    Attention,
    AvgPool1d,
    AvgPool2d,
    BatchNorm,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    DepthwiseConv1d,
    DepthwiseConv2d,
    Dropout,
    Embedding,
    GroupNorm,
    LayerNorm,
    Linear,
    MaxPool1d,
    MaxPool2d,
    Merge,
    Positions,
    Upsample1d,
    Upsample2d,
)

Handler = Callable[..., Any]


# Layers


def linear(call: Call, input: Any, weight: Any, bias: Any = None) -> View:
    """Along the last of several dimensions it is a convolution with a kernel of 1."""
    view, weights = call.view(input), _weights(call, weight=weight, bias=bias)
    fields = {"features": _size(weights["weight"], 0), "bias": weights["bias"] is not None}
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
    weights = _weights(call, weight=weight)
    vocabulary, features = (_size(weights["weight"], dim) for dim in (0, 1))
    source = call.exact(input)
    return behind_positions(
        call, call.add(Embedding, weights, sources=(source,), vocabulary=vocabulary, features=features)
    )


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
        weights = _weights(call, weight=weight, bias=bias)
        out, own, *kernel = (_size(weights["weight"], dim) for dim in range(2 + dimensions))
        fields: dict[str, Any] = {
            "sources": (call.exact(input),),
            "kernel": same_along_axes(kernel, "kernel"),
            "stride": same_along_axes(stride, "stride"),
            "padding": 0 if padding == "valid" else same_along_axes(padding, "padding"),
            "dilation": same_along_axes(dilation, "dilation"),
            "bias": weights["bias"] is not None,
        }
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
        weights = _weights(call, weight=weight, bias=bias)
        channels, own, *kernel = (_size(weights["weight"], dim) for dim in range(2 + dimensions))
        if groups != 1:
            raise Unmapped(
                f"it has {groups} groups of {channels // groups} channels that give {own * groups}: expected one group"
            )
        return call.add(
            kind,
            weights,
            sources=(call.exact(input),),
            features=own,
            kernel=same_along_axes(kernel, "kernel"),
            stride=same_along_axes(stride, "stride"),
            padding=same_along_axes(padding, "padding"),
            output_padding=same_along_axes(output_padding, "output padding"),
            dilation=same_along_axes(dilation, "dilation"),
            bias=weights["bias"] is not None,
        )

    return handle


def dot_product_attention(
    call: Call,
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> View:
    """One head: query, key and value with the features last."""
    if attn_mask is not None or is_causal or dropout_p:
        raise Unmapped("it has a mask or dropout: expected attention to all positions")
    views = [call.view(each) for each in (query, key, value)]
    if not all(view.features_last and len(view.shape) == 2 for view in views):
        raise Unmapped(
            f"it reads {[list(view.shape) for view in views]} of a sample: expected (positions, features) of one head; "
            "several heads are read of nn.MultiheadAttention"
        )
    sources = tuple(call.blueprint.by_features(view) for view in views)
    return behind_positions(call, call.add(Attention, sources=sources, scale=scale))


# Norms


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
    weights = _weights(
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
    weights = _weights(call, weight=weight, bias=bias)
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
    weights = _weights(call, weight=weight, bias=bias)
    return call.add(GroupNorm, weights, sources=(call.exact(input),), groups=num_groups, eps=float(eps))


# Activations: each value alone, so that they do not care as which shape a value is read


def activation(name: str, **expected: Any) -> Handler:
    """The activation `name`, which the language knows with these settings alone."""

    def handle(call: Call, input: Any, *settings: Any, inplace: bool = False, **named: Any) -> View:
        given = dict(zip(expected, settings, strict=False)) | named
        for key, value in given.items():
            if key in expected and value != expected[key]:
                raise Unmapped(
                    f"its {key} is {value!r}: the language knows {name} with {expected[key]!r} alone"
                )
        view = call.view(input)
        node = call.add(Merge, sources=(view.node,), activation=name)
        return replace(view, node=node.node)

    return handle


def dropout(call: Call, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> View:
    view = call.view(input)
    if not training:
        return view
    if view.turned:
        return replace(view, node=call.add(Dropout, sources=(view.node,), p=float(p)).node)
    return call.add(Dropout, sources=(call.exact(view),), p=float(p))


# Pools


def max_pool(dimensions: int) -> Handler:
    kind = (MaxPool1d, MaxPool2d)[dimensions - 1]

    def handle(
        call: Call,
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> View:
        if same_along_axes(dilation, "dilation") != 1:
            raise Unmapped(f"its dilation is {dilation}: expected 1")
        return call.add(kind, sources=(call.exact(input),), **_window(kernel_size, stride, padding))

    return handle


def avg_pool(dimensions: int) -> Handler:
    kind = (AvgPool1d, AvgPool2d)[dimensions - 1]

    def handle(
        call: Call,
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: Any = None,
    ) -> View:
        window = _window(kernel_size, stride, padding)
        if window["padding"] and not count_include_pad:
            raise Unmapped("it leaves the padding out of the mean: expected count_include_pad=True")
        if divisor_override is not None:
            raise Unmapped(f"it divides by {divisor_override}: expected the number of positions")
        return call.add(kind, sources=(call.exact(input),), **window)

    return handle


def adaptive_avg_pool(dimensions: int) -> Handler:
    kind = (AdaptiveAvgPool1d, AdaptiveAvgPool2d)[dimensions - 1]

    def handle(call: Call, input: Any, output_size: Any) -> View:
        source = call.exact(input)
        size = same_along_axes(call.shape[1:] if output_size is None else output_size, "output size")
        return call.add(kind, sources=(source,), size=size)

    return handle


def mean(call: Call, input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> View:
    """The mean over all positions is a pool of size 1."""
    view = call.view(input)
    dims = {place % (len(view.shape) + 1) for place in ([dim] if isinstance(dim, int) else dim or ())}
    positions = set(range(1, len(view.shape)) if view.features_last else range(2, len(view.shape) + 1))
    channels_first = not view.turned and view.own[:1] == view.shape[:1]
    if not positions or dims != positions or not (channels_first or view.features_last) or dtype is not None:
        raise Unmapped(
            f"it takes the mean over {dim!r} of {list(view.shape)}: expected all positions of each channel"
        )
    kind = (AdaptiveAvgPool1d, AdaptiveAvgPool2d)[len(view.own) - 2]
    pooled = call.add(kind, sources=(view.node,), size=1)
    return View(pooled.node, pooled.own, call.shape)


def interpolate(
    call: Call,
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> View:
    """Nearest neighbours, a whole number of times."""
    if mode != "nearest":
        raise Unmapped(f"its mode is {mode!r}: expected nearest")
    return upsample_nearest(call, input)


def upsample_nearest(call: Call, input: Any, *_: Any, **__: Any) -> View:
    """What the arguments ask for shows in the shapes."""
    source = call.exact(input)
    before, after = call.blueprint.shapes[source][1:], tuple(call.shape[1:])
    scales = {new // old for new, old in zip(after, before, strict=True)}
    if len(scales) != 1 or any(new % old for new, old in zip(after, before, strict=True)):
        raise Unmapped(
            f"it makes {list(after)} of {list(before)}: expected one whole multiple along every axis"
        )
    return call.add((Upsample1d, Upsample2d)[len(after) - 1], sources=(source,), scale=scales.pop())


def _window(kernel: Any, stride: Any, padding: Any) -> dict[str, Any]:
    size, step = same_along_axes(kernel, "kernel"), same_along_axes(stride, "stride")
    return {
        "kernel": size,
        "stride": None if step == size else step,
        "padding": same_along_axes(padding, "padding"),
    }


# Where several meet


def add(call: Call, input: Any, other: Any, *, alpha: Any = 1) -> View:
    for value, number in ((input, other), (other, input)):
        if isinstance(number, int | float) and not isinstance(value, int | float):
            if number == 0:  # as Python's sum() begins
                return call.view(value)
            raise Unmapped(f"it adds the number {number}: expected values of nodes")
        if isinstance(number, Weight) and isinstance(value, View) and alpha == 1:
            return _positions(call, value, number)
    a, b = call.view(input), call.view(other)
    if alpha != 1:
        raise Unmapped(f"it multiplies by alpha={alpha} before it adds: expected 1")
    if a.shape != b.shape:
        raise Unmapped(f"it adds {list(a.shape)} and {list(b.shape)}: expected equal shapes")
    return _merged(call, "sum", (a, b), by_features=a.features_last or b.features_last)


def _positions(call: Call, value: View, weight: Weight) -> View:
    """A parameter with a number for each value of a sample, alone or as a batch of one."""
    given = tuple(weight.tensor.shape)
    if len(value.shape) < 2 or given not in (tuple(value.shape), (1, *value.shape)):
        raise Unmapped(
            f"it adds the parameter `{weight.path}` of shape {list(given)} to {list(value.shape)}: expected a number "
            "for each value of a sample"
        )
    tensor = weight.tensor.detach().reshape(value.shape)
    source = call.blueprint.by_features(value) if value.features_last else call.exact(value)
    if value.features_last:
        tensor = tensor.movedim(-1, 0).reshape(call.blueprint.shapes[source])
    parameter = nn.Parameter(tensor.clone(), requires_grad=weight.tensor.requires_grad)
    call.claim(weight)
    view = call.add(Positions, {"weight": Weight(weight.path, parameter)}, sources=(source,))
    return behind_positions(call, view) if value.features_last else view


def cat(call: Call, tensors: Any, dim: int = 0, *, axis: int | None = None) -> View:
    views = [call.view(tensor) for tensor in tensors]
    dimensions = len(views[0].shape)
    along = (dim if axis is None else axis) % (dimensions + 1)
    by_features = dimensions > 1 and along == dimensions
    if along != 1 and not by_features:
        raise Unmapped(f"it concatenates along dimension {along}: expected the features, first or last")
    if len(views) == 1:
        return views[0]
    return _merged(call, "concat", views, by_features=by_features)


def _merged(call: Call, how: str, views: Sequence[View], *, by_features: bool) -> View:
    """Of values that have their features last in the model; where one has, the others are brought to it."""
    blueprint = call.blueprint
    name = call.named(Merge, {})
    if not by_features:
        return blueprint.merge(name, how, views)
    nodes = [blueprint.by_features(view) for view in views]
    if len({len(blueprint.shapes[node]) for node in nodes}) > 1:
        nodes = [blueprint.sequence(node) for node in nodes]
    shapes = [blueprint.shapes[node] for node in nodes]
    plain = [View(node, shape, shape) for node, shape in zip(nodes, shapes, strict=True)]
    return behind_positions(call, blueprint.merge(name, how, plain))


# Another shape, the same numbers in the same order


def reshaped(call: Call, input: Any, *arguments: Any, **named: Any) -> View:
    view = call.view(input)
    becomes_image = len(view.own) == 2 and len(call.shape) == 3 and 1 not in call.shape[1:]
    if becomes_image and not view.turned and call.shape[0] == view.own[0]:
        # Told here and not where it is read, so that a module around it can be kept as it is.
        raise Unmapped(f"it makes an image {list(call.shape)} of a sequence: expected it to stay a sequence")
    return replace(view, shape=call.shape)


def same(call: Call, input: Any, *arguments: Any, **named: Any) -> View:
    return call.view(input)


# What follows from the arguments


def _weights(call: Call, **given: Any) -> dict[str, Weight | None]:
    return {key: call.weight(value, key) for key, value in given.items()}


def _size(weight: Weight | None, dim: int) -> int:
    if weight is None:
        raise Unmapped("it has no weight")
    return int(weight.tensor.shape[dim])


ACTIVATIONS: Mapping[str, Handler] = {
    "relu": activation("relu"),
    "leaky_relu": activation("leaky_relu", negative_slope=0.01),
    "gelu": activation("gelu", approximate="none"),
    "selu": activation("selu"),
    "silu": activation("silu"),
    "tanh": activation("tanh"),
    "sigmoid": activation("sigmoid"),
    "softplus": activation("softplus", beta=1.0, threshold=20.0),
    "elu": activation("elu", alpha=1.0, scale=1.0, input_scale=1.0),
}

FUNCTIONS: Mapping[str, Handler] = {
    "linear": linear,
    "scaled_dot_product_attention": dot_product_attention,
    "embedding": embedding,
    "conv1d": convolution(1),
    "conv2d": convolution(2),
    "conv_transpose1d": transposed_convolution(1),
    "conv_transpose2d": transposed_convolution(2),
    "batch_norm": batch_norm,
    "aten::batch_norm": aten_batch_norm,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    **ACTIVATIONS,
    "dropout": dropout,
    "max_pool1d": max_pool(1),
    "max_pool2d": max_pool(2),
    "avg_pool1d": avg_pool(1),
    "avg_pool2d": avg_pool(2),
    "adaptive_avg_pool1d": adaptive_avg_pool(1),
    "adaptive_avg_pool2d": adaptive_avg_pool(2),
    "interpolate": interpolate,
    **dict.fromkeys(("upsample_nearest1d", "upsample_nearest2d"), upsample_nearest),
    "mean": mean,
    "add": add,
    "cat": cat,
    "concat": cat,
    "concatenate": cat,
    **dict.fromkeys(("flatten", "view", "reshape", "squeeze", "unsqueeze", "_unsafe_view"), reshaped),
    **dict.fromkeys(("contiguous", "clone", "long", "int"), same),
    **ORDERS,
}

VIEWS = frozenset(("flatten", "view", "reshape", "squeeze", "unsqueeze", "contiguous", "identity", *ORDERS))
"""What may give the same memory under another shape."""

HINTS: Mapping[str, str] = {
    **dict.fromkeys(("softmax", "log_softmax"), "leave it to the loss"),
    **dict.fromkeys(
        ("mul", "imul", "sub", "truediv", "div", "matmul", "bmm"), "a spec can add and concatenate, no more"
    ),
    "t": "a spec keeps the batch first",
    **dict.fromkeys(("chunk", "split", "getitem", "select", "slice"), "a spec hands on whole values"),
    **dict.fromkeys(("setitem", "fill", "copy"), "a spec changes nothing in place"),
    "detach": "a spec does not cut the gradient",
}
