"""The activations of the language: a word, or `{word: setting}` with another setting than torch's default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.frozen import Frozen, as_tuple

ActivationName = Literal[
    "identity",
    "relu",
    "relu6",
    "leaky_relu",
    "gelu",
    "selu",
    "silu",
    "mish",
    "tanh",
    "sigmoid",
    "hardswish",
    "hardsigmoid",
    "hardtanh",
    "softplus",
    "softsign",
    "elu",
    "celu",
]


class SetActivation(Frozen):
    """An activation with a setting: one of these keys."""

    leaky_relu: float | None = Field(None, description="Slope below 0, torch's `negative_slope`.")
    gelu: Literal["tanh"] | None = Field(None, description="Form of GELU: exact, or approximated by tanh.")
    softplus: Annotated[float, Field(gt=0)] | None = Field(None, description="Steepness, torch's `beta`.")
    elu: float | None = Field(None, description="Lowest value with the opposite sign, torch's `alpha`.")
    celu: Annotated[float, Field(gt=0)] | None = Field(None, description="Torch's `alpha`.")
    hardtanh: (
        Annotated[tuple[float, ...], BeforeValidator(as_tuple), Field(min_length=2, max_length=2)] | None
    ) = Field(None, description="Lowest and highest value.")

    @model_validator(mode="after")
    def _check_single(self) -> SetActivation:
        if len(self.written()) != 1:
            raise PydanticCustomError(
                "contradiction",
                "an activation with a setting is a map of one word, such as {leaky_relu: 0.2}",
            )
        if self.hardtanh is not None and self.hardtanh[0] >= self.hardtanh[1]:
            raise PydanticCustomError(
                "contradiction", "`hardtanh` takes [lowest, highest]: the first is smaller"
            )
        return self

    @model_serializer
    def written(self) -> dict[str, Any]:
        """The word and its setting, as in a document."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }

    @property
    def name(self) -> str:
        """The word."""
        return next(iter(self.written()))

    @property
    def setting(self) -> Any:
        """Its setting."""
        return getattr(self, self.name)

    def __str__(self) -> str:
        return f"{self.name} {shown_setting(self.setting)}"


def shown_setting(value: Any) -> str:
    """A setting in a drawing.

    >>> shown_setting(0.2), shown_setting((0.0, 6.0))
    ('0.2', '0 to 6')
    """
    if isinstance(value, tuple):
        return " to ".join(f"{each:g}" for each in value)
    return value if isinstance(value, str) else f"{value:g}"


def activation_of(node: object) -> Activation:
    """The function that the output of a node passes, also of a kind that has none."""
    found: Activation = getattr(node, "activation", "identity")
    return found


def _form(value: Any) -> str:
    return "map" if isinstance(value, SetActivation | Mapping) else "word"


# The discriminator keeps the messages to the form that was written.
Activation = Annotated[
    Annotated[ActivationName, Tag("word")] | Annotated[SetActivation, Tag("map")], Discriminator(_form)
]
