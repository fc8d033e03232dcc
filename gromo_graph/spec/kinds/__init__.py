"""The kinds of nodes: each is one file here and, if it computes, a file of the same name in `layers`.

The names below are those that other code speaks of.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from gromo_graph.spec.kinds.adaptive_avg_pool import AdaptiveAvgPool1d, AdaptiveAvgPool2d
from gromo_graph.spec.kinds.attention import Attention
from gromo_graph.spec.kinds.avg_pool import AvgPool1d, AvgPool2d
from gromo_graph.spec.kinds.base import Layer, Node, Operation, Shape, ShapeMismatch, WidthRule, is_frozen
from gromo_graph.spec.kinds.batch_norm import BatchNorm
from gromo_graph.spec.kinds.conv import Conv1d, Conv2d, Convolution
from gromo_graph.spec.kinds.conv_transpose import ConvTranspose, ConvTranspose1d, ConvTranspose2d
from gromo_graph.spec.kinds.depthwise_conv import Depthwise, DepthwiseConv1d, DepthwiseConv2d
from gromo_graph.spec.kinds.dropout import Dropout
from gromo_graph.spec.kinds.embedding import Embedding
from gromo_graph.spec.kinds.fixed import Fixed
from gromo_graph.spec.kinds.flatten import Flatten
from gromo_graph.spec.kinds.group_norm import GroupNorm
from gromo_graph.spec.kinds.input import Input
from gromo_graph.spec.kinds.kind_registry import KINDS, sort_kinds
from gromo_graph.spec.kinds.layer_norm import LayerNorm
from gromo_graph.spec.kinds.linear import Linear
from gromo_graph.spec.kinds.max_pool import MaxPool1d, MaxPool2d
from gromo_graph.spec.kinds.merge import Merge
from gromo_graph.spec.kinds.positions import Positions
from gromo_graph.spec.kinds.sequence import AsSequence
from gromo_graph.spec.kinds.transpose import Transpose
from gromo_graph.spec.kinds.upsample import Upsample1d, Upsample2d

# A kind is every file of this folder that registers itself: a new one needs no line here.
for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
sort_kinds()

__all__ = [
    "KINDS",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AsSequence",
    "Attention",
    "AvgPool1d",
    "AvgPool2d",
    "BatchNorm",
    "Conv1d",
    "Conv2d",
    "ConvTranspose",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "Convolution",
    "Depthwise",
    "DepthwiseConv1d",
    "DepthwiseConv2d",
    "Dropout",
    "Embedding",
    "Fixed",
    "Flatten",
    "GroupNorm",
    "Input",
    "Layer",
    "LayerNorm",
    "Linear",
    "MaxPool1d",
    "MaxPool2d",
    "Merge",
    "Node",
    "Operation",
    "Positions",
    "Shape",
    "ShapeMismatch",
    "Transpose",
    "Upsample1d",
    "Upsample2d",
    "WidthRule",
    "is_frozen",
]
