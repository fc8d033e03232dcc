"""The results of a run, `summary.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Measures(BaseModel):
    """A part of the data.

    Attributes:
        loss, accuracy: means over its samples; None if not measured, the accuracy of a regression too. The other
            measures of the task stand beside them.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    loss: float | None = None
    accuracy: float | None = None


class Confusion(BaseModel):
    """The number of times that each true class, a row, was predicted as each class, a column.

    Attributes:
        part: of the data. classes: their names. counts: a row for each.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    part: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


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
        notes: about columns, targets and outputs that nothing was learned of, and whether a guess would do as well.
        stopped: why the training ended early. kept_epoch: the epoch whose weights are kept, if not the last ones are.
        threshold: of the second of two classes, if it was tuned.
        confusion_matrix: of classes that are not too many.
    """

    steps: int = Field(ge=0)
    reason: str
    train: Measures
    validation: Measures
    test: Measures
    notes: tuple[str, ...] = ()
    stopped: str | None = None
    kept_epoch: int | None = None
    threshold: float | None = None
    confusion_matrix: Confusion | None = None
