"""TableEncoding: the numbers that a network reads of a row, and the target; learned from the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gromo_graph.errors import RunError
from gromo_graph.run.data.raw import Array, Raw
from gromo_graph.run.data.several_inputs import InputForm
from gromo_graph.run.data.several_targets import with_several_targets
from gromo_graph.run.data.tables.column_kinds import Column, UnreadableError, near, sound
from gromo_graph.run.data.tables.encoded_columns import (
    CategoryColumn,
    DateColumn,
    EncodedColumn,
    NumberColumn,
)
from gromo_graph.run.data.tables.rows import Cells, Rows, is_gap, number_cells, text_cells
from gromo_graph.spec.train_settings import Task

_NAMED = 3


@dataclass(frozen=True)
class TableEncoding:
    """The form of a table's rows; part of `data.json` of a run.

    Attributes:
        target: the column to predict, or several; empty if targets are given apart.
        columns: that are read, in the order of their features; those for an embedding come last.
        refuses_gaps: whether no cell may be empty.
        weight: the column with the weights of rows; empty if all weigh the same.
    """

    target: str | tuple[str, ...]
    columns: tuple[EncodedColumn, ...]
    refuses_gaps: bool
    weight: str = ""

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the numbers of a sample."""
        return tuple(name for column in self.columns for name in column.features)

    @property
    def switches(self) -> tuple[bool, ...]:
        """True for each of these numbers that is 0 or 1 and is not standardised."""
        return tuple(each for column in self.columns for each in column.switches)

    def raw(self, rows: Rows, task: Task, *, target: bool = True) -> Raw:
        """The rows as numbers.

        Args:
            rows: with these columns, in any order; others are not read.
            task: classes are read as texts, values as numbers.
            target: False leaves out a target that may be there.

        Raises:
            RunError: with every column that is missing or cannot be read.
        """
        problems: list[str] = []
        values = self.read(rows, problems)
        y = targets_of(rows, self.target, task, problems) if target else None
        weights = weights_of(rows, self.weight, problems) if target and self.weight in rows.header else None
        check(rows.name, problems)
        x = self.encode([torch.tensor(column) for column in values]).numpy()
        raw = Raw(
            rows.name,
            x,
            y,
            self.features,
            switches=self.switches,
            task=task if target else None,
            weights=weights,
            inputs=self.inputs,
            classes=() if isinstance(self.target, str) else self.target,
        )
        if task != "several" or y is None:
            return raw
        names = (self.target,) if isinstance(self.target, str) else self.target
        return with_several_targets(raw, dict(zip(names, y.reshape(len(y), -1).T, strict=True)))

    @property
    def inputs(self) -> tuple[InputForm, ...]:
        """The inputs of the network: one for the values of all columns, and one for each embedded column."""
        embedded = [each for each in self.columns if isinstance(each, CategoryColumn) and each.embedded]
        values = len(self.features) - len(embedded)
        of_values = [InputForm("", (values,))] if values else []
        return (*of_values, *(InputForm(each.name, (1,), each.places) for each in embedded))

    def read(self, rows: Rows, problems: list[str]) -> list[Array]:
        """One number for each row and column (`EncodedColumn.read`); `problems` takes what is wrong."""
        header, found = rows.header, []
        for column in self.columns:
            try:
                if column.name not in header:
                    raise UnreadableError(f"is missing{near(column.name, header)}")
                cells = rows.column(column.name)
                if self.refuses_gaps:
                    check_no_gaps(text_cells(cells).values)
                found.append(column.read(cells, rows.decimal))
            except UnreadableError as error:
                problems.append(f"`{column.name}`: {error}")
        return found

    def encode(self, values: Sequence[Tensor]) -> Tensor:
        """(rows, features), float64, from one number for each row and column."""
        parts = [column.encode(each) for column, each in zip(self.columns, values, strict=True)]
        return torch.cat(parts, dim=1)

    def unseen(self, rows: Rows) -> tuple[str, ...]:
        """Words about the categories of some rows that the training part did not have."""
        found = []
        for column in self.columns:
            if isinstance(column, CategoryColumn) and column.name in rows.header:
                texts = {text for text in text_cells(rows.column(column.name)).values if text is not None}
                found += new_categories(column, sorted(texts))
        return tuple(found)


def learn_columns(
    columns: Sequence[Column], train: Array, *, missing: str, problems: list[str]
) -> tuple[EncodedColumn, ...]:
    """The columns that are read, as the training rows teach.

    Args:
        columns: of the table, their kinds told. train: the rows to learn from.
        missing: impute, indicator or refuse, as the section `data` says. problems: takes what is wrong.
    """
    found = []
    for column in columns:
        if column.kind == "drop":
            continue
        try:
            if missing == "refuse":
                check_no_gaps(column.cells.values)
            found.append(_learned(column, column.cells.values[train], gaps=missing == "indicator"))
        except UnreadableError as error:
            problems.append(f"`{column.name}`: {error}")
    return tuple(sorted(found, key=lambda each: isinstance(each, CategoryColumn) and each.embedded))


