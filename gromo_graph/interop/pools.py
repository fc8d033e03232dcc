"""Pools of torch's functions in a spec, and the way back from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gromo_graph.interop.blueprint import Unmapped, View
from gromo_graph.interop.calls import Call, same_along_axes
from gromo_graph.spec.kinds import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AvgPool1d,
    AvgPool2d,
    MaxPool1d,
    MaxPool2d,
    Upsample1d,
    Upsample2d,
)

Handler = Callable[..., Any]


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
