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
from gromo_graph.interop.calls import Call, Weight
from gromo_graph.interop.orders import ORDERS, behind_positions
from gromo_graph.interop.pools import (
    adaptive_avg_pool,
    avg_pool,
    interpolate,
    max_pool,
    mean,
    upsample_nearest,
)
from gromo_graph.interop.weighted import (
    aten_batch_norm,
    batch_norm,
    convolution,
    embedding,
    group_norm,
    layer_norm,
    linear,
    transposed_convolution,
)
from gromo_graph.spec.kinds import (
    Attention,
    Dropout,
    Merge,
    Positions,
)

Handler = Callable[..., Any]


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
    if not all(view.features_last and view.shape[:-2] in ((), (1,)) for view in views):
        raise Unmapped(
            f"it reads {[list(view.shape) for view in views]} of a sample: expected (positions, features) of one head; "
            "several heads are read of nn.MultiheadAttention"
        )
    sources = tuple(call.blueprint.by_features(view) for view in views)
    return behind_positions(call, call.add(Attention, sources=sources, scale=scale))


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
