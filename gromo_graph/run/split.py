"""The fixed split: 60 % training, 20 % validation, 20 % test, the same for every seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gromo_graph.errors import RunError
from gromo_graph.run.raw import Array

_FEWEST = 3  # one sample for each part
_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of the three parts, each in the order of the data."""

    train: Array
    validation: Array
    test: Array


def split(name: str, samples: int, labels: Array | None, classes: tuple[str | int, ...] = ()) -> Split:
    """Split rows; with labels every class is split by itself, so that each part holds its share of it.

    Args:
        name: what messages call the data.
        samples: how many rows there are.
        labels: the class index of each row, or None for regression.
        classes: what messages call the classes.

    Raises:
        RunError: a class has too few samples to be in every part.

    >>> parts = split("rows", 10, None)
    >>> len(parts.train), len(parts.validation), len(parts.test)
    (6, 2, 2)
    """
    groups = [np.arange(samples)]
    if labels is not None:
        groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        few = [f"`{classes[int(labels[rows[0]])]}` ({len(rows)})" for rows in groups if len(rows) < _FEWEST]
        if few:
            raise RunError(
                f"{name}: too few samples of {', '.join(few)}: each class needs at least {_FEWEST}, one each "
                "for training, validation and test"
            )
    elif samples < _FEWEST:
        raise RunError(f"{name}: {samples} samples: at least {_FEWEST} are needed, one for each part")
    # RandomState's stream is frozen by numpy: the split stays the same with every version of it.
    random = np.random.RandomState(0)
    parts: list[list[Array]] = [[], [], []]
    for rows in groups:
        shuffled = random.permutation(rows)
        held = max(1, round(_SHARE * len(rows)))
        for part, taken in zip(
            parts, np.split(shuffled, [len(rows) - 2 * held, len(rows) - held]), strict=True
        ):
            part.append(taken)
    train, validation, test = (np.sort(np.concatenate(part)) for part in parts)
    return Split(train, validation, test)
