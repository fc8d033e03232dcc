"""The results of a run, `summary.json`."""

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


class Results(BaseModel):
    """The results of a run that a page shows; any of them may be missing.

    Attributes:
        reason: why growth ended.
        parameters: trainable numbers at the end.
        train, validation, test: measures of each part of the data.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    reason: str | None = None
    parameters: int | None = None
    train: Measures | None = None
    validation: Measures | None = None
    test: Measures | None = None


class Summary(Results):
    """All that is known of a run that is over.

    Attributes:
        steps: growth steps applied.
        notes: about columns, targets and outputs that nothing was learned of.
    """

    steps: int = Field(ge=0)
    reason: str
    train: Measures
    validation: Measures
    test: Measures
    notes: tuple[str, ...] = ()
