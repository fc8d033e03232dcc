"""`softmax`, `log_softmax`: the features of each position become shares of 1, or the logarithms of these."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar, Literal

from gromo_graph.spec.kinds.base import Operation, Shape, WidthRule
from gromo_graph.spec.kinds.kind_registry import register_kind


class Softmax(Operation):
    """Shares of 1 over the features of each position; nothing grows through it. `cross_entropy` applies it itself."""

    width_rule: ClassVar[WidthRule] = WidthRule.FIXED
    kind: Literal["softmax"] = "softmax"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the input."""
        return inputs[0]

    def multiply_adds(self, inputs: Sequence[Shape]) -> int:
        """One for each value."""
        return prod(inputs[0])


class LogSoftmax(Softmax):
    """Logarithms of the shares of 1 over the features of each position; nothing grows through it."""

    kind: Literal["log_softmax"] = "log_softmax"  # type: ignore[assignment]


register_kind(Softmax, "gromo_graph.layers.softmax:TORCH")
register_kind(LogSoftmax, "gromo_graph.layers.softmax:TORCH")
