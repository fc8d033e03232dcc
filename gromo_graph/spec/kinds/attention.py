"""`attention`: every position of one sequence takes a mean over those of another, weighted by how well they match."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

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
from gromo_graph.spec.kinds.per_axis import MarginPerAxis, PositionsPerAxis, along, short_text
from gromo_graph.spec.kinds.refusals import MIXED_HEADS


class Attention(Weighted, Operation):
    """Scaled dot-product attention (Vaswani et al., 2017): `from: [query, key, value]`, in this order.

    A fourth node in `from` is a mask with a number for each position of the key: those with a 0 are seen by none, such
    as the ids that fill up a short text (`padding_mask`).

    Query and key must have the same features, key and value the same positions; usually all three are layers that read
    the same node. The output has the features of the value at the positions of the query. With `causal` a position does
    not attend to later ones. `heads` must divide the features of all three. Feature f belongs to head f modulo `heads`,
    so new features are appended and each head gets equally many.
    """

    width_rule: ClassVar[WidthRule] = WidthRule.LAST
    max_sources: ClassVar[int | None] = 4
    source_names: ClassVar[tuple[str, ...]] = ("query", "key", "value")

    kind: Literal["attention"] = "attention"
    sources: Sources = Field(
        alias="from",
        min_length=1,
        description="The query, the key and the value, in this order, and a mask if any.",
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
    window: PositionsPerAxis | None = Field(
        None,
        description="Size of windows: each position sees those of its window alone. Windows lie side by side and "
        "must fill the positions. A list gives each axis a size, height first.",
    )
    grid: PositionsPerAxis | None = Field(
        None,
        description="The same, but the positions of a window are spread over each axis at equal distances, as the "
        "grid of MaxViT.",
    )
    rolled: MarginPerAxis = Field(
        0,
        description="Positions by which all three were moved to the front by a `roll` (shifted windows, as in Swin): "
        "those that came around an edge and their new neighbours do not see each other.",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of the attention weights set to zero in training."
    )

    @model_validator(mode="after")
    def _check_windows(self) -> Attention:
        if self.window is not None and self.grid is not None:
            raise PydanticCustomError(
                "contradiction", "`window` and `grid` are two ways to part positions: write one"
            )
        if self.rolled != 0 and self.window is None:
            raise PydanticCustomError("contradiction", "`rolled` is of windows: write their `window:` too")
        if self.window is not None and any(
            rolled >= size for rolled, size in zip(along(self.rolled, 2), along(self.window, 2), strict=True)
        ):
            raise PydanticCustomError("contradiction", "`rolled` moves windows by less than their size")
        return self

    @property
    def details(self) -> tuple[str, ...]:
        """The number of heads, if there are several, the window, the mask, the bias and the dropout."""
        found = (
            (self.heads > 1, f"{self.heads} heads"),
            (self.window is not None, f"window {short_text(self.window or 0)}"),
            (self.rolled != 0, f"rolled {short_text(self.rolled)}"),
            (self.grid is not None, f"grid {short_text(self.grid or 0)}"),
            (self.causal, "causal"),
            (self.relative_position_bias, "relative bias"),
            (self.dropout > 0.0, f"dropout {self.dropout:g}"),
        )
        return tuple(text for is_there, text in found if is_there)

    @property
    def sight(self) -> dict[str, Any]:
        """The options that say which positions a position sees, and how: a new head beside this one has the same."""
        names = ("causal", "relative_position_bias", "window", "grid", "rolled")
        return {name: getattr(self, name) for name in names}

    @property
    def parts_positions(self) -> bool:
        """True if a position sees some others alone: those of its window."""
        return self.window is not None or self.grid is not None

    def seen(self, sizes: Shape) -> Shape:
        """The sizes of what a position sees, of positions of these sizes."""
        window = self.window if self.grid is None else self.grid
        return sizes if window is None else along(window, len(sizes))

    def scale_for(self, features: int) -> float:
        """The factor of the products if query and key have so many features."""
        scale: float = (features // self.heads) ** -0.5 if self.scale is None else self.scale
        return scale

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The features of the value at the positions of the query."""
        query, key, value, *masks = inputs
        if any(len(shape) < 2 for shape in inputs[:3]):
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
        for option in ("causal", "relative_position_bias", "window", "grid"):
            if getattr(self, option) and query[1:] != key[1:]:
                written = json.dumps(getattr(self, option))
                raise ShapeMismatch(
                    f"with `{option}: {written}` all three need the same positions",
                    f"let all three read the same node, or leave `{option}` out",
                    key=option,
                )
        self._check_parts(query[1:])
        if any(mask not in ((prod(key[1:]),), (1, *key[1:])) for mask in masks):
            raise ShapeMismatch(
                "the fourth, a mask, needs one number for each position of the key",
                "let a `padding_mask` read the token ids, or leave it out",
            )
        if query[0] % self.heads or value[0] % self.heads:
            raise ShapeMismatch(
                f"{self.heads} heads need numbers of features that they divide",
                f"write `heads:` with a divisor of {query[0]} and {value[0]}",
                key="heads",
            )
        return (value[0], *query[1:])

    def _check_parts(self, sizes: Shape) -> None:
        """
        Raises:
            ShapeMismatch: windows do not fill positions of these sizes.
        """
        key = "window" if self.grid is None else "grid"
        for option in (key, "rolled"):
            value = getattr(self, option)
            if isinstance(value, tuple) and len(sizes) == 1:
                raise ShapeMismatch(
                    f"`{option}` is one number for a sequence", f"write `{option}: {value[0]}`", key=option
                )
        window = self.seen(sizes)
        if any(size % part for size, part in zip(sizes, window, strict=True)):
            raise ShapeMismatch(
                f"windows of {'×'.join(map(str, window))} must fill all positions",
                f"write `{key}:` with divisors of {' and '.join(map(str, sizes))}, or put a `pad` before",
                key=key,
            )

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """With a bias, one for each head and each distance, from 1 − size to size − 1 along each axis."""
        return self.heads * prod(bias_sizes(self.seen(inputs[0][1:]))) if self.relative_position_bias else 0

    def multiply_adds(self, inputs: Sequence[Shape]) -> int:
        """query positions · key positions that each sees · (features of the query + features of the value)."""
        query, key, value = inputs[:3]
        return prod(query[1:]) * prod(self.seen(key[1:])) * (query[0] + value[0])

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
