"""`embedding`: a learned vector for each token; the ids of the tokens are looked up in a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.base import Features, Layer, Shape, ShapeMismatch
from gromo_graph.spec.kinds.kind_registry import register_kind


def _read_no_bias(value: Any) -> Any:
    if value is not False:
        raise PydanticCustomError("form", "expected false: each token has numbers of its own already")
    return value


NoBias = Annotated[Literal[False], BeforeValidator(_read_no_bias)]


class Embedding(Layer):
    """An embedding of a sequence of tokens: [length] becomes [features, length].

    It reads an input of shape [length] that no other node reads: integers from 0 to `vocabulary` − 1, which are
    not standardised.
    """

    reads_tokens: ClassVar[bool] = True
    kind: Literal["embedding"] = "embedding"
    vocabulary: Features = Field(description="Number of different tokens; ids start at 0.")
    padding_idx: int | None = Field(
        None,
        ge=0,
        description="Id of the token that fills rows up: its vector begins with zeros, and training leaves it alone.",
    )
    bias: NoBias = Field(False, description="Always false: an embedding has no bias.")

    @property
    def tokens(self) -> int | None:
        """The number of different tokens."""
        return self.vocabulary

    @property
    def details(self) -> tuple[str, ...]:
        """Vocabulary, padding and activation."""
        padding = () if self.padding_idx is None else (f"padding {self.padding_idx}",)
        return (f"{self.vocabulary:,} tokens", *padding, *super().details)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(features, length) from (length,)."""
        if self.padding_idx is not None and self.padding_idx >= self.vocabulary:
            raise ShapeMismatch(
                f"`padding_idx` is a token id below the vocabulary of {self.vocabulary}",
                "write one of these ids, or leave it out",
                key="padding_idx",
            )
        if len(inputs[0]) != 1:
            raise ShapeMismatch(
                "an embedding node reads a row of token ids [length]",
                f"give the input the shape [{inputs[0][-1]}]",
            )
        return (self.features, inputs[0][0])

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """features · vocabulary."""
        return self.features * self.vocabulary


register_kind(Embedding, "gromo_graph.layers.embedding:TORCH")
