"""The table of node kinds: a kind is one file here and, where it computes, one in `layers`."""

from __future__ import annotations

from gromo_graph.spec.kinds.attention import Attention
from gromo_graph.spec.kinds.base import Layer, Node, Operation, Shape, ShapeMismatch, WidthRule
from gromo_graph.spec.kinds.conv_transpose import ConvTranspose, ConvTranspose1d, ConvTranspose2d
from gromo_graph.spec.kinds.convolution import Conv1d, Conv2d, Convolution
from gromo_graph.spec.kinds.depthwise import Depthwise, DepthwiseConv1d, DepthwiseConv2d
from gromo_graph.spec.kinds.dropout import Dropout
from gromo_graph.spec.kinds.embedding import Embedding
from gromo_graph.spec.kinds.fixed import Fixed
from gromo_graph.spec.kinds.flatten import Flatten
from gromo_graph.spec.kinds.input import Input
from gromo_graph.spec.kinds.linear import Linear
from gromo_graph.spec.kinds.merge import Merge
from gromo_graph.spec.kinds.norm import BatchNorm, GroupNorm, LayerNorm
from gromo_graph.spec.kinds.pool import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AvgPool1d,
    AvgPool2d,
    MaxPool1d,
    MaxPool2d,
)
from gromo_graph.spec.kinds.positions import Positions
from gromo_graph.spec.kinds.reorder import AsSequence, Transpose
from gromo_graph.spec.kinds.upsample import Upsample1d, Upsample2d

KINDS: dict[str, type[Node]] = {
    "input": Input,
    "linear": Linear,
    "conv1d": Conv1d,
    "conv2d": Conv2d,
    "conv_transpose1d": ConvTranspose1d,
    "conv_transpose2d": ConvTranspose2d,
    "embedding": Embedding,
    "merge": Merge,
    "attention": Attention,
    "flatten": Flatten,
    "dropout": Dropout,
    "batch_norm": BatchNorm,
    "layer_norm": LayerNorm,
    "group_norm": GroupNorm,
    "max_pool1d": MaxPool1d,
    "max_pool2d": MaxPool2d,
    "avg_pool1d": AvgPool1d,
    "avg_pool2d": AvgPool2d,
    "adaptive_avg_pool1d": AdaptiveAvgPool1d,
    "adaptive_avg_pool2d": AdaptiveAvgPool2d,
    "upsample1d": Upsample1d,
    "upsample2d": Upsample2d,
    "transpose": Transpose,
    "sequence": AsSequence,
    "depthwise_conv1d": DepthwiseConv1d,
    "depthwise_conv2d": DepthwiseConv2d,
    "positions": Positions,
}

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
]
