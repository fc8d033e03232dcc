"""What came of a run, `summary.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Measures(BaseModel):
    """A part of the data.

    Attributes:
        loss, accuracy: means over its samples; None if not measured, the accuracy of a regression too.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    loss: float | None = None
    accuracy: float | None = None


class Summary(BaseModel):
    """A run that is over.

    Attributes:
        steps: growth steps applied.
        reason: why growth ended.
        parameters: trainable numbers at the end.
        train, validation, test: measures of each part of the data.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    steps: int = Field(ge=0)
    reason: str
    parameters: int | None = None
    train: Measures
    validation: Measures
    test: Measures
