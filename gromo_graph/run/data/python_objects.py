"""Data that Python gives: objects, and `module:function` from the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gromo_graph.errors import RunError
from gromo_graph.plugins import imported
from gromo_graph.run.data.frames import is_frame, is_series, read_frame, read_pair
from gromo_graph.run.data.raw import Raw, check_unmasked, raw_from, sample_weights
from gromo_graph.run.data.several_inputs import with_several_inputs
from gromo_graph.run.data.several_targets import with_several_targets

_CALL = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*)")


def is_call(text: str) -> bool:
    """True if the text names a function as `module:function`.

    >>> is_call("my.data:load"), is_call("digits"), is_call("C:data.csv")
    (True, False, False)
    """
    return _CALL.fullmatch(text) is not None


def call(text: str) -> Any:
    """The result of the user's own `module:function`, called without arguments.

    Raises:
        RunError: no such module or function, or it failed.

    >>> call("collections:OrderedDict")
    OrderedDict()
    """
    match = _CALL.fullmatch(text)
    if match is None:
        raise RunError(f"{text}: expected module:function")
    module, function = match.groups()
    called = getattr(imported(module, what=text), function, None)
    if called is None:
        raise RunError(f"{text}: the module `{module}` has no function `{function}`")
    try:
        return called()
    except Exception as error:
        raise RunError(f"{text}: `{function}()` raised {type(error).__name__}: {error}") from error


def read_object(
    value: Any,
    *,
    name: str = "data",
    known: Sequence[str] = (),
    size: int | None = None,
    target: bool = True,
) -> Raw:
    """Raw data from a pair (x, y), a mapping with x and y, a DataFrame, or a data set of such pairs.

    Args:
        value: `(x, y)`; or `{"x": x, "y": y}`, also with "features" and "classes" (their names) and "sample_weight",
            and with x and y as maps by the names of several inputs and outputs; or a DataFrame of pandas, whose target
            is the column `target`, else the last (frames.py); or anything with a length and items `(x, y)`, as a torch
            Dataset has. In a pair and a mapping, x may be a DataFrame and y a Series.
        name: what messages call it.
        known, size: the features of a trained network, to find the columns of a DataFrame.
        target: False leaves out a target that a DataFrame may have.

    Raises:
        RunError: it is none of these, or holds no arrays of numbers.

    >>> read_object(([[0.0], [1.0]], [0, 1])).y.tolist()
    [0.0, 1.0]
    """
    if isinstance(value, Raw):
        return value
    if is_frame(value):
        return read_frame(value, name=name, known=known, size=size, target=target)
    if is_series(value):
        raise RunError(f"{name}: found one Series: expected a DataFrame, or a pair (DataFrame, Series)")
    if isinstance(value, tuple) and any(hasattr(each, "batch_size") for each in value):
        raise RunError(f'{name}: a tuple with loaders: expected {{"train": loader, "validation": loader}}')
    if isinstance(value, tuple) and len(value) == 2:
        return read_pair(value[0], value[1], name=name, known=known)
    if isinstance(value, Mapping):
        return _from_mapping(value, name, known)
    if hasattr(value, "__len__") and hasattr(value, "__getitem__"):
        return _from_items(value, name)
    raise RunError(
        f"{name}: found {type(value).__name__}: expected (x, y), a dict with x and y, a DataFrame, or a data set of "
        "such pairs"
    )


def _from_mapping(value: Mapping[Any, Any], name: str, known: Sequence[str]) -> Raw:
    if "x" not in value or "y" not in value:
        found = ", ".join(str(key) for key in value) or "nothing"
        raise RunError(f"{name}: a dict with {found}: expected the keys x and y")
    names = {
        key: tuple(map(str, value[key])) for key in ("features", "classes") if value.get(key) is not None
    }
    of_several = isinstance(value["y"], Mapping)
    y = None if of_several else value["y"]
    if isinstance(value["x"], Mapping):
        raw = replace(with_several_inputs(name, value["x"], y), classes=names.get("classes", ()))
    else:
        raw = read_pair(value["x"], y, name=name, known=known, **names)
    if of_several:
        raw = with_several_targets(raw, value["y"])
    if value.get("sample_weight") is None:
        return raw
    return replace(raw, weights=sample_weights(value["sample_weight"], len(raw.x), name))


def _from_items(value: Any, name: str) -> Raw:
    try:
        x, y = zip(*(value[index] for index in range(len(value))), strict=True)
    except (TypeError, ValueError) as error:
        raise RunError(
            f"{name}: found {type(value).__name__}: expected (x, y), or a data set whose items are pairs (x, y)"
        ) from error
    check_unmasked(name, "x", x)
    check_unmasked(name, "y", y)
    return raw_from(name, np.stack([np.asarray(item) for item in x]), [_plain(item) for item in y])


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
