"""The kinds of columns, told by looking at them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gromo_graph.run.data.tables.column_kinds import DATES, WITH_UNIT, Column, Said, free_texts, kinds_of
from gromo_graph.run.data.tables.rows import Rows
from gromo_graph.spec.data_sections import TableData


def _kinds(columns: dict[str, Any], **said: Any) -> tuple[dict[str, Column], list[str]]:
    frame = pd.DataFrame({**columns, "y": range(len(next(iter(columns.values()))))})
    problems: list[str] = []
    section = TableData(file="t.csv", target="y", **said)
    found = kinds_of(Rows("t", frame), list(columns), Said.by(section), problems)
    return {column.name: column for column in found}, problems


def _repeated(*texts: Any, times: int = 30) -> list[Any]:
    return [*texts] * times


@pytest.mark.parametrize(
    ("cells", "kind", "about"),
    [
        (_repeated("1.5", "", "-2"), "number", "-2 to 1.5; 30 gaps"),
        (_repeated("3", "4"), "number", "3 to 4, 2 whole numbers: `categorical` if they stand for names"),
        (_repeated("a", "b", "NA"), "category", "2 categories: a, b; 30 gaps"),
        (_repeated("a, b", "c"), "category", '2 categories: "a, b", c'),
        (_repeated(True, False), "category", "2 categories: False, True"),
        (_repeated("2024-02-29", "2023-01-01"), "date", "2023-01-01 to 2024-02-29"),
        (_repeated("31.12.2024 10:30", "01.01.2024 00:00"), "date", "2024-01-01 to 2024-12-31"),
        (_repeated("12/31/2024", "01/02/2024"), "date", "2024-01-02 to 2024-12-31"),
        (_repeated("x"), "drop", "always 'x': not read"),
        (_repeated("", None), "drop", "all cells are empty: not read"),
        ([str(n) for n in range(60)], "drop", "a different whole number in each row, like an id: not read"),
        ([f"k{n}x" for n in range(60)], "drop", "a different text in each row, like an id: not read"),
    ],
)
def test_a_column_that_nothing_is_said_about(cells: list[Any], kind: str, about: str) -> None:
    found, problems = _kinds({"a": cells})
    assert problems == []
    assert (found["a"].kind, found["a"].about) == (kind, about)


def test_an_id_goes_by_its_name_too() -> None:
    numbers = (np.random.RandomState(0).permutation(1000)[:60] * 7).tolist()
    found, _ = _kinds({"customer_id": numbers, "UserID": numbers, "paid": numbers})
    assert [column.kind for column in found.values()] == ["drop", "drop", "number"]


def test_day_and_month_that_could_be_either_are_told() -> None:
    found, _ = _kinds({"a": _repeated("01/02/2024", "03/04/2024")})
    assert found["a"].form == "%d/%m/%Y"
    assert 'date_format: "%m/%d/%Y"` if the month is first' in found["a"].about
    found, _ = _kinds({"a": _repeated("01/02/2024", "03/04/2024")}, date_format="%m/%d/%Y")
    assert found["a"].about == "2024-01-02 to 2024-03-04"


@pytest.mark.parametrize("other", ["%m-%d-%Y", "%Y/%m/%d %Hh%M"])
def test_dates_of_no_form_that_is_known_are_told_as_dates(other: str) -> None:
    days = [datetime(2024, 1 + n % 12, 1 + n % 28, tzinfo=UTC) for n in range(60)]
    cells = [day.strftime(other if n % 2 else "%d.%m.%Y") for n, day in enumerate(days)]
    rows = Rows("t", pd.DataFrame({"a": cells}))
    assert free_texts(rows, ["a"]) == {"a": DATES}
    _, problems = _kinds({"a": cells})
    assert (
        "`a`: dates of no form that is known, such as '01.01.2024': use one form in all rows" in problems[0]
    )
    _, problems = _kinds({"a": cells}, dates=["a"], date_format=other)
    assert f"expected a date of the form {other}" in problems[0]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    many = 40
    found, problems = _kinds(
        {
            "mixed": [*map(str, range(many - 2)), "abc", "1 2"],
            "day": ["2024-01-01"] * (many - 1) + ["2024-13-01"],
            "note": [f"the words of row {n}" for n in range(many)],
            "sound": ["a", "b"] * (many // 2),
            "height": ["tall"] * many,
            "empty": [None] * many,
        },
        numeric=["height", "empty"],
        categorical=["colour"],
    )
    assert list(found) == ["sound"]
    assert problems == [
        "`colour`, which `data.categorical` names, is not there: found `mixed`, `day`, `note`, `sound`, `height`, "
        "`empty`, `y`",
        "`mixed`: 'abc' in row 39, '1 2' in row 40: expected a number, as in most rows; correct it, or list the "
        "column under `data.categorical`",
        "`day`: '2024-13-01' in row 40: expected a date such as 2024-12-31, as in most rows; correct it, or list the "
        "column under `data.categorical`",
        "`note`: free text (40 different texts in 40 rows), of which nothing is read: list it under `data.drop`, or "
        "under `data.categorical` if these are categories",
        "`height`: 'tall' in row 1, 'tall' in row 2, 'tall' in row 3 and 37 more: expected a number",
        "`empty`: all cells are empty: list it under `data.drop`",
    ]


def test_a_list_has_the_last_word() -> None:
    cells = _repeated("1", "2")
    lists = {"numeric": "number", "categorical": "category", "drop": "drop"}
    for key, kind in lists.items():
        found, problems = _kinds({"a": cells}, **{key: ["a"]})
        assert (found["a"].kind, problems) == (kind, [])
    found, _ = _kinds({"a": [f"the words of row {n}" for n in range(40)]}, categorical=["a"])
    assert found["a"].kind == "category"


@pytest.mark.parametrize("form", ["€{}.50", "$ {},100.00", "{} %", "{}.5%", "{} kg", "-{}°C"])
def test_numbers_with_a_unit_are_told(form: str) -> None:
    rows = Rows("t.csv", pd.DataFrame({"price": [form.format(n) for n in range(30)]}))
    assert free_texts(rows, ["price"]) == {"price": WITH_UNIT}


def test_short_codes_are_no_numbers_with_a_unit() -> None:
    rows = Rows("t.csv", pd.DataFrame({"code": [f"A{n}-{n}" for n in range(30)]}))
    assert free_texts(rows, ["code"]) == {}
