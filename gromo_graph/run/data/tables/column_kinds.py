"""The kinds of the columns of a table: said by the section `data`, else told by looking at the cells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np

from gromo_graph.amounts import amount
from gromo_graph.run.data.tables.rows import (
    ISO,
    Cells,
    Rows,
    counted,
    date_cells,
    number_cells,
    text_cells,
)
from gromo_graph.spec.data_sections import TableData

Kind = Literal["number", "category", "embedded", "date", "drop"]

_KIND_OF_LIST: dict[str, Kind] = {
    "numeric": "number",
    "categorical": "category",
    "embedding": "embedded",
    "dates": "date",
    "drop": "drop",
}
MOST = 0.8  # a column of which so many cells are numbers (dates) is one of numbers (dates) with wrong cells
_FEW = 20  # different texts that are always categories
_REPEATED = 0.5  # texts are categories if there are at most so many different ones for each cell
FEW_NUMBERS = 10  # different whole numbers that may be names of something
_LONGEST_ID = 40
_LONGEST_SHOWN = 20  # of a category in a comment
_ID = re.compile(r"(.*[_\s-])?(id|uuid|guid|index)|id[_\s-].+|unnamed: 0|.*[a-z]ID|.*[a-z]Id", re.DOTALL)
_DAYS = (ISO, "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d", "%d %b %Y", "%b %d, %Y")
_LIKE_A_DATE = re.compile(r"\d{1,4}([-./ ])\d{1,2}\1\d{2,4}(?!\d)")
_TIMES = ("", " %H:%M", " %H:%M:%S")
_DAY_FIRST, _MONTH_FIRST = "%d/%m/%Y", "%m/%d/%Y"


@dataclass(frozen=True, eq=False)
class Column:
    """A column and how it is read.

    Attributes:
        name: of the column.
        kind: number, category, embedded (a category that an `embedding` reads), date, or drop if it is not read.
        cells: of its kind; of texts, if it is not read.
        about: what was found, for a person.
        form: of dates that are texts (`date_cells`).
        told: whether a person should know that the column is not read.
    """

    name: str
    kind: Kind
    cells: Cells
    about: str
    form: str = ISO
    told: bool = False


class UnreadableError(Exception):
    """A column that cannot be read, with what is wrong and what to do."""


FREE_TEXT = "free text, of which nothing is read"
DATES = "dates of no form that is known: list them under `dates`, and write their `date_format`"


WITH_UNIT = "numbers with a unit or a sign in each cell, of which nothing is read: take it out of the cells"
_WITH_UNIT = re.compile(r"[^\w\s]?\s?[+-]?\d[\d.,\s]*(\D{0,4})")


class FreeTextError(UnreadableError):
    """A column of free text, of which nothing is read.

    Args:
        told: what is wrong and what to do. about: the column, in a comment beside it.
    """

    def __init__(self, told: str, about: str = FREE_TEXT) -> None:
        super().__init__(told)
        self.about = about


@dataclass(frozen=True)
class Said:
    """Words of an author about columns.

    Attributes:
        lists: the key of the list that names a column, by column: drop, numeric, categorical, embedding or dates.
        date_format: of dates that are texts, None to find it out.
    """

    lists: Mapping[str, str] = field(default_factory=dict)
    date_format: str | None = None

    @staticmethod
    def by(section: TableData) -> Said:
        """The kinds that a section `data` lists."""
        return Said(section.columns, section.date_format)


def kinds_of(rows: Rows, names: Sequence[str], said: Said, problems: list[str]) -> tuple[Column, ...]:
    """The kinds of columns.

    Args:
        rows: the table. names: the columns, all but the target. said: about them.
        problems: takes the words about each column that cannot be read; such columns are left out.
    """
    problems += [
        f"`{name}`, which `data.{key}` names, is not there{near(name, rows.header)}"
        for name, key in said.lists.items()
        if name not in rows.header
    ]
    found = []
    for name in names:
        try:
            found.append(_column(rows, name, said))
        except UnreadableError as error:
            problems.append(f"`{name}`: {error}")
    return tuple(found)


def free_texts(rows: Rows, names: Sequence[str]) -> dict[str, str]:
    """The columns of free text, with the reason why nothing is read of them.

    >>> import pandas
    >>> free_texts(Rows("t", pandas.DataFrame({"note": [f"one {n} more" for n in range(40)]})), ["note"])
    {'note': 'free text, of which nothing is read'}
    """
    found = {}
    for name in names:
        try:
            _column(rows, name, Said())
        except FreeTextError as error:
            found[name] = error.about
        except UnreadableError:
            continue
    return found


def near(name: str, known: Sequence[str]) -> str:
    """A question for the nearest name, or the names that there are.

    >>> near("churn", ["age", "churned"])
    ': did you mean `churned`?'
    """
    found = get_close_matches(name, known, n=1, cutoff=0.7)
    listed = ", ".join(f"`{each}`" for each in known[:12]) + (", ..." if len(known) > 12 else "")
    return f": did you mean `{found[0]}`?" if found else f": found {listed}"


def _column(rows: Rows, name: str, said: Said) -> Column:
    """
    Raises:
        UnreadableError: cells are of another kind than the column, or it is free text.
    """
    if name not in said.lists:
        return _found(rows, name, said)
    column = rows.column(name)
    kind = _KIND_OF_LIST[said.lists[name]]
    if kind == "drop":
        return Column(name, kind, text_cells(column), "not read")
    if kind in ("category", "embedded"):
        return Column(name, kind, text_cells(column), _counted(text_cells(column)))
    if kind == "date":
        form = said.date_format or _form_of(column)
        return Column(
            name, kind, sound(date_cells(column, form), column, date_of(form)), _dates(column, form), form
        )
    cells = sound(number_cells(column, rows.decimal), column, "a number")
    return Column(name, kind, cells, _range(cells))


def _found(rows: Rows, name: str, said: Said) -> Column:
    """A column that nothing is said about.

    Raises:
        UnreadableError: it is of several kinds, or free text.
    """
    texts = text_cells(rows.column(name))
    present = [text for text in texts.values if text is not None]
    cells = _Cells(name, rows, said, texts, present, list(counted(present)))
    for tried in (_as_nothing, _as_typed, _as_numbers, _as_dates, _as_categories, _as_ids):
        found = tried(cells)
        if found is not None:
            return found
    raise FreeTextError(
        f"free text ({len(cells.different):,} different texts in {amount(len(present), 'row')}), of which nothing "
        "is read: list it "
        "under `data.drop`, or under `data.categorical` if these are categories"
    )


@dataclass(frozen=True, eq=False)
class _Cells:
    """The cells of a column that nothing is said about.

    Attributes:
        texts: all of them. present: those that are not empty. different: each of these once.
    """

    name: str
    rows: Rows
    said: Said
    texts: Cells
    present: Sequence[str]
    different: Sequence[str]

    @property
    def column(self) -> Any:
        return self.rows.column(self.name)

    def mostly(self, form: re.Pattern[str], *, whole: bool = False) -> bool:
        """True if most texts begin with a form, or are of it."""
        match = form.fullmatch if whole else form.match
        return sum(bool(match(text)) for text in self.present) >= MOST * len(self.present)

    def dropped(self, about: str) -> Column:
        return Column(self.name, "drop", self.texts, f"{about}: not read", told=True)

    @property
    def category(self) -> Column:
        return Column(self.name, "category", self.texts, _counted(self.texts))


def _as_nothing(cells: _Cells) -> Column | None:
    if not cells.present:
        return cells.dropped("all cells are empty")
    return cells.dropped(f"always {cells.present[0][:40]!r}") if len(cells.different) == 1 else None


def _as_typed(cells: _Cells) -> Column | None:
    return cells.category if str(cells.column.dtype) in ("bool", "boolean", "category") else None


def _as_numbers(cells: _Cells) -> Column | None:
    numbers = number_cells(cells.column, cells.rows.decimal)
    if _share(numbers, cells.present) < MOST:
        return None
    sound(numbers, cells.column, "a number, as in most rows", _CATEGORY)
    if _is_id(cells.name, numbers, len(cells.different)):
        return cells.dropped("a different whole number in each row, like an id")
    return Column(cells.name, "number", numbers, _range(numbers))


def _as_dates(cells: _Cells) -> Column | None:
    """
    Raises:
        FreeTextError: the dates are of no form that is known.
    """
    form = cells.said.date_format or _form_of(cells.column)
    days = date_cells(cells.column, form)
    if _share(days, cells.present) >= MOST:
        sound(days, cells.column, f"{date_of(form)}, as in most rows", _CATEGORY)
        return Column(cells.name, "date", days, _dates(cells.column, form), form)
    if cells.mostly(_LIKE_A_DATE):
        raise FreeTextError(
            f"dates of no form that is known, such as {cells.present[0][:40]!r}: {_FORM}", DATES
        )
    return None


def _as_categories(cells: _Cells) -> Column | None:
    """
    Raises:
        FreeTextError: there are many different numbers with a unit.
    """
    if len(cells.different) > _FEW and cells.mostly(_WITH_UNIT, whole=True):
        raise FreeTextError(f"{WITH_UNIT}, such as {cells.present[0][:40]!r}", WITH_UNIT)
    return cells.category if len(cells.different) <= max(_FEW, _REPEATED * len(cells.present)) else None


def _as_ids(cells: _Cells) -> Column | None:
    all_different = len(cells.different) == len(cells.present)
    if all_different and all(_is_token(text) for text in cells.present):
        return cells.dropped("a different text in each row, like an id")
    return None


_FORM = (
    'use one form in all rows, list the column under `data.dates`, and write its `date_format: "%d.%m.%Y"`'
)
_CATEGORY = "correct it, or list the column under `data.categorical`"


def sound(cells: Cells, column: Any, expected: str, advice: str = "") -> Cells:
    """The cells of a column, none of them wrong.

    Raises:
        UnreadableError: some are, with their rows.
    """
    if cells.wrong.any():
        raise UnreadableError(cells.told(column, expected) + (f"; {advice}" if advice else ""))
    return cells


def _share(cells: Cells, present: Sequence[str]) -> float:
    """The share of the cells with a content that are of a kind."""
    return 1.0 - float(cells.wrong.sum()) / len(present)


def _is_id(name: str, cells: Cells, different: int) -> bool:
    """True for whole numbers, another one in each row, that are called an id or count the rows."""
    values = cells.values[~cells.gaps]
    if different < len(values) or len(values) < _FEW or (values != np.round(values)).any():
        return False
    counts_rows = float(values.max() - values.min()) == len(values) - 1
    return counts_rows or _ID.fullmatch(name) is not None or _ID.fullmatch(name.lower()) is not None


def _is_token(text: str) -> bool:
    return len(text) <= _LONGEST_ID and " " not in text


def _form_of(column: Any) -> str:
    """The form in which the most dates can be read, of several the first; of day and month the day comes first."""
    if column.dtype.kind == "M":
        return ISO
    sample = column.iloc[:200]
    forms = (ISO, *(f"{day}{time}" for day in _DAYS[1:] for time in _TIMES))
    wrong: dict[str, int] = {}
    for form in forms:
        wrong[form] = int(date_cells(sample, form).wrong.sum())
        if not wrong[form]:
            break
    best = min(wrong, key=lambda form: wrong[form])
    if best.startswith(_DAY_FIRST):
        other = best.replace(_DAY_FIRST, _MONTH_FIRST)
        days, months = (int(date_cells(column, form).wrong.sum()) for form in (best, other))
        return other if months < days else best
    return best


def date_of(form: str) -> str:
    """The words for a date of a form.

    >>> date_of("%d.%m.%Y")
    'a date of the form %d.%m.%Y'
    """
    return "a date such as 2024-12-31" if form == ISO else f"a date of the form {form}"


def _range(cells: Cells) -> str:
    values = cells.values[~cells.gaps]
    if not len(values):
        raise UnreadableError("all cells are empty: list it under `data.drop`")
    text = f"{values.min():.6g} to {values.max():.6g}"
    different = len(np.unique(values))
    if different <= FEW_NUMBERS and (values == np.round(values)).all():
        text += f", {different} whole numbers: `categorical` if they stand for names"
    return text + _with_gaps(cells)


def _dates(column: Any, form: str) -> str:
    cells = date_cells(column, form)
    values = cells.values[~(cells.gaps | cells.wrong)]
    if not len(values):
        raise UnreadableError("all cells are empty: list it under `data.drop`")
    first, last = (np.datetime64(int(day), "D") for day in (values.min(), values.max()))
    text = f"{first} to {last}"
    if (
        form.startswith(_DAY_FIRST)
        and not date_cells(column, form.replace(_DAY_FIRST, _MONTH_FIRST)).wrong.any()
    ):
        text += f', read as day/month: `date_format: "{form.replace(_DAY_FIRST, _MONTH_FIRST)}"` if the month is first'
    return text + _with_gaps(cells)


def _counted(cells: Cells) -> str:
    different = list(counted(cells.values.tolist()))
    if not different:
        raise UnreadableError("all cells are empty: list it under `data.drop`")
    shown = ", ".join(_in_a_row(text) for text in different[:4]) + (", ..." if len(different) > 4 else "")
    return f"{len(different)} categories: {shown}{_with_gaps(cells)}"


def _in_a_row(text: str) -> str:
    """A text as it stands between commas.

    >>> _in_a_row("red"), _in_a_row("Paris, France")
    ('red', '"Paris, France"')
    """
    short = text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"
    return short if text.replace(" ", "").isalnum() else f'"{short}"'


def _with_gaps(cells: Cells) -> str:
    gaps = int(cells.gaps.sum())
    return f"; {gaps:,} gaps" if gaps > 1 else "; 1 gap" if gaps else ""
