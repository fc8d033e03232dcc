"""Samples whose part their source decides: a file of its own for validation, a test set that comes with the data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from gromo_graph.errors import RunError
from gromo_graph.run.data.raw import Array, Raw, is_text
from gromo_graph.run.data.sources import below
from gromo_graph.run.data.split import Split, split
from gromo_graph.spec.model import Spec
from gromo_graph.spec.train_settings import Fold


def validation_file(spec: Spec, folder: Path | None) -> Path | None:
    """The file or folder with the samples for validation, if a spec names one, relative to its folder."""
    named = spec.train.validation
    return below(folder, named) if isinstance(named, str) else None


def with_validation(raw: Raw, validation: Raw) -> Raw:
    """The data, and behind them the samples of a file of their own for validation.

    Raises:
        RunError: the two have samples or targets of different forms, or classes are in the file for validation alone.
    """
    joined = _joined(raw, validation)
    _check_same_classes(raw, validation)
    return replace(joined, validation=len(validation.x))


def with_test(raw: Raw, test: Raw) -> Raw:
    """As `with_validation`, for samples that their source keeps for the test."""
    return replace(_joined(raw, test), test=len(test.x))


def split_of(
    raw: Raw, labels: Array | None, classes: tuple[str | int, ...], *, validation: float | Fold | None
) -> Split:
    """As `split`, for the samples whose part the source does not decide.

    Args:
        raw: the data. labels, classes: of all samples. validation: as of `split`.

    Raises:
        RunError: a class has too few samples to be in every part.
    """
    samples = len(raw.x)
    validated, tested = samples - raw.validation - raw.test, samples - raw.test
    found = split(
        raw.name,
        validated,
        None if labels is None else labels[:validated],
        classes,
        validation=None if raw.validation else validation,
        test=not raw.test,
    )
    return Split(
        found.train,
        np.arange(validated, tested) if raw.validation else found.validation,
        np.arange(tested, samples) if raw.test else found.test,
    )


def _joined(raw: Raw, other: Raw) -> Raw:
    """
    Raises:
        RunError: the two have samples or targets of different forms.
    """
    assert raw.y is not None
    assert other.y is not None
    for found, expected in ((_form(other), _form(raw)), (_targets(other), _targets(raw))):
        if found != expected:
            raise RunError(f"{other.name}: found {found}, but {expected} in {raw.name}")
    weights = None
    if raw.weights is not None or other.weights is not None:
        weights = np.concatenate([_weights(raw), _weights(other)])
    return replace(
        raw, x=np.concatenate([raw.x, other.x]), y=np.concatenate([raw.y, other.y]), weights=weights
    )


def _check_same_classes(raw: Raw, validation: Raw) -> None:
    """
    Raises:
        RunError: there is a class in the file for validation that no sample of the data has.
    """
    assert raw.y is not None
    assert validation.y is not None
    if not is_text(raw.y):
        return
    known = set(raw.y.ravel().tolist())
    new = sorted(set(validation.y.ravel().tolist()) - known)
    if new:
        listed = ", ".join(f"`{each}`" for each in new[:8]) + (", ..." if len(new) > 8 else "")
        raise RunError(
            f"{validation.name}: no sample of {raw.name} has the {'class' if len(new) == 1 else 'classes'} {listed}: "
            "leave these rows out, or add such samples to the data"
        )


def _form(raw: Raw) -> str:
    inputs = [f"`{form.name}` {list(form.shape)}" for form in raw.inputs]
    if inputs:
        return f"samples of the inputs {', '.join(inputs)}"
    names = f" ({', '.join(raw.features)})" if raw.features else ""
    return f"samples of the shape {list(raw.x.shape[1:])}{names}"


def _targets(raw: Raw) -> str:
    assert raw.y is not None
    if raw.several:
        each = (f"{part.name} ({', '.join(part.classes) or part.width})" for part in raw.several)
        return f"targets {', '.join(each)}"
    return f"a target of {'text' if is_text(raw.y) else f'numbers of the shape {list(raw.y.shape[1:])}'}"


def _weights(raw: Raw) -> Array:
    return np.ones(len(raw.x)) if raw.weights is None else raw.weights
