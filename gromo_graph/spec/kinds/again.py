"""`again` and `tied_linear`: nodes with the weights of another node, which they read last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Features, Node, Operation, Shape, ShapeMismatch, WidthRule
from gromo_graph.spec.kinds.kind_registry import register_kind


class Shares(Operation):
    """A node with the weights of the node that stands last in `from`; neither of the two grows."""

    width_rule: ClassVar[WidthRule] = WidthRule.FIXED
    max_sources: ClassVar[int | None] = 2

    def why_ends(self, name: str) -> tuple[str, str]:
        """Widths that the two nodes have together."""
        return f"`{name}` has the weights of another node", f"its width is that of `{name}`"


class Again(Shares):
    """Applies another node once more, with the same weights, to values of the same shape: `from: [input, node]`.

    Training adds up what both places learn. The widths of both stay as they are.
    """

    source_names: ClassVar[tuple[str, ...]] = ("input", "node")
    kind: Literal["again"] = "again"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the other node's output."""
        return inputs[1]


class TiedLinear(Shares):
    """The products of the features at each position with the vectors of an `embedding`: `from: [input, embedding]`.

    A language model tells the next token by them, with the table that it reads tokens by.
    """

    source_names: ClassVar[tuple[str, ...]] = ("input", "embedding")
    kind: Literal["tied_linear"] = "tied_linear"
    features: Features = Field(description="Width of the output: the vocabulary of the embedding.")
    bias: bool = Field(False, description="Add a bias of its own to each feature.")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(features, ...) from (features of the embedding, ...).

        Raises:
            ShapeMismatch: what it reads has another width than the embedding.
        """
        if inputs[0][0] != inputs[1][0]:
            raise ShapeMismatch(
                "a tied_linear node reads as many features as its embedding has", "give both the same width"
            )
        return (self.features, *inputs[0][1:])

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """Its bias: the other weights are those of the embedding."""
        return self.features * self.bias

    def multiply_adds(self, inputs: Sequence[Shape]) -> int:
        """features · values read."""
        return self.features * prod(inputs[0])


def shared_by(nodes: Mapping[str, Node]) -> dict[str, str]:
    """By the name of each node whose weights another one has too, the name of that."""
    return {node.sources[1]: name for name, node in nodes.items() if isinstance(node, Shares)}


register_kind(Again, "gromo_graph.layers.again:AGAIN")
register_kind(TiedLinear, "gromo_graph.layers.again:TIED")
