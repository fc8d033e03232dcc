"""A table that a network is to be trained on: kinds of columns, split, and the encoding of the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gromo_graph.errors import RunError
from gromo_graph.run.data.preparation import Preparation
from gromo_graph.run.data.raw import Array, Raw
from gromo_graph.run.data.split import Split, split
from gromo_graph.run.data.tables.column_kinds import Column, Said, kinds_of
from gromo_graph.run.data.tables.encoded_columns import CategoryColumn, EncodedColumn
from gromo_graph.run.data.tables.encoding import (
    TableEncoding,
    check,
    learn_columns,
    new_categories,
    targets_of,
    weights_of,
)
from gromo_graph.run.data.tables.rows import Rows
from gromo_graph.spec.data_sections import TableData
from gromo_graph.spec.train_settings import Fold, Task


@dataclass(frozen=True, eq=False)
class LearnedTable:
    """A table as numbers.

    Attributes:
        raw: of all rows. encoding: learned from the training rows alone, or known of an earlier run.
        columns: all but the target, with what was found. parts: the rows of each part.
        notes: that are said once: columns that are not read, categories that the training part does not have.
    """

    raw: Raw
    encoding: TableEncoding
    columns: tuple[Column, ...]
    parts: Split
    notes: tuple[str, ...]


def learn_table(
    rows: Rows,
    section: TableData,
    task: Task,
    *,
    validation: float | Fold | None = 0.2,
    known: Preparation | None = None,
) -> LearnedTable:
    """The numbers of a table, learned from its training rows or known of an earlier run.

    Args:
        rows: the table. section: what is said about it. task: for which the target is read.
        validation: as of `split`.
        known: the preparation of an earlier run, which goes on with these rows; its classes need not be among them.

    Raises:
        RunError: with everything that is wrong with the columns and the target; or a class has too few rows.
    """
    problems: list[str] = []
    names = [name for name in rows.header if name not in (*section.targets, section.sample_weight)]
    columns = kinds_of(rows, names, Said.by(section), problems)
    y = targets_of(rows, section.target, task, problems)
    if section.sample_weight is not None:
        weights_of(rows, section.sample_weight, problems)
    labels = None
    if task == "classification" and y is not None:
        classes, labels = np.unique(y, return_inverse=True)
        others = set() if known is None else {*known.classes} - {*classes.tolist()}
        if len(classes) == 1 and not others:
            problems.append(
                f"`{section.target}`: the target has one class alone, `{classes[0]}`: two are needed"
            )
    check(rows.name, problems)
    called = () if labels is None else tuple(classes.tolist())
    parts = split(rows.name, len(rows), labels, called, validation=validation)
    if known is not None and known.table is not None:
        encoding = known.table
        notes = tuple(f"{rows.name}: {words}" for words in encoding.unseen(rows))
    else:
        encoding = TableEncoding(
            target=section.target,
            columns=_columns(rows, columns, parts.train, section.missing),
            refuses_gaps=section.missing == "refuse",
            weight=section.sample_weight or "",
        )
        notes = _notes(rows, columns, encoding, parts.train)
    return LearnedTable(encoding.raw(rows, task), encoding, columns, parts, notes)


@dataclass(frozen=True, eq=False)
class LearnedRows:
    """Rows as numbers, of a table whose targets are given apart.

    Attributes:
        raw: of all rows, without targets. encoding, notes: as of `LearnedTable`.
    """

    raw: Raw
    encoding: TableEncoding
    notes: tuple[str, ...]


def learn_rows(rows: Rows, train: Array, section: TableData | None) -> LearnedRows:
    """The numbers of rows whose targets are given apart, learned from the training rows.

    Args:
        rows: the table. train: the rows to learn from. section: what is said about its columns, if there is something.

    Raises:
        RunError: with everything that is wrong with the columns.
    """
    problems: list[str] = []
    said, missing = (Said(), "indicator") if section is None else (Said.by(section), section.missing)
    columns = kinds_of(rows, rows.header, said, problems)
    check(rows.name, problems)
    encoding = TableEncoding("", _columns(rows, columns, train, missing), missing == "refuse")
    raw = encoding.raw(rows, "classification", target=False)
    return LearnedRows(raw, encoding, _notes(rows, columns, encoding, train))


def _columns(rows: Rows, columns: Sequence[Column], train: Array, missing: str) -> tuple[EncodedColumn, ...]:
    """
    Raises:
        RunError: a column has nothing to learn from, or there is none to read.
    """
    problems: list[str] = []
    found = learn_columns(columns, train, missing=missing, problems=problems)
    check(rows.name, problems)
    if not found:
        raise RunError(f"{rows.name}: there is no column beside the target that can be read")
    return found


def _notes(rows: Rows, columns: Sequence[Column], encoding: TableEncoding, train: Array) -> tuple[str, ...]:
    """Words about columns that are not read, and about categories that no training row has."""
    words = [f"column `{column.name}`: {column.about}" for column in columns if column.told]
    words += _only_held_out(columns, encoding, train)
    return tuple(f"{rows.name}: {each}" for each in words)


def _only_held_out(columns: Sequence[Column], encoding: TableEncoding, train: Array) -> list[str]:
    """Words about the categories that no training row has."""
    cells = {column.name: column.cells.values for column in columns}
    words = []
    for column in encoding.columns:
        if isinstance(column, CategoryColumn):
            values = cells[column.name]
            trained = {*values[train].tolist(), None}
            words += new_categories(column, sorted({*values.tolist()} - trained))
    return words