def _learned(column: Column, values: Array, *, gaps: bool) -> EncodedColumn:
    if is_gap(values).all():
        raise UnreadableError("all cells of the training part are empty: list it under `data.drop`")
    match column.kind:
        case "number":
            return NumberColumn.learned(column.name, values, gaps=gaps)
        case "date":
            return DateColumn.learned(column.name, values, form=column.form, gaps=gaps)
        case _:
            return CategoryColumn.learned(column.name, values, gaps=gaps, embedded=column.kind == "embedded")


def targets_of(rows: Rows, names: str | tuple[str, ...], task: Task, problems: list[str]) -> Array | None:
    """The target of all rows (`target_of`), or several targets of numbers, (rows, targets)."""
    if isinstance(names, str):
        return target_of(rows, names, task, problems)
    if task == "classification":
        problems.append(
            f"`{', '.join(names)}`: several targets are numbers or labels: write `train.loss: mse`"
        )
        return None
    found = [target_of(rows, name, task, problems) for name in names]
    known = [values for values in found if values is not None]
    return np.stack(known, axis=1) if len(known) == len(found) else None


def target_of(rows: Rows, name: str, task: Task, problems: list[str]) -> Array | None:
    """The classes of all rows as texts, or their values as numbers; None if `problems` has taken what is wrong."""
    header = rows.header
    try:
        if name not in header:
            raise UnreadableError(f"the target is missing{near(name, header)}")
        column = rows.column(name)
        if task == "classification":
            texts = text_cells(column).values
            _check_target(is_gap(texts))
            return np.array(texts.tolist(), dtype=np.str_)
        cells = number_cells(column, rows.decimal)
        if cells.wrong.any():
            raise UnreadableError(
                f"{cells.told(column, 'a number')}; for classes write `train.loss: cross_entropy`"
            )
        _check_target(cells.gaps)
    except UnreadableError as error:
        problems.append(f"`{name}`: {error}")
        return None
    return cells.values


def weights_of(rows: Rows, name: str, problems: list[str]) -> Array | None:
    """The weights of all rows, 0 or more; None if `problems` has taken what is wrong."""
    try:
        if name not in rows.header:
            raise UnreadableError(f"the column of weights is missing{near(name, rows.header)}")
        column = rows.column(name)
        cells = number_cells(column, rows.decimal)
        wrong = cells.wrong | cells.gaps | (cells.values < 0.0)
        sound(Cells(cells.values, wrong), column, "a weight of 0 or more")
    except UnreadableError as error:
        problems.append(f"`{name}`: {error}")
        return None
    return cells.values


def check_no_gaps(values: Array) -> None:
    """
    Raises:
        UnreadableError: a cell is empty.
    """
    gaps = np.flatnonzero(is_gap(values))
    if len(gaps):
        raise UnreadableError(f"{_rows(gaps)} empty, and `data.missing: refuse` takes no gaps: fill them in")


def _check_target(gaps: Array) -> None:
    """
    Raises:
        UnreadableError: a target is missing, or all are.
    """
    if gaps.all():
        raise UnreadableError("all cells of the target are empty")
    if gaps.any():
        raise UnreadableError(
            f"{_rows(np.flatnonzero(gaps))} empty, and a target is needed: fill it in, or leave the row out"
        )


def _rows(places: Array) -> str:
    shown = ", ".join(str(place + 1) for place in places[:_NAMED].tolist())
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return f"row {shown}{more} is" if len(places) == 1 else f"rows {shown}{more} are"


def new_categories(column: CategoryColumn, texts: Sequence[str]) -> list[str]:
    """Words about the categories of a column that have no place of their own."""
    new = [text for text in texts if text not in column.categories]
    if not new:
        return []
    shown = ", ".join(f"`{text[:40]}`" for text in new[:_NAMED]) + (
        f" and {len(new) - _NAMED} more" if len(new) > _NAMED else ""
    )
    if column.unseen < 0:
        place = "as none of the categories"
    elif column.unseen < len(column.categories):
        place = f"as `{column.categories[column.unseen]}`, the least frequent one"
    else:
        place = "as one category, together with all that are rare"
    return [f"column `{column.name}`: {shown} read {place}"]


def check(name: str, problems: Sequence[str]) -> None:
    """
    Raises:
        RunError: there are problems; it tells all of them, a line each.
    """
    if len(problems) == 1:
        raise RunError(f"{name}: column {problems[0]}")
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        raise RunError(f"{name}: {len(problems)} columns cannot be used:{listed}")
