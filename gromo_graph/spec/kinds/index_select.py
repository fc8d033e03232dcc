"""`index_select`: some features of those that are there, by their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.amounts import amount
from gromo_graph.spec.kinds.base import MAX_FEATURES, Operation, Shape, ShapeMismatch, WidthRule
from gromo_graph.spec.kinds.frozen import as_tuple
from gromo_graph.spec.kinds.kind_registry import register_kind

Place = Annotated[int, Field(ge=0, lt=MAX_FEATURES)]


class IndexSelect(Operation):
    """Takes the features with these numbers, as torch's `index_select` does.

    The node that it reads may grow: new features are not taken. `growth.edges` makes such nodes.
    """

    width_rule: ClassVar[WidthRule] = WidthRule.CHOSEN
    kind: Literal["index_select"] = "index_select"
    index: Annotated[tuple[Place, ...], BeforeValidator(as_tuple), Field(min_length=1)] = Field(
        description="Numbers of the features, counted from 0, in the order in which they are wanted."
    )

    @model_validator(mode="after")
    def _check_index(self) -> IndexSelect:
        if len(set(self.index)) < len(self.index):
            raise PydanticCustomError("contradiction", "`index` names a feature twice")
        return self

    @property
    def details(self) -> tuple[str, ...]:
        """The number of features."""
        return (amount(len(self.index), "feature"),)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(numbers in `index`, *sizes).

        Raises:
            ShapeMismatch: there are fewer features.
        """
        features, *sizes = inputs[0]
        if max(self.index) >= features:
            raise ShapeMismatch(
                f"an index_select of feature {max(self.index)} needs {amount(max(self.index) + 1, 'feature')}",
                f"write numbers from 0 to {features - 1}",
                key="index",
            )
        return (len(self.index), *sizes)

    def renumbered(self, index: Iterable[int]) -> IndexSelect:
        """The node with other numbers of the same features."""
        return self.model_copy(update={"index": tuple(index)})


register_kind(IndexSelect, "gromo_graph.layers.index_select:TORCH")
