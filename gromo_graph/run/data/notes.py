"""Notes about data that a person should know, though the training takes them: said once, and kept in the summary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gromo_graph.amounts import amount, plural
from gromo_graph.run.data.raw import Array, Raw, is_text

_NAMED = 5
_LITTLE = "the standard deviation is under 1e-12 of the scale"


def constant_columns(raw: Raw, constant: Array, *, features: Sequence[str], channels: bool) -> list[str]:
    """A note about columns of x that never change.

    Args:
        raw: the data.
        constant: for each column, or each channel, whether it is the same in all training samples.
        features: the names of the columns, or ().
        channels: whether an entry is a channel of an image or a sequence.

    >>> raw = Raw("d", np.zeros((2, 3)), None)
    >>> constant_columns(raw, np.array([True, False, True]), features=("a", "b", "c"), channels=False)
    ['d: columns `a`, `c` are constant in the training part (the standard deviation is under 1e-12 of the scale): ...']
    """
    places = np.flatnonzero(constant).tolist()
    if not places:
        return []
    named = len(features) == len(constant) and not channels
    words = [f"`{features[place]}`" if named else str(place + 1) for place in places[:_NAMED]]
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    what = ("channel" if channels else "column") + ("s" if len(places) > 1 else "")
    are = "are" if len(places) > 1 else "is"
    advice = "nothing is learned from what never changes"
    return [
        f"{raw.name}: {what} {', '.join(words)}{more} {are} constant in the training part ({_LITTLE}): {advice}"
    ]


def constant_values(raw: Raw, constant: Array) -> list[str]:
    """A note about target values that are the same in all training samples.

    Args:
        raw: the data. constant: for each value of a target, whether it never changes.
    """
    if not constant.any():
        return []
    places = ", ".join(str(place + 1) for place in np.flatnonzero(constant)[:_NAMED].tolist())
    which = "the target" if len(constant) == 1 else f"the target in column {places}"
    return [f"{raw.name}: {which} is constant in the training part ({_LITTLE}): there is nothing to predict"]


def single_class(raw: Raw) -> list[str]:
    """A note about a target that has one class alone."""
    assert raw.y is not None
    labels = np.unique(raw.y)
    if len(labels) > 1:
        return []
    label = str(labels[0]) if is_text(labels) else f"{labels[0]:g}"
    return [f"{raw.name}: the target has one class alone, `{label}`: there is nothing to predict"]


def missing_classes(name: str, known: Sequence[str | int], taught: Array) -> list[str]:
    """A note about classes of an earlier run that no training sample has.

    Args:
        name: of the data. known: the classes of the earlier run, which come first. taught: the class index of each
            training sample.

    >>> missing_classes("more.csv", ("pear", "fig"), np.array([2, 2, 1]))
    ['more.csv: no training sample has the class `pear` that the first weights know: predictions of it get worse, ...']
    """
    numbers = not any(
        isinstance(each, str) for each in known
    )  # beside names a number is an output without a class
    present = set(np.unique(taught).tolist())
    lost = [
        each
        for place, each in enumerate(known)
        if place not in present and (numbers or isinstance(each, str))
    ]
    if not lost:
        return []
    listed = ", ".join(f"`{each}`" for each in lost[:_NAMED])
    more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
    return [
        f"{name}: no training sample has the {plural('class', len(lost))} {listed}{more} that the first weights know: "
        f"predictions of {'it' if len(lost) == 1 else 'them'} get worse, keep some of the old samples"
    ]


def classes_in(raw: Raw) -> int:
    """The number of classes of the data: those that have names, or else those that a sample has."""
    assert raw.y is not None
    return max(len(raw.classes), len(np.unique(raw.y)))


def unused_outputs(raw: Raw, outputs: int) -> str | None:
    """A note about outputs without a class; None if each has one.

    >>> unused_outputs(Raw("d", np.zeros((2, 1)), np.array([0.0, 1.0])), 5)
    'd: the output of the spec has 5 features for 2 classes: no sample teaches the other 3'
    """
    classes = classes_in(raw)
    if outputs <= classes:
        return None
    found = amount(classes, "class")
    return (
        f"{raw.name}: the output of the spec has {amount(outputs, 'feature')} for {found}: no sample teaches the other "
        f"{outputs - classes}"
    )
