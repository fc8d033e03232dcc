"""The table of node kinds: a kind is one file here and, where it computes, one in `modules/adapters`."""

from __future__ import annotations

from gromo_graph.spec.kinds.base import Layer, Node, Shape, ShapeMismatch, WidthRule
from gromo_graph.spec.kinds.dropout import Dropout
from gromo_graph.spec.kinds.flatten import Flatten
from gromo_graph.spec.kinds.input import Input
from gromo_graph.spec.kinds.linear import Linear
from gromo_graph.spec.kinds.merge import Merge

KINDS: dict[str, type[Node]] = {
    "input": Input,
    "linear": Linear,
    "merge": Merge,
    "flatten": Flatten,
    "dropout": Dropout,
}

__all__ = [
    "KINDS",
    "Dropout",
    "Flatten",
    "Input",
    "Layer",
    "Linear",
    "Merge",
    "Node",
    "Shape",
    "ShapeMismatch",
    "WidthRule",
]
