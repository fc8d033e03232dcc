"""The judgement at the end of a run: the measures of every part of the data, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from gromo_graph.run.judging.measures import Judge
from gromo_graph.run.judging.predictions import Predictions
from gromo_graph.run.judging.threshold import tuned_threshold
from gromo_graph.run.judging.verdict import confusion_matrix, no_better_than_a_guess


def judged_run(
    predictions: Callable[[str], Predictions],
    parts: Sequence[str],
    judge: Judge,
    *,
    classes: Sequence[str | int],
    tune: bool,
) -> dict[str, Any]:
    """The judgement of a network on all parts of its data.

    Args:
        predictions: those of a part, by its name; one part is held at a time.
        parts: validation is one of them; test is judged if it is there, else validation.
        judge: of the task. classes: their names, or none.
        tune: whether the threshold between two classes is chosen on the validation part first.

    Returns:
        The measures of each part by its name; and, as far as there are any, the `threshold` that was tuned, the
        `confusion_matrix` and the `notes`.
    """
    found: dict[str, Any] = {}
    if tune and len(classes) == 2:
        found["threshold"] = tuned_threshold(predictions("validation"))
        judge = replace(judge, threshold=found["threshold"])
    last = "test" if "test" in parts else "validation"
    for part in parts:
        seen = predictions(part)
        found[part] = judge.measures(seen)
        if part == last:
            matrix = confusion_matrix(judge, seen, classes)
            note = no_better_than_a_guess(part, found[part], seen, classes)
            found |= {"confusion_matrix": {"part": part, **matrix}} if matrix else {}
            found |= {"notes": (note,)} if note else {}
    return found
