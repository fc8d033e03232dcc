"""The sources of data: one name or object in, Raw data out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gromo_graph.errors import RunError
from gromo_graph.records.atomic_files import check_regular
from gromo_graph.run.data.builtin import TASKS, read_builtin
from gromo_graph.run.data.csv_table import read_csv
from gromo_graph.run.data.npz import read_npz
from gromo_graph.run.data.python_objects import call, is_call, read_object
from gromo_graph.run.data.raw import Raw
from gromo_graph.run.data.stream import is_loaders
from gromo_graph.spec.data_sections import TABLES

Source = Any
"""The name of a built-in set, a .npz or .csv file, `module:function`, or an object (run/data/python_objects.py)."""


def read_source(
    source: Source,
    *,
    folder: Path | None = None,
    trusted: bool = True,
    known: Sequence[str] = (),
    size: int | None = None,
    target: bool = True,
) -> Raw:
    """Read data.

    Args:
        source: what to read.
        folder: relative file names are below it; None takes the current folder.
        trusted: may it be code? False for whatever a spec or a run folder names.
        known, size: the features of a trained network, to find the columns of a table (`read_csv`).
        target: True asks for a target; False leaves out one that may be there.

    Raises:
        RunError: no such data, or they cannot be read; or they are loaders, which are for training alone.
    """
    found = find_source(source, folder=folder, trusted=trusted, known=known, size=size, target=target)
    if isinstance(found, Raw):
        return found
    raise RunError("data: found loaders by part: expected samples (x, y)")


def find_source(
    source: Source,
    *,
    folder: Path | None = None,
    trusted: bool = True,
    known: Sequence[str] = (),
    size: int | None = None,
    target: bool = True,
) -> Raw | Mapping[str, Any]:
    """As `read_source`; loaders by part (stream.py) are given as they are."""
    if not isinstance(source, (str, os.PathLike)):
        if is_loaders(source):
            return source  # type: ignore[no-any-return]
        raw = read_object(source, known=known, size=size, target=target)
        return _with_target(raw) if target else replace(raw, y=None)
    name = os.fspath(source)
    if name in TASKS:
        return read_builtin(name)
    match Path(name).suffix.lower():
        case ".npz":
            raw = read_npz(_below(folder, name), target=target)
        case ".csv":
            raw = read_csv(_below(folder, name), known=known, size=size, target=target)
        case _ if is_call(name):
            if not trusted:
                raise RunError(f"data {name!r} is code: it runs only where it is given with --data")
            value = call(name)
            if is_loaders(value):
                return value  # type: ignore[no-any-return]
            raw = read_object(value, name=name, known=known, size=size, target=target)
        case _:
            raise RunError(_unknown(name))
    return _with_target(raw) if target else replace(raw, y=None)


def _with_target(raw: Raw) -> Raw:
    """
    Raises:
        RunError: there is no target.
    """
    if raw.y is None:
        raise RunError(f"{raw.name}: there is no target: call a column `target`, or put it last")
    return raw


def is_file(source: Source) -> bool:
    """True if the source names a file."""
    return isinstance(source, (str, os.PathLike)) and Path(source).suffix.lower() in (".npz", *TABLES)


def is_place(source: Source) -> bool:
    """True if the source names a file or a folder, and no code."""
    return isinstance(source, (str, os.PathLike)) and not is_call(os.fspath(source))


def below(folder: Path | None, name: str | os.PathLike[str]) -> Path:
    """The path of a relative name: below a folder, or the current one."""
    return Path(name) if folder is None else folder / name


def _below(folder: Path | None, name: str) -> Path:
    """The path of a data file.

    Raises:
        RunError: it is there and no file: a pipe cannot be read twice, as samples are.
    """
    path = below(folder, name)
    check_regular(path)
    return path


def _unknown(name: str) -> str:
    near = get_close_matches(name, TASKS, n=1)
    hint = f"did you mean `{near[0]}`? Expected" if near else "expected"
    return f"unknown data {name!r}: {hint} one of {', '.join(TASKS)}, a .npz or .csv file, or module:function"
