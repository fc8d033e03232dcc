"""`attention`: every position of one sequence takes a mean over those of another, weighted by how well they match."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import (
    Features,
    Operation,
    Shape,
    ShapeMismatch,
    Sources,
    Weighted,
    WidthRule,
)
from gromo_graph.spec.kinds.kind_registry import register_kind
from gromo_graph.spec.kinds.refusals import MIXED_HEADS


class Attention(Weighted, Operation):
    """Scaled dot-product attention (Vaswani et al., 2017): `from: [query, key, value]`, in this order.

    Query and key must have the same features, key and value the same positions; usually all three are layers that read
    the same node. The output has the features of the value at the positions of the query. With `causal` a position does
    not attend to later ones. `heads` must divide the features of all three. Feature f belongs to head f modulo `heads`,
    so new features are appended and each head gets equally many.
    """

    width_rule: ClassVar[WidthRule] = WidthRule.LAST
    max_sources: ClassVar[int | None] = 3
    source_names: ClassVar[tuple[str, ...]] = ("query", "key", "value")

    kind: Literal["attention"] = "attention"
    sources: Sources = Field(
        alias="from", min_length=1, description="The query, the key and the value, in this order."
    )
    heads: Features = Field(
        1,
        description=(
            "Number of heads, each with its share of the features of query, key and value. Heads of one node "
            "grow together by one feature each; a head in a node of its own, as `new_head` adds, grows "
            "independently."
        ),
    )
    scale: float | None = Field(
        None,
        gt=0,
        description=(
            "Factor of the products of query and key; by default 1/√(features of a head). Growth writes the "
            "factor into the spec, so that the products of old features do not change."
        ),
    )
    causal: bool = Field(
        False,
        description="Whether each position sees itself and those before it alone, as where the next one is to be told; "
        "those of images count along their rows.",
    )
    relative_position_bias: bool = Field(
        False,
        description="Add to each product of a query and a key a learned number of their head, which depends on how far "
        "apart the two stand along each axis, as in Swin. It begins at 0.",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of the attention weights set to zero in training."
    )

    @property
    def details(self) -> tuple[str, ...]:
        """The number of heads, if there are several, the mask, the bias and the dropout."""
        heads = () if self.heads == 1 else (f"{self.heads} heads",)
        mask = ("causal",) if self.causal else ()
        bias = ("relative bias",) if self.relative_position_bias else ()
        return (*heads, *mask, *bias, *(() if self.dropout == 0.0 else (f"dropout {self.dropout:g}",)))

    @property
    def sight(self) -> dict[str, Any]:
        """The options that say which positions a position sees, and how: a new head beside this one has the same."""
        return {"causal": self.causal, "relative_position_bias": self.relative_position_bias}

    def scale_for(self, features: int) -> float:
        """The factor of the products if query and key have so many features."""
        scale: float = (features // self.heads) ** -0.5 if self.scale is None else self.scale
        return scale

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The features of the value at the positions of the query."""
        query, key, value = inputs
        if any(len(shape) < 2 for shape in inputs):
            raise ShapeMismatch(
                "attention is between positions: it reads a query, a key and a value [features, length]",
                "give it sequences or images",
            )
        if query[0] != key[0]:
            raise ShapeMismatch(
                "the first two, query and key, need the same number of features",
                "give both the same `features`",
            )
        if key[1:] != value[1:]:
            raise ShapeMismatch(
                "the last two, key and value, need the same positions", "let both read the same node"
            )
        for option in ("causal", "relative_position_bias"):
            if getattr(self, option) and query[1:] != key[1:]:
                raise ShapeMismatch(
                    f"with `{option}: true` all three need the same positions",
                    f"let all three read the same node, or leave `{option}` out",
                    key=option,
                )
        if query[0] % self.heads or value[0] % self.heads:
            raise ShapeMismatch(
                f"{self.heads} heads need numbers of features that they divide",
                f"write `heads:` with a divisor of {query[0]} and {value[0]}",
                key="heads",
            )
        return (value[0], *query[1:])

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """With a bias, one for each head and each distance, from 1 − size to size − 1 along each axis."""
        return self.heads * prod(bias_sizes(inputs[0][1:])) if self.relative_position_bias else 0

    def multiply_adds(self, inputs: Sequence[Shape]) -> int:
        """query positions · key positions · (features of the query + features of the value)."""
        query, key, value = inputs
        return prod(query[1:]) * prod(key[1:]) * (query[0] + value[0])

    def unit(self, features: int) -> int:
        """One for each head."""
        return self.heads

    def matched_by(self, features: int) -> Attention:
        """With the scale written down that it has while query and key have so many features."""
        return self.model_copy(update={"scale": self.scale_for(features)})

    def why_fixed(self, segments: int, repeated: bool) -> str | None:
        """Every head must get as many new features."""
        if self.heads > 1 and (segments > 1 or repeated):
            return MIXED_HEADS
        return None


def bias_sizes(sizes: Shape) -> Shape:
    """The number of distances between positions along each axis.

    >>> bias_sizes((7, 4))
    (13, 7)
    """
    return tuple(2 * size - 1 for size in sizes)


register_kind(Attention, "gromo_graph.layers.attention:TORCH")
