"""`rotary`: pairs of features are turned by an angle that grows with the position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Features, Operation, Shape, ShapeMismatch
from gromo_graph.spec.kinds.kind_registry import register_kind
from gromo_graph.spec.kinds.refusals import MIXED_HEADS


class Rotary(Operation):
    """Rotary positions (Su et al., 2021), between the layer of a query or key and an `attention`.

    Pair i of a head with d features that are turned is turned by position · base^(−2i/d), so that the products of
    queries and keys depend on the distance of their positions. It reads sequences [features, length]; feature f belongs
    to head f modulo `heads`. New features stand behind those of their head and are not turned, so that the angles of
    the old ones stay (docs/maths.md, "Attention").
    """

    passes_new_unchanged: ClassVar[bool] = True
    kind: Literal["rotary"] = "rotary"
    heads: Features = Field(1, description="Number of heads, as of the attention behind it.")
    dim: Features | None = Field(
        None, description="Features of a head that are turned, the first; by default all of them."
    )
    base: float = Field(
        10000.0,
        gt=0,
        description="The larger, the slower the last pairs turn. Imported networks have the angles of their model.",
    )
    interleaved: bool = Field(
        False,
        description="Whether neighbours are pairs; by default each of the first half has one in the second half.",
    )

    @property
    def details(self) -> tuple[str, ...]:
        """Heads."""
        return () if self.heads == 1 else (f"{self.heads} heads",)

    def turned(self, features: int) -> int:
        """Features of a head that are turned, if all heads together have so many."""
        return features // self.heads if self.dim is None else self.dim

    def unit(self, features: int) -> int:
        """One for each head."""
        return self.heads

    def widened(self, features: int, added: int) -> Rotary:
        """With the number of features written down that are turned while there are so many, as far as they are left."""
        left = (features + added) // self.heads
        turned = min(self.turned(features), max(2, left - left % 2))
        return self.model_copy(update={"dim": turned})

    def why_fixed(self, segments: int, repeated: bool) -> str | None:
        """Every head must get as many new features, behind its own."""
        return MIXED_HEADS if segments > 1 or repeated else None

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the input.

        Raises:
            ShapeMismatch: it is no sequence, or its features are no pairs for each head.
        """
        features = inputs[0][0]
        if len(inputs[0]) != 2:
            raise ShapeMismatch(
                "rotary positions are those of a sequence [features, length]", "give it a sequence"
            )
        if (
            features % self.heads
            or self.turned(features) % 2
            or self.turned(features) > features // self.heads
        ):
            raise ShapeMismatch(
                f"{self.heads} heads with pairs of features to turn need another number of features",
                f"write `heads:` and `dim:` so that each head has an even number of the {features}",
                key="heads",
            )
        return inputs[0]


register_kind(Rotary, "gromo_graph.layers.rotary:TORCH")
