"""A table that a network is to be trained on: kinds of columns, split, and the encoding of the training rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gromo_graph.run.data.raw import Raw
from gromo_graph.run.data.split import Split, split
from gromo_graph.run.data.tables.encoded_columns import CategoryColumn
from gromo_graph.run.data.tables.encoding import (
    TableEncoding,
    check,
    learn_encoding,
    new_categories,
    target_of,
)
from gromo_graph.run.data.tables.kinds import Column, kinds_of
from gromo_graph.run.data.tables.rows import Rows
from gromo_graph.spec.data_sections import TableData
from gromo_graph.spec.train_settings import Task


@dataclass(frozen=True, eq=False)
class LearnedTable:
    """A table as numbers.

    Attributes:
        raw: of all rows. encoding: learned from the training rows alone.
        columns: all but the target, with what was found. parts: the rows of each part.
        notes: that are said once: columns that are not read, categories that the training part does not have.
    """

    raw: Raw
    encoding: TableEncoding
    columns: tuple[Column, ...]
    parts: Split
    notes: tuple[str, ...]


def learn_table(rows: Rows, section: TableData, task: Task) -> LearnedTable:
    """The numbers of a table, learned from its training rows.

    Args:
        rows: the table. section: what is said about it. task: for which the target is read.

    Raises:
        RunError: with everything that is wrong with the columns and the target; or a class has too few rows.
    """
    problems: list[str] = []
    columns = kinds_of(rows, section, problems)
    y = target_of(rows, section.target, task, problems)
    labels = None
    if task == "classification" and y is not None:
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) == 1:
            problems.append(
                f"`{section.target}`: the target has one class alone, `{classes[0]}`: two are needed"
            )
    if not (problems or any(column.kind != "drop" for column in columns)):
        problems.append(f"`{section.target}`: there is no other column that can be read")
    check(rows.name, problems)
    names = () if labels is None else tuple(classes.tolist())
    parts = split(rows.name, len(rows), labels, names)
    encoding = learn_encoding(
        columns, parts.train, target=section.target, missing=section.missing, problems=problems
    )
    check(rows.name, problems)
    notes = [f"{rows.name}: column `{column.name}`: {column.about}" for column in columns if column.told]
    notes += [f"{rows.name}: {words}" for words in _only_held_out(columns, encoding, parts)]
    return LearnedTable(encoding.raw(rows, task), encoding, columns, parts, tuple(notes))


def _only_held_out(columns: tuple[Column, ...], encoding: TableEncoding, parts: Split) -> list[str]:
    """Words about the categories that no training row has."""
    cells = {column.name: column.cells.values for column in columns}
    words = []
    for column in encoding.columns:
        if isinstance(column, CategoryColumn):
            values = cells[column.name]
            trained = {*values[parts.train].tolist(), None}
            words += new_categories(column, sorted({*values.tolist()} - trained))
    return words
