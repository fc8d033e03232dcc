"""`grouped_conv1d`, `grouped_conv2d`: groups of channels that change their width. Nothing grows."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gromo_graph.layers.skip_init import skip_init
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.grouped_conv import GroupedConv


def build(node: GroupedConv, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch convolution; its weights are drawn by the compiler."""
    return skip_init(
        (torch.nn.Conv1d, torch.nn.Conv2d)[node.dimensions - 1],
        inputs[0][0],
        node.features,
        node.kernel,
        stride=node.stride,
        padding=node.padding,
        dilation=node.dilation,
        groups=node.groups,
        bias=node.bias,
    )


TORCH = TorchHalf(build)
"""Import and export are those of `conv`: one class of torch is both."""
