"""`upsample1d`, `upsample2d`: more positions, channel by channel, by nearest neighbours or by interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gromo_graph.layers.pool import Resampling
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.rows import FunctionRow, as_function
from gromo_graph.plain_torch.torch_call import TorchCall, per_axis
from gromo_graph.spec.kinds import Shape, Upsample1d, Upsample2d
from gromo_graph.spec.kinds.upsample import Upsample


def build(node: Upsample, inputs: Sequence[Shape]) -> torch.nn.Upsample:
    """The torch module of the node; linear ones weigh neighbours so that a constant stays one."""
    corners = node.align_corners if node.mode != "nearest" else None
    if node.size is not None:
        return torch.nn.Upsample(size=node.size, mode=node.mode, align_corners=corners)
    return torch.nn.Upsample(scale_factor=node.scale, mode=node.mode, align_corners=corners)


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
    """To another number of positions; torch computes the places between from the sizes, or from the given scale."""
    if antialias:
        raise Unmapped("it smooths before it samples: expected antialias=False")
    source = call.exact(input)
    before, after = call.blueprint.shapes[source][1:], tuple(call.shape[1:])
    if scale_factor is not None and not recompute_scale_factor:
        scales = scale_factor if isinstance(scale_factor, tuple | list) else [scale_factor] * len(after)
        if any(old * scale != new for old, scale, new in zip(before, scales, after, strict=True)):
            raise Unmapped(
                f"its scale {scale_factor} makes no whole number of {list(before)}: expected a size"
            )
    whole = all(new % old == 0 for old, new in zip(before, after, strict=True))
    sizes = [new // old for old, new in zip(before, after, strict=True)] if whole else after
    fields = {"scale" if whole else "size": per_axis(tuple(sizes))}
    if align_corners:
        fields["align_corners"] = True
    return call.add((Upsample1d, Upsample2d)[len(after) - 1], sources=(source,), mode=mode, **fields)


def by_mode(mode: str) -> FunctionRow:
    """The row of an operator of one mode, whose scale shows in the shapes."""

    def read(call: TorchCall, input: Any, size: Any = None, *arguments: Any, **named: Any) -> ModelValue:
        corners = named.get("align_corners", arguments[0] if arguments and mode != "nearest" else None)
        return interpolate(call, input, mode=mode, align_corners=corners)

    return read


_MODULE = as_function(interpolate, "size", "scale_factor", "mode", "align_corners")

TORCH = TorchHalf(
    build,
    [Resampling(torch.nn.Upsample)],
    import_functions={
        "interpolate": interpolate,
        "upsample_nearest1d": by_mode("nearest"),
        "upsample_nearest2d": by_mode("nearest"),
        "upsample_linear1d": by_mode("linear"),
        "upsample_bilinear2d": by_mode("bilinear"),
        "upsample_bicubic2d": by_mode("bicubic"),
    },
    import_modules={
        torch.nn.Upsample: _MODULE,
        torch.nn.UpsamplingNearest2d: _MODULE,
        torch.nn.UpsamplingBilinear2d: _MODULE,
    },
)
