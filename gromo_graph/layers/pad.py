"""`pad`: positions are put around each channel, or cut off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gromo_graph.layers.operation import Channels, refuse_moving_rest
from gromo_graph.layers.pool import Resampling
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.rows import PlainTorch
from gromo_graph.plain_torch.torch_call import TorchCall
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.pad import Pad


class Padded(torch.nn.Module):
    """torch's `functional.pad`."""

    def __init__(self, padding: Sequence[int], mode: str) -> None:
        super().__init__()
        self.padding, self.mode = tuple(padding), mode

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, ...)."""
        return functional.pad(x, self.padding, mode=self.mode)

    def extra_repr(self) -> str:
        """Sides and mode."""
        return f"{self.padding}, mode={self.mode!r}"


def build(node: Pad, inputs: Sequence[Shape]) -> Padded:
    """The torch module of the node."""
    return Padded(node.padding, node.mode)


class PaddedAdapter(Resampling[Padded]):
    """Linear; zeros beside a channel that does not rest at 0 would differ from it."""

    def __init__(self) -> None:
        super().__init__(Padded)

    def tangent(self, operation: Padded, channels: Channels) -> Channels:
        if operation.mode == "constant" and max(operation.padding) > 0:
            refuse_moving_rest(operation, channels.resting)
        return Channels(operation(channels.values), channels.resting)


def pad(
    call: TorchCall, input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> ModelValue:
    """Of positions alone."""
    if mode == "constant" and value not in (None, 0):
        raise Unmapped(f"it pads with {value}: expected zeros")
    view, sides = call.view(input), list(pad)
    if view.features_last and sides[:2] == [0, 0]:
        return call.behind_positions(_added(call, view.node, sides[2:], mode)) if any(sides) else view
    return _added(call, call.exact(view), sides, mode) if any(sides) else view


def _added(call: TorchCall, source: str, sides: list[int], mode: str) -> ModelValue:
    while len(sides) > 2 and sides[-2:] == [0, 0]:
        sides = sides[:-2]
    if len(sides) > 4 or 2 * (len(call.blueprint.shapes[source]) - 1) < len(sides):
        raise Unmapped(f"it pads {sides}: expected positions alone, and no channels")
    return call.add(Pad, sources=(source,), padding=tuple(sides), mode=mode)


def padding_module(mode: str) -> Any:
    """The row of a module of torch that pads."""

    def read(call: TorchCall, module: Any, input: Any) -> ModelValue:
        return pad(call, input, module.padding, mode, getattr(module, "value", None))

    return read


TORCH = TorchHalf(
    build,
    [PaddedAdapter()],
    import_functions={
        "pad": pad,
        "constant_pad_nd": lambda call, x, sides, value=0: pad(call, x, sides, "constant", value),
        **{
            f"{name}_pad{axes}d": lambda call, x, sides, mode=mode: pad(call, x, sides, mode)
            for name, mode in (("reflection", "reflect"), ("replication", "replicate"))
            for axes in (1, 2)
        },
    },
    import_modules={
        **dict.fromkeys(
            (nn.ConstantPad1d, nn.ConstantPad2d, nn.ZeroPad1d, nn.ZeroPad2d), padding_module("constant")
        ),
        **dict.fromkeys((nn.ReflectionPad1d, nn.ReflectionPad2d), padding_module("reflect")),
        **dict.fromkeys((nn.ReplicationPad1d, nn.ReplicationPad2d), padding_module("replicate")),
        **dict.fromkeys((nn.CircularPad1d, nn.CircularPad2d), padding_module("circular")),
    },
    export={
        Padded: lambda part: PlainTorch({}, lambda call, x: functional.pad(x, part.padding, mode=part.mode))
    },
)
