"""The fixed split, the same for every seed, by default 60, 20 and 20 % of the samples; and one of two parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gromo_graph.amounts import amount
from gromo_graph.errors import RunError
from gromo_graph.run.data.raw import Array
from gromo_graph.spec.train_settings import Fold

_SHARE = 0.2
_NAMED = 8


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of the three parts, each in the order of the data."""

    train: Array
    validation: Array
    test: Array


def split(
    name: str,
    samples: int,
    labels: Array | None,
    classes: tuple[str | int, ...] = (),
    *,
    validation: float | Fold | None = _SHARE,
    test: bool = True,
) -> Split:
    """Split rows; with labels every class is split by itself, so that each part holds its share of it.

    Args:
        name: what messages call the data.
        samples: how many rows there are.
        labels: the class index of each row, or None for regression.
        classes: what messages call the classes.
        validation: the share of all rows for validation, or the fold of those that are not for the test; None for
            validation rows that come from elsewhere.
        test: False for test rows that come from elsewhere.

    Raises:
        RunError: a class has too few samples to be in every part.

    >>> parts = split("rows", 10, None)
    >>> len(parts.train), len(parts.validation), len(parts.test)
    (6, 2, 2)
    """
    named = ("training", *(["validation"] if validation is not None else []), *(["test"] if test else []))
    fewest = max(len(named), validation.of + test if isinstance(validation, Fold) else 0)
    one_each = f"one each for {', '.join(named[:-1])} and {named[-1]}"
    groups = _groups(samples, labels)
    if labels is not None:
        few = [f"`{classes[int(labels[rows[0]])]}` ({len(rows)})" for rows in groups if len(rows) < fewest]
        if few:
            more = f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""
            raise RunError(
                f"{name}: too few samples of {', '.join(few[:_NAMED])}{more}: each class needs at least "
                f"{fewest}, {one_each if fewest == len(named) else 'one a fold'}"
            )
    elif samples < fewest:
        raise RunError(
            f"{name}: {amount(samples, 'sample')}: at least {fewest} are needed, one for each part"
        )
    # RandomState's stream is frozen by numpy: the split stays the same with every version of it.
    random = np.random.RandomState(0)
    parts: list[list[Array]] = [[], [], []]
    for rows in groups:
        shuffled = random.permutation(rows)
        kept = len(rows) - (max(1, round(_SHARE * len(rows))) if test else 0)
        rest, tested = shuffled[:kept], shuffled[kept:]
        for part, taken in zip(
            parts, (*_train_and_held_out(rest, validation, len(rows)), tested), strict=True
        ):
            part.append(taken)
    return Split(*(np.sort(np.concatenate(part)) for part in parts))


def _groups(samples: int, labels: Array | None) -> list[Array]:
    """The rows of each class, or all together."""
    if labels is None:
        return [np.arange(samples)]
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def _train_and_held_out(rows: Array, validation: float | Fold | None, samples: int) -> tuple[Array, Array]:
    """Rows for the training and for validation.

    Args:
        rows: of one class that are not for the test. validation: as of `split`. samples: of the class.
    """
    if isinstance(validation, Fold):
        folds = np.array_split(rows, validation.of)
        held_out = folds.pop(validation.fold - 1)
        return np.concatenate(folds), held_out
    wanted = 0 if validation is None else min(max(1, round(validation * samples)), len(rows) - 1)
    return rows[: len(rows) - wanted], rows[len(rows) - wanted :]


def hold_out(samples: int, labels: Array | None, share: float, *, seed: int) -> Split:
    """Two parts, without test: a share is held out for validation; with labels, of every class by itself.

    Of each class one sample at least is trained on, so that of a class with a single one nothing is held out.

    Args:
        samples: how many rows there are, 2 or more. labels: the class index of each, or None.
        share: to hold out, between 0 and 1; one sample at least. seed: of the draw.

    >>> parts = hold_out(10, None, 0.2, seed=0)
    >>> len(parts.train), len(parts.validation), len(parts.test)
    (8, 2, 0)
    """
    random = np.random.RandomState(seed % 2**32)
    groups = _groups(samples, labels)
    held = [min(round(share * len(rows)), len(rows) - 1) for rows in groups]
    if not sum(held):
        held[int(np.argmax([len(rows) for rows in groups]))] = 1
    shuffled = [random.permutation(rows) for rows in groups]
    train = np.concatenate([rows[count:] for rows, count in zip(shuffled, held, strict=True)])
    validation = np.concatenate([rows[:count] for rows, count in zip(shuffled, held, strict=True)])
    return Split(np.sort(train), np.sort(validation), np.arange(0))
