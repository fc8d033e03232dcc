"""The columns of a table as numbers that a network reads: what is learned of the training rows, in plain values.

Each kind of column reads its cells as one number for each row (`read`), and makes features of these (`encode`). The
first half is pandas' and numpy's work, the second is torch's, so that an export can carry it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, FiniteFloat, NonNegativeInt
from torch import Tensor

from gromo_graph.run.data.raw import Array
from gromo_graph.run.data.tables.column_kinds import date_of, sound
from gromo_graph.run.data.tables.rows import (
    Decimal,
    counted,
    date_cells,
    is_gap,
    number_cells,
    text_cells,
)

MOST_CATEGORIES = 50
_FEWEST_ROWS = 5  # of a category in the training part; rarer ones share a place with those that are new
_NOWHERE = -1
_FROM_YEAR_0 = 719_468  # days from 0000-03-01 to 1970-01-01
_ERA, _CENTURY, _FOUR_YEARS, _YEAR = 146_097, 36_524, 1_460, 365  # days; the last three less than a whole one


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers.

    Attributes:
        name: of the column.
        fill: read for a gap: the median of the training part.
        gaps: whether a second feature says that there was a gap.
    """

    name: str
    fill: FiniteFloat
    gaps: bool
    kind: Literal["number"] = "number"

    @staticmethod
    def learned(name: str, values: Array, *, gaps: bool) -> NumberColumn:
        """From the training rows, some of which have a value; `gaps`: whether gaps are told to the network."""
        return NumberColumn(name, float(np.nanmedian(values)), gaps and bool(np.isnan(values).any()))

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the numbers that a network reads."""
        return (self.name, *([f"{self.name}: missing"] if self.gaps else []))

    @property
    def switches(self) -> tuple[bool, ...]:
        """True for each feature that is 0 or 1 and is not standardised."""
        return (False, True)[: len(self.features)]

    def read(self, column: Any, decimal: Decimal) -> Array:
        """(rows,), float64 with NaN for gaps.

        Raises:
            UnreadableError: a cell is no number.
        """
        return sound(number_cells(column, decimal), column, "a number").values

    def encode(self, values: Tensor) -> Tensor:
        """(rows, features) of what was read, float64."""
        return _filled(values, self.fill, gaps=self.gaps)


@dataclass(frozen=True)
class DateColumn:
    """A column of dates.

    Attributes:
        name: of the column.
        form: of dates that are texts (`date_cells`).
        fill: read for a gap: the median of the training part, in days since 1970-01-01.
        gaps: whether a feature says that there was a gap.
        hours: whether the time of day is read, as it differs.
    """

    name: str
    form: str
    fill: FiniteFloat
    gaps: bool
    hours: bool
    kind: Literal["date"] = "date"

    @staticmethod
    def learned(name: str, values: Array, *, form: str, gaps: bool) -> DateColumn:
        """From the training rows; see `NumberColumn.learned`."""
        present = values[~np.isnan(values)]
        hours = len(np.unique(present - np.floor(present))) > 1
        return DateColumn(name, form, float(np.median(present)), gaps and len(present) < len(values), hours)

    @property
    def features(self) -> tuple[str, ...]:
        """As in `NumberColumn`."""
        parts = ("days", "year", "month", "weekday", *(["hour"] if self.hours else []))
        return (
            *(f"{self.name}: {part}" for part in parts),
            *([f"{self.name}: missing"] if self.gaps else []),
        )

    @property
    def switches(self) -> tuple[bool, ...]:
        """As in `NumberColumn`."""
        return (*(False,) * (len(self.features) - self.gaps), *(True,) * self.gaps)

    def read(self, column: Any, decimal: Decimal) -> Array:
        """(rows,), days since 1970-01-01 in float64, NaN for gaps.

        Raises:
            UnreadableError: a cell is no date.
        """
        return sound(date_cells(column, self.form), column, date_of(self.form)).values

    def encode(self, values: Tensor) -> Tensor:
        """As in `NumberColumn`: days, year and month of the Gregorian calendar, and the weekday, 0 on Monday."""
        days, *missing = _filled(values, self.fill, gaps=self.gaps).unbind(dim=1)
        whole = days.floor()
        year, month = _calendar(whole.long())
        parts = [days, year.double(), month.double(), ((whole.long() + 3) % 7).double()]
        if self.hours:
            parts.append((days - whole) * 24.0)
        return torch.stack([*parts, *missing], dim=1)


@dataclass(frozen=True)
class CategoryColumn:
    """A column of categories, each with a place among the features.

    Attributes:
        name: of the column.
        categories: that have a place of their own, in the order of the places.
        places: how many there are.
        unseen: the place of categories that are rare or not known, -1 if they have none: then all features are 0.
        gap: the place of a gap, -1 if it has none.
        embedded: whether an `embedding` reads the place, with a vocabulary of `places`. Every cell has a place then:
            new categories are read with the rare ones, or as the least frequent one.
    """

    name: str
    categories: tuple[str, ...]
    places: NonNegativeInt
    unseen: Annotated[int, Field(ge=_NOWHERE)]
    gap: Annotated[int, Field(ge=_NOWHERE)]
    embedded: bool = False
    kind: Literal["category"] = "category"

    @staticmethod
    def learned(name: str, texts: Array, *, gaps: bool, embedded: bool = False) -> CategoryColumn:
        """From the training rows; `gaps`: whether gaps are a category of their own, else the most frequent one."""
        values = texts.tolist()
        known = list(counts := counted(values))
        frequent = [text for text in known if counts[text] >= _FEWEST_ROWS] or known
        own = sorted(frequent if embedded else frequent[:MOST_CATEGORIES])
        places = len(own)
        unseen, gap = _NOWHERE, own.index(known[0])
        if len(own) < len(known):
            unseen, places = places, places + 1
        elif embedded:
            unseen = own.index(known[-1])
        if gaps:
            gap = unseen if embedded else _NOWHERE
            if None in values:
                gap, places = places, places + 1
        return CategoryColumn(name, tuple(own), places, unseen, gap, embedded)

    @property
    def features(self) -> tuple[str, ...]:
        """As in `NumberColumn`."""
        if self.embedded:
            return (self.name,)
        names = {self.unseen: "other", self.gap: "missing"}
        return tuple(
            f"{self.name}={self.categories[place]}"
            if place < len(self.categories)
            else f"{self.name}: {names[place]}"
            for place in range(self.places)
        )

    @property
    def switches(self) -> tuple[bool, ...]:
        """As in `NumberColumn`."""
        return (True,) * len(self.features)

    def read(self, column: Any, decimal: Decimal) -> Array:
        """(rows,), the place of each category in int64."""
        places = {text: place for place, text in enumerate(self.categories)}
        texts = text_cells(column).values.tolist()
        found = (self.gap if text is None else places.get(text, self.unseen) for text in texts)
        return np.fromiter(found, dtype=np.int64, count=len(texts))

    def encode(self, values: Tensor) -> Tensor:
        """As in `NumberColumn`: 1 at the place of the category, else 0; or the place."""
        return (
            values[:, None].double()
            if self.embedded
            else (values[:, None] == torch.arange(self.places)).double()
        )


def most_places(texts: Array) -> int:
    """The most places that an embedded column may have, whichever rows are the training part.

    Each category of enough rows has one, the rare and the new ones share one, and gaps have one.

    >>> most_places(np.array(["a"] * 6 + ["b"] * 5 + ["rare", None], dtype=object))
    4
    """
    counts = counted(texts.tolist())
    frequent = sum(count >= _FEWEST_ROWS for count in counts.values())
    return (frequent or len(counts)) + 1 + bool(is_gap(texts).any())


EncodedColumn = Annotated[NumberColumn | DateColumn | CategoryColumn, Field(discriminator="kind")]


def _filled(values: Tensor, fill: float, *, gaps: bool) -> Tensor:
    """(rows, 1 or 2): the values with gaps filled, and 1 for each gap."""
    missing = values.isnan()
    filled = torch.where(
        missing, torch.tensor(fill, dtype=values.dtype), values
    )  # ONNX rounds other constants
    return torch.stack([filled, missing.double()] if gaps else [filled], dim=1)


def _calendar(days: Tensor) -> tuple[Tensor, Tensor]:
    """Year and month of days since 1970-01-01, by counting years from March 1 of year 0 on, leap days last."""
    since = days + _FROM_YEAR_0
    era = since // _ERA
    day = since - era * _ERA  # 0 to 146,096
    year = (day - day // _FOUR_YEARS + day // _CENTURY - day // (_ERA - 1)) // _YEAR  # 0 to 399
    day = day - (_YEAR * year + year // 4 - year // 100)  # 0 to 365, from March 1 on
    month = (5 * day + 2) // 153  # 0 is March
    month = torch.where(month < 10, month + 3, month - 9)
    return year + era * 400 + (month <= 2).long(), month
