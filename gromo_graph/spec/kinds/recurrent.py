"""`lstm`, `gru`: layers that read a sequence position by position and keep a state, which is their output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Layer, Shape, ShapeMismatch
from gromo_graph.spec.kinds.kind_registry import register_kind


class Recurrent(Layer):
    """A recurrent layer: its features are the units of its hidden state.

    Attributes:
        gates: values that each unit computes at a position from the input and the state before.
    """

    affine: ClassVar[bool] = False
    gates: ClassVar[int]

    reverse: bool = Field(False, description="Read from the last position to the first.")

    @property
    def details(self) -> tuple[str, ...]:
        """The direction, if it is not the usual one, and the activation."""
        return (*(("reverse",) if self.reverse else ()), *super().details)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(features, length).

        Raises:
            ShapeMismatch: it reads no sequence.
        """
        if len(inputs[0]) != 2:
            raise ShapeMismatch(
                f"`{self.kind}` reads a sequence [features, length]",
                "make one of an image by `sequence`" if len(inputs[0]) == 3 else "give it a sequence",
            )
        return (self.features, inputs[0][1])

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """gates · features · (features_in + features + 2 biases), as in torch."""
        return self.gates * self.features * (inputs[0][0] + self.features + 2 * self.bias)

    def multiply_adds(self, inputs: Sequence[Shape]) -> int:
        """length · gates · features · (features_in + features)."""
        read, length = inputs[0]
        return length * self.gates * self.features * (read + self.features)


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997): [features, length] becomes [features, length].

    The output is the hidden state at each position; the state before the first one is 0. The last state alone is a
    `pad` that cuts off the positions before it. Both directions are two nodes, one with `reverse`, and a concat. New
    units read the input, and are read by the old ones through weights that begin at 0.
    """

    gates: ClassVar[int] = 4
    kind: Literal["lstm"] = "lstm"


class GRU(Recurrent):
    """Gated recurrent units (Cho et al., 2014) as in torch, in all else like `lstm`."""

    gates: ClassVar[int] = 3
    kind: Literal["gru"] = "gru"


register_kind(LSTM, "gromo_graph.layers.recurrent:TORCH")
register_kind(GRU, "gromo_graph.layers.recurrent:TORCH")
