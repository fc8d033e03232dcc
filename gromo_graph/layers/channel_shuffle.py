"""`channel_shuffle`: the features of several groups take turns. It has no adapter, for nothing grows through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.blueprint import ModelValue
from gromo_graph.plain_torch.rows import PlainTorch, as_function
from gromo_graph.plain_torch.torch_call import TorchCall
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.channel_shuffle import ChannelShuffle


class Shuffled(torch.nn.Module):
    """(n, groups · k, ...) read as (n, groups, k, ...), with the two dimensions exchanged."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """Shuffle the channels, for any number of positions."""
        grouped = x.reshape(x.shape[0], self.groups, -1, *x.shape[2:])
        return grouped.transpose(1, 2).flatten(1, 2)

    def extra_repr(self) -> str:
        """Groups."""
        return f"{self.groups} groups"


def build(node: ChannelShuffle, inputs: Sequence[Shape]) -> Shuffled:
    """The torch module of the node."""
    return Shuffled(node.groups)


def channel_shuffle(call: TorchCall, input: Any, groups: int) -> ModelValue:
    return call.add(ChannelShuffle, sources=(call.exact(input),), groups=groups)


TORCH = TorchHalf(
    build,
    import_functions={"channel_shuffle": channel_shuffle},
    import_modules={torch.nn.ChannelShuffle: as_function(channel_shuffle, "groups")},
    export={
        Shuffled: lambda part: PlainTorch(
            {}, lambda call, x: x.unflatten(1, (part.groups, -1)).transpose(1, 2).flatten(1, 2)
        )
    },
)
"""A shuffle that is written as view, transpose and view is read by `interop/dimension_order.py`."""
