"""Rows: a table as it was found, and the cells of one column as numbers, dates or texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gromo_graph.errors import RunError
from gromo_graph.run.data.raw import Array

Decimal = Literal[".", ","]

GAPS = frozenset({"", "na", "n/a", "#n/a", "nan", "nat", "null", "none", "?"})
"""Texts that stand for a missing value, in lower case."""

ISO = "ISO8601"
_SHOWN = 3
_WITH_POINT = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
_WITH_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d*)(,\d*)?([eE][+-]?\d+)?")
_DAY = 86_400e6  # microseconds


@dataclass(frozen=True, eq=False)
class Rows:
    """A table before anything is known about its columns.

    Attributes:
        name: what messages call it.
        frame: a DataFrame of pandas; the cells of a text file are texts.
        decimal: the decimal mark of numbers that are texts.
        separator, encoding: of a text file, else empty.
    """

    name: str
    frame: Any
    decimal: Decimal = "."
    separator: str = ""
    encoding: str = ""

    def __post_init__(self) -> None:
        """
        Raises:
            RunError: there are no rows, or two columns of one name.
        """
        check_distinct(self.name, self.header)
        if not len(self.frame):
            raise RunError(f"{self.name}: there are no rows in it")

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def header(self) -> list[str]:
        """The names of the columns."""
        return [str(label) for label in self.frame.columns]

    def column(self, name: str) -> Any:
        """The cells of a column, a Series."""
        return self.frame.iloc[:, self.header.index(name)]


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a column as values of one kind.

    Attributes:
        values: (rows,), float64 with NaN for gaps, or texts with None for gaps.
        wrong: (rows,), whether a cell holds something else.
    """

    values: Array
    wrong: Array

    @property
    def gaps(self) -> Array:
        """(rows,), whether a cell is empty."""
        found: Array = is_gap(self.values) & ~self.wrong
        return found

    def told(self, column: Any, expected: str) -> str:
        """The wrong cells in words: the first ones with their rows, and how many there are.

        Args:
            column: the Series that the cells were read from. expected: `a number`.
        """
        rows = np.flatnonzero(self.wrong)
        shown = ", ".join(f"{str(column.iloc[row])[:40]!r} in row {row + 1}" for row in rows[:_SHOWN])
        more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
        return f"{shown}{more}: expected {expected}"


def text_cells(column: Any) -> Cells:
    """The cells as texts without spaces around them; a whole number is written without a decimal mark.

    >>> import pandas
    >>> text_cells(pandas.Series(["a ", None, 2.0, True], dtype=object)).values.tolist()
    ['a', None, '2', 'True']
    """
    values: Array
    if column.dtype == object:  # its values may be equal and of several types, as 1 and True
        missing = column.isna().tolist()
        texts = [None if gone else _text(value) for gone, value in zip(missing, column.tolist(), strict=True)]
        values = _objects(texts)
    else:
        places, different = column.factorize()
        values = _objects([*map(_text, different.tolist()), None])[places]  # the place of a gap is -1
    return Cells(values, np.zeros(len(column), dtype=bool))


def number_cells(column: Any, decimal: Decimal = ".") -> Cells:
    """The cells as finite numbers; digits of a text may be grouped by thousands.

    >>> import pandas
    >>> number_cells(pandas.Series(["1.234,5", "", "x"]), ",")
    Cells(values=array([1234.5,    nan,    nan]), wrong=array([False, False,  True]))
    """
    if is_numbers(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        infinite = np.isinf(values)
        return Cells(np.where(infinite, np.nan, values), infinite)
    import pandas

    values = np.full(len(column), np.nan)
    if decimal == "." and str(column.dtype) in ("str", "string"):  # most cells need no second look
        values[:] = pandas.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = ~np.isfinite(values)
    texts = text_cells(column[wrong]).values
    plain = _objects([None if text is None else _plain_number(text, decimal) for text in texts])
    values[wrong] = pandas.to_numeric(pandas.Series(plain), errors="coerce").to_numpy(dtype=np.float64)
    values[np.isinf(values)] = np.nan
    wrong[wrong] = np.isnan(values[wrong]) & ~is_gap(texts)
    return Cells(values, wrong)


def date_cells(column: Any, form: str = ISO) -> Cells:
    """The cells as days since 1970-01-01, the time of day as a fraction.

    Args:
        column: a Series of dates or texts. form: of the texts, as `strptime` has it, or ISO8601.

    >>> import pandas
    >>> date_cells(pandas.Series(["1970-01-03", "1970-13-01", "1970-01-01 12:00"])).values.tolist()
    [2.0, nan, 0.5]
    """
    import pandas

    are_dates = column.dtype.kind == "M"
    texts = text_cells(column).values
    source = column if are_dates else pandas.Series(texts, dtype=object)
    found = pandas.to_datetime(source, format=None if are_dates else form, errors="coerce", utc=True)
    moments = found.dt.tz_convert(None).to_numpy().astype("datetime64[us]")
    values = np.where(np.isnat(moments), np.nan, moments.astype(np.int64) / _DAY)
    return Cells(values, np.isnan(values) & ~is_gap(texts))


def check_distinct(table: str, header: Sequence[str]) -> None:
    """
    Raises:
        RunError: two columns of a table have one name.
    """
    twice = [name for name, times in Counter(header).items() if times > 1]
    if twice:
        raise RunError(f"{table}: several columns are called `{twice[0]}`: give each a name of its own")


def is_numbers(column: Any) -> bool:
    """True if a Series holds numbers, not texts of numbers, truth values or categories."""
    return getattr(column.dtype, "kind", "O") in "iuf"


def is_gap(values: Array) -> Array:
    """(rows,), whether a value is NaN, or the None of texts.

    >>> is_gap(np.array([1.0, np.nan])), is_gap(np.array(["a", None], dtype=object))
    (array([False,  True]), array([False,  True]))
    """
    if values.dtype != object:
        return np.isnan(values)
    return np.array([value is None for value in values], dtype=bool)


def counted(values: Sequence[str | None]) -> dict[str, int]:
    """The number of times that each text occurs, the most frequent first; equally frequent ones by the alphabet.

    >>> counted(["b", "a", None, "b"])
    {'b': 2, 'a': 1}
    """
    counts = Counter(value for value in values if value is not None)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _text(value: Any) -> str | None:
    """The text of a value that is not missing; None if it stands for a gap."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    text = str(value).strip()
    return None if text.lower() in GAPS else text


def _objects(values: Sequence[Any]) -> Array:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _plain_number(text: str, decimal: Decimal) -> str:
    """The text as Python writes numbers."""
    if decimal == ",":
        return text.replace(".", "").replace(",", ".") if _WITH_COMMA.fullmatch(text) else "no number"
    return text.replace(",", "") if _WITH_POINT.fullmatch(text) else text
