"""The sources of tables: a file or a DataFrame in, Rows out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gromo_graph.run.data.frames import is_frame
from gromo_graph.run.data.sources import below
from gromo_graph.run.data.tables.reading import in_own_encoding, read_rows, rows_of_frame
from gromo_graph.run.data.tables.rows import Rows
from gromo_graph.spec.data_sections import TABLES, TableData


def is_table(source: Any) -> bool:
    """True for the name of a file with a table, and for a DataFrame.

    >>> is_table("churn.csv"), is_table("digits"), is_table([[1.0]])
    (True, False, False)
    """
    named = isinstance(source, (str, os.PathLike)) and Path(source).suffix.lower() in TABLES
    return named or is_frame(source)


def rows_of(source: Any, section: TableData, folder: Path | None = None, *, other: bool = False) -> Rows:
    """The rows of a file or a DataFrame, or of anything that pandas makes one of.

    Args:
        source: where they are. section: how a text file is read. folder: relative file names are below it.
        other: whether the section was written for another file, whose encoding this one need not have.

    Raises:
        RunError: they cannot be read.
    """
    if isinstance(source, (str, os.PathLike)):
        path = below(folder, source)
        return read_rows(path, in_own_encoding(path, section) if other else section)
    return rows_of_frame(source)
