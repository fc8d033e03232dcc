"""Reading DataFrames and Series of pandas; pandas itself is not imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gromo_graph.errors import RunError
from gromo_graph.run.data.columns import choose_columns
from gromo_graph.run.data.raw import Array, Raw, raw_from

_NUMBERS = "biuf"


def is_frame(value: object) -> bool:
    """True if this is a DataFrame.

    >>> is_frame({"x": [1.0]})
    False
    """
    return _is_of_pandas(value, "DataFrame")


def is_series(value: object) -> bool:
    """True if this is a Series."""
    return _is_of_pandas(value, "Series")


def has_other_columns(value: Any) -> bool:
    """True for a DataFrame with a column of something else than numbers.

    >>> has_other_columns([["a"]])
    False
    """
    return is_frame(value) and any(getattr(dtype, "kind", "O") not in _NUMBERS for dtype in value.dtypes)


def read_frame(
    frame: Any, *, name: str, known: Sequence[str] = (), size: int | None = None, target: bool = True
) -> Raw:
    """The data of a DataFrame: features and a target, as of a table with a header (`choose_columns`).

    Columns that are only numbered, as those of an array, have no names. A target of texts or categories is one of
    classes, whatever the categories are.

    Args:
        frame: a row for each sample.
        name: what messages call it.
        known, size: of a trained network, see `choose_columns`.
        target: False leaves out a target that may be there.

    Raises:
        RunError: a feature is no number, or a class is missing (with the row and the column).
    """
    header = _header(frame)
    columns = choose_columns(name, header, frame.shape[1], known=known, size=size)
    y = None
    if target and columns.target is not None:
        y = series_values(frame.iloc[:, columns.target], name, _called(header, columns.target))
    return _of_features(frame, columns.x, y, name)


def read_pair(x: Any, y: Any, *, name: str, known: Sequence[str] = (), **names: Any) -> Raw:
    """The data of features and targets, each of pandas or anything that numpy can read.

    Args:
        x, y: as they were given. name: what messages call them.
        known: the columns that a network was trained on.
        names: `features` and `classes`, if they are known.

    Raises:
        RunError: as `read_frame`; or the rows of x and y stand in different orders.
    """
    if is_frame(x) and (is_frame(y) or is_series(y)):
        _check_same_order(x, y, name)
    values = _targets(y, name)
    if not is_frame(x):
        return raw_from(name, x, values, **names)
    header = _header(x)
    places = tuple(range(x.shape[1]))
    if known and header is not None:
        places = choose_columns(name, header, x.shape[1], known=known).x
    return _of_features(x, places, values, name, **names)


def series_values(series: Any, name: str, called: str) -> Array:
    """The numbers of a Series, or its texts if it holds texts or categories.

    Args:
        series: the values. name: what messages call the data. called: what they call the column.

    Raises:
        RunError: it holds something else, or a class is missing.
    """
    if not _holds_labels(series):
        return _numbers(series, name, called)
    missing = np.flatnonzero(series.isna().to_numpy())
    if len(missing):
        raise RunError(f"{name}: row {missing[0] + 1}: {called} is empty: expected a class")
    return np.array([str(label) for label in series.tolist()])


def _is_of_pandas(value: object, kind: str) -> bool:
    return any(
        each.__name__ == kind and each.__module__.partition(".")[0] == "pandas"
        for each in type(value).__mro__
    )


def _header(frame: Any) -> tuple[str, ...] | None:
    labels = frame.columns.tolist()
    if all(isinstance(label, int) for label in labels):
        return None
    return tuple(str(label) for label in labels)


def _called(header: Sequence[str] | None, place: int) -> str:
    return f"column {place + 1}" if header is None else f"column `{header[place]}`"


def _of_features(frame: Any, places: Sequence[int], y: Array | None, name: str, **names: Any) -> Raw:
    header = _header(frame)
    columns = [_numbers(frame.iloc[:, place], name, _called(header, place)) for place in places]
    x = np.stack(columns, axis=1) if columns else np.empty((len(frame), 0))
    if header is not None:
        names.setdefault("features", tuple(header[place] for place in places))
    return raw_from(name, x, y, **names)


def _targets(y: Any, name: str) -> Any:
    if is_series(y):
        return series_values(y, name, "the target")
    if not is_frame(y):
        return y
    header = _header(y)
    columns = [series_values(y.iloc[:, place], name, _called(header, place)) for place in range(y.shape[1])]
    return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)


def _holds_labels(series: Any) -> bool:
    """True if it holds categories, or the first value that is there is a text."""
    if str(series.dtype) == "category":
        return True
    if series.dtype.kind in _NUMBERS:
        return False
    present = series[series.notna()]
    return len(present) > 0 and isinstance(present.iloc[0], str)


def _numbers(series: Any, name: str, called: str) -> Array:
    """The values as float64, missing ones as NaN."""
    if getattr(series.dtype, "kind", "O") in _NUMBERS and str(series.dtype) != "category":
        found: Array = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return found
    missing = series.isna().tolist()
    values = series.tolist()
    for row, value in enumerate(values):
        if not (missing[row] or isinstance(value, int | float | np.number)):
            raise RunError(
                f"{name}: row {row + 1}: {called} holds {str(value)[:40]!r} ({series.dtype}): expected a number"
            )
    return np.array([np.nan if gone else float(value) for gone, value in zip(missing, values, strict=True)])


def _check_same_order(x: Any, y: Any, name: str) -> None:
    """Refuse other indices of x and y: rows are paired by their place, so one of the two was shuffled or sorted."""
    if not x.index.equals(y.index) and set(x.index) == set(y.index):
        raise RunError(
            f"{name}: x and y have the same index in different orders: put y into the order of x, y.loc[x.index], "
            "or call reset_index(drop=True) on both if they belong together as they stand"
        )
