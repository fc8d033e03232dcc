"""`upsample1d`, `upsample2d`: every position becomes several equal ones, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gromo_graph.layers.pool import Resampling
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.spec.kinds import Shape, Upsample1d, Upsample2d
from gromo_graph.spec.kinds.upsample import Upsample
from gromo_graph.translation.blueprint import ModelValue, Unmapped
from gromo_graph.translation.rows import as_function
from gromo_graph.translation.torch_call import TorchCall


def build(node: Upsample, inputs: Sequence[Shape]) -> torch.nn.Upsample:
    """The torch module of the node."""
    return torch.nn.Upsample(scale_factor=node.scale)


def interpolate(
    call: TorchCall,
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> ModelValue:
    """Nearest neighbours, a whole number of times."""
    if mode != "nearest":
        raise Unmapped(f"its mode is {mode!r}: expected nearest")
    return upsample_nearest(call, input)


def upsample_nearest(call: TorchCall, input: Any, *_: Any, **__: Any) -> ModelValue:
    """The scale that the arguments ask for shows in the shapes."""
    source = call.exact(input)
    before, after = call.blueprint.shapes[source][1:], tuple(call.shape[1:])
    scales = {new // old for new, old in zip(after, before, strict=True)}
    if len(scales) != 1 or any(new % old for new, old in zip(after, before, strict=True)):
        raise Unmapped(
            f"it makes {list(after)} of {list(before)}: expected one whole multiple along every axis"
        )
    return call.add((Upsample1d, Upsample2d)[len(after) - 1], sources=(source,), scale=scales.pop())


_MODULE = as_function(interpolate, "size", "scale_factor", "mode", "align_corners")

TORCH = TorchHalf(
    build,
    [Resampling(torch.nn.Upsample)],
    import_functions={
        "interpolate": interpolate,
        "upsample_nearest1d": upsample_nearest,
        "upsample_nearest2d": upsample_nearest,
    },
    import_modules={torch.nn.Upsample: _MODULE, torch.nn.UpsamplingNearest2d: _MODULE},
)
