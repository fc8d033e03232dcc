"""The meaning of the measures of a finished run: the confusion matrix, and whether a guess would do as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gromo_graph.run.judging.measures import Judge, Measures
from gromo_graph.run.judging.predictions import Predictions

_MOST_CLASSES = 30  # of a matrix that a page can show


def confusion_matrix(judge: Judge, seen: Predictions, classes: Sequence[str | int]) -> dict[str, Any] | None:
    """The number of times that each class (row) was predicted as each class (column); None for very many or no classes.

    Returns:
        `classes`, their names, and `counts`, a list for each true class.
    """
    if judge.task != "classification" or len(classes) > _MOST_CLASSES:
        return None
    from sklearn import metrics

    found = judge.predicted(seen.outputs.double().numpy())
    counts = metrics.confusion_matrix(seen.targets.numpy(), found, labels=list(range(len(classes))))
    return {"classes": [str(each) for each in classes], "counts": counts.tolist()}


def no_better_than_a_guess(
    part: str, measured: Measures, seen: Predictions, classes: Sequence[str | int]
) -> str | None:
    """A sentence if always saying the same would do as well; None if it would not.

    Args:
        part: of the data, by its name. measured: of it. seen: its predictions. classes: their names.
    """
    r2, accuracy, majority = (measured.get(name) for name in ("r2", "accuracy", "majority_rate"))
    if r2 is not None and r2 <= 0.0:
        return f"{part}: R² is {r2:.3g}, no better than always saying the mean"
    if accuracy is None or majority is None or accuracy > majority:
        return None
    guess = "the same labels"
    if seen.targets.dim() == 1:
        guess = f"`{classes[int(np.bincount(seen.targets.numpy()).argmax())]}`"
    found, by_guess = (f"{share:.1%}".replace("%", " %") for share in (accuracy, majority))
    return f"{part}: the accuracy is {found}, no better than always saying {guess} ({by_guess})"
