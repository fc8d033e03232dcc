"""Raw: data as they were found, before anything is standardised or split."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gromo_graph.amounts import amount
from gromo_graph.errors import RunError
from gromo_graph.spec.train_settings import Task

CHUNK = 1 << 22  # numbers that are looked at at once
Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Raw:
    """Samples and targets as their source gave them.

    Attributes:
        name: what messages call the data.
        x: float64, (samples, ...); mapped from a file it stays what it is there, and images stay bytes.
        y: numbers or text, (samples,) or (samples, outputs); None if there is no target.
        features: the names of the columns of x, or () if they have none.
        classes: the names of the classes 0, 1, ..., or () if they have none.
        task: what the data are for, or None if the source does not say.
        switches: for each number of a sample, whether it is 0 or 1 and is not standardised; () if none is.
        weights: of the samples in the loss, (samples,), 0 or more; None if all weigh the same.
        several: the columns of y that belong to each of several outputs; () if there is one target.
        inputs: the forms of several inputs, whose numbers stand side by side in x; () of one (several_inputs.py).
        validation, test: how many of the last samples are for validation, and behind them for the test, as they come
            from files of their own (held_out.py).
    """

    name: str
    x: Array
    y: Array | None
    features: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    task: Task | None = None
    switches: tuple[bool, ...] = ()
    weights: Array | None = None
    several: tuple[Any, ...] = ()
    inputs: tuple[Any, ...] = ()
    validation: int = 0
    test: int = 0

    @property
    def fingerprint(self) -> str:
        """sha256 of the content: equal for equal data, wherever they lie and whatever they are called."""
        digest = hashlib.sha256()
        weights = () if self.weights is None else (self.weights,)
        for array in (self.x, self.y, *weights):
            if array is None:
                digest.update(b"none")
            elif is_text(array):
                digest.update(repr((array.shape, array.tolist())).encode())
            else:
                rows = array.reshape(len(array), -1)  # a flat image is the same image
                digest.update(repr(rows.shape).encode())
                for chunk in chunks(rows):
                    digest.update(np.ascontiguousarray(chunk, dtype="<f8").tobytes())
        if self.validation or self.test:
            digest.update(repr((self.validation, self.test)).encode())
        return digest.hexdigest()


def is_mapped(array: Array) -> bool:
    """True if it lies on the disk, to be read when it is used."""
    return isinstance(array, np.memmap)


def is_prepared_late(array: Array) -> bool:
    """True if samples become numbers of the network only when they are used: files on the disk, and bytes of images.

    >>> is_prepared_late(np.zeros((2, 1, 8, 8), dtype=np.uint8)), is_prepared_late(np.zeros((2, 3)))
    (True, False)
    """
    return is_mapped(array) or array.dtype == np.uint8


def chunks(rows: Array) -> Iterator[Array]:
    """Rows in pieces that fit into memory; the same pieces for the same data."""
    size = max(1, CHUNK // max(1, math.prod(rows.shape[1:])))
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def is_text(array: Array) -> bool:
    """True if it holds words and not numbers."""
    return array.dtype.kind == "U"


def raw_from(name: str, x: Any, y: Any, **names: Any) -> Raw:
    """Raw data from whatever numpy can read as arrays of numbers (y also of text).

    Raises:
        RunError: no numbers, no samples, different numbers of samples.

    >>> raw_from("points", [[1, 2], [3, 4]], ["a", "b"]).x.shape
    (2, 2)
    """
    samples = _numbers(name, "x", x)
    if samples.ndim < 2:
        raise RunError(
            f"{name}: x has shape {samples.shape}: expected (samples, features), one row for each sample"
        )
    if not len(samples):
        raise RunError(f"{name}: there are no samples in it")
    targets = None if y is None else targets_from(name, y)
    if targets is not None and len(targets) != len(samples):
        raise RunError(
            f"{name}: {amount(len(samples), 'sample')} in x but {amount(len(targets), 'target')} in y: "
            "expected one for each"
        )
    return Raw(name, samples, targets, **names)


def sample_weights(values: Any, samples: int, name: str) -> Array:
    """The weights of samples, (samples,).

    Raises:
        RunError: they are no numbers of 0 or more, not one for each sample, or all 0.
    """
    weights = _numbers(name, "sample_weight", values).reshape(-1)
    if len(weights) != samples:
        raise RunError(
            f"{name}: {amount(len(weights), 'weight')} for {amount(samples, 'sample')}: expected one for each"
        )
    if not (np.isfinite(weights).all() and (weights >= 0.0).all() and weights.any()):
        wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0.0)))
        found = f"{weights[wrong[0]]:g} in row {wrong[0] + 1}" if len(wrong) else "0 in all rows"
        raise RunError(f"{name}: sample_weight is {found}: expected numbers of 0 or more, some above 0")
    return weights


def check_finite(raw: Raw) -> None:
    """Refuse NaN and infinite values, and say where the first one is.

    Raises:
        RunError: with their number, and the row and column of the first.
    """
    _check_finite(raw, raw.x, "x")
    if raw.y is not None and not is_text(raw.y):
        _check_finite(raw, raw.y, "y")


def _check_finite(raw: Raw, array: Array, what: str) -> None:
    if array.dtype.kind not in "fc":
        return  # whole numbers are finite
    found, first, seen = 0, (0, 0), 0
    for chunk in chunks(array.reshape(len(array), -1)):
        bad = np.argwhere(~np.isfinite(chunk))
        if len(bad) and not found:
            first = (seen + int(bad[0][0]), int(bad[0][1]))
        found, seen = found + len(bad), seen + len(chunk)
    if not found:
        return
    row, column = first
    if what == "y":
        place = "the target"
    elif column < len(raw.features) and array.ndim == 2:
        place = f"column `{raw.features[column]}`"
    else:
        place = f"column {column + 1}"
    number = "1 value that is" if found == 1 else f"{amount(found, 'value')} that are"
    raise RunError(
        f"{raw.name}: {number} missing, NaN or infinite, the first in row {row + 1}, {place}: "
        "leave out those rows or fill them in"
    )


def is_masked(values: object) -> bool:
    """True if this is a masked array of numpy, or a list of such.

    >>> is_masked(np.ma.masked_invalid([1.0, np.nan])), is_masked([1.0])
    (True, False)
    """
    parts = values if isinstance(values, list | tuple) else (values,)
    return any(isinstance(part, np.ma.MaskedArray) for part in parts)


def check_unmasked(name: str, what: str, values: object) -> None:
    """Refuse masked arrays: numpy would read the values under the mask as if they had been measured.

    Raises:
        RunError: it is one.
    """
    if is_masked(values):
        raise RunError(
            f"{name}: {what} is a masked array, and the values under its mask would be read as numbers: leave out "
            "those rows, or fill them in, as with .filled(value)"
        )


def _array(name: str, what: str, values: Any) -> Array:
    check_unmasked(name, what, values)
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise RunError(f"{name}: {what} is no array with rows of equal length: {error}") from error


def _numbers(name: str, what: str, values: Any) -> Array:
    array = values if is_mapped(values) else _array(name, what, values)
    if array.dtype.kind not in "biuf":
        raise RunError(f"{name}: {what} holds {array.dtype}: expected numbers")
    return array if is_mapped(array) and what == "x" else array.astype(np.float64)


def targets_from(name: str, values: Any) -> Array:
    """Targets as numbers or text.

    Raises:
        RunError: they are neither.
    """
    array = _array(name, "y", values)
    if array.dtype.kind in "ST":  # bytes, or texts of different lengths
        array = array.astype(np.str_)
    if array.dtype.kind == "O" and all(isinstance(value, str) for value in array.ravel()):
        array = array.astype(np.str_)
    if is_text(array):
        if array.ndim != 1:
            raise RunError(f"{name}: y has shape {array.shape}: expected one class for each sample")
        return array
    return _numbers(name, "y", array)
