"""Rows as numbers: what the training rows teach, and what becomes of cells that they did not have."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter

from gromo_graph.errors import RunError
from gromo_graph.run.data.tables.encoded_columns import CategoryColumn, DateColumn, NumberColumn
from gromo_graph.run.data.tables.encoding import TableEncoding
from gromo_graph.run.data.tables.learning import learn_table
from gromo_graph.run.data.tables.rows import Rows
from gromo_graph.spec.data_sections import TableData
from tests.run.tables.tables import shop


def _encoded(column: Any, cells: list[Any]) -> np.ndarray[Any, Any]:
    return column.encode(torch.tensor(column.read(pd.Series(cells), "."))).numpy()  # type: ignore[no-any-return]


def test_numbers() -> None:
    values = np.array([1.0, np.nan, 5.0, 3.0])
    told, silent = (NumberColumn.learned("a", values, gaps=gaps) for gaps in (True, False))
    assert (told.fill, told.features, silent.features) == (3.0, ("a", "a: missing"), ("a",))
    np.testing.assert_array_equal(_encoded(told, ["7", ""]), [[7, 0], [3, 1]])
    np.testing.assert_array_equal(_encoded(silent, ["7", ""]), [[7], [3]])


def test_categories_that_are_rare_or_new_share_a_place() -> None:
    texts = np.array(["b"] * 6 + ["a"] * 5 + ["rare"] * 2 + [None], dtype=object)
    column = CategoryColumn.learned("c", texts, gaps=True)
    assert column.features == ("c=a", "c=b", "c: other", "c: missing")
    np.testing.assert_array_equal(_encoded(column, ["b", "rare", "new", None]).argmax(axis=1), [1, 2, 2, 3])
    imputed = CategoryColumn.learned("c", texts, gaps=False)
    assert imputed.features == ("c=a", "c=b", "c: other")
    np.testing.assert_array_equal(_encoded(imputed, ["a", None]), [[1, 0, 0], [0, 1, 0]])


def test_without_rare_ones_and_gaps_in_training_such_cells_are_no_category() -> None:
    column = CategoryColumn.learned("c", np.array(["a"] * 5 + ["b"] * 5, dtype=object), gaps=True)
    np.testing.assert_array_equal(_encoded(column, ["new", None, "b"]), [[0, 0], [0, 0], [0, 1]])


def test_of_many_categories_the_most_frequent_have_a_place() -> None:
    texts = [f"c{n:03d}" for n in range(80) for _ in range(5 + n)]
    column = CategoryColumn.learned("c", np.array(texts, dtype=object), gaps=True)
    assert (column.places, column.categories[0], column.unseen) == (51, "c030", 50)


@pytest.mark.parametrize("first", ["0001-01-01", "1583-10-15", "1899-12-31", "1999-12-01", "2099-02-20"])
def test_dates_are_those_of_the_calendar(first: str) -> None:
    days = np.datetime64(first) + np.arange(900)
    column = DateColumn("d", "ISO8601", 0.0, gaps=False, hours=False)
    found = column.encode(torch.tensor(days.astype("datetime64[D]").astype(np.int64)).double()).numpy()
    months = days.astype("datetime64[M]").astype(np.int64)
    np.testing.assert_array_equal(found[:, 0], days.astype(np.int64))
    np.testing.assert_array_equal(found[:, 1], months // 12 + 1970)
    np.testing.assert_array_equal(found[:, 2], months % 12 + 1)
    np.testing.assert_array_equal(found[:, 3], [day.item().weekday() for day in days])


def test_the_time_of_day_is_read_if_there_is_one() -> None:
    cells = ["2024-01-01 06:00", "2024-01-03", None]
    column = DateColumn("d", "ISO8601", 0.0, gaps=True, hours=False)
    values = column.read(pd.Series(cells), ".")
    learned = DateColumn.learned("d", values, form="ISO8601", gaps=True)
    assert learned.features[-2:] == ("d: hour", "d: missing")
    found = _encoded(learned, cells)
    np.testing.assert_allclose(found[:, 4], [6, 0, 3], atol=1e-6)
    assert found[:, 5].tolist() == [0, 0, 1]
    assert _encoded(learned, ["2024-01-01T06:00:00+02:00"])[0, 4] == pytest.approx(4.0)


def _learned(**said: Any) -> TableEncoding:
    section = TableData(file="t.csv", target="kind", **said)
    return learn_table(Rows("t", shop()), section, "classification").encoding


def test_the_encoding_is_plain_values() -> None:
    encoding = _learned(dates=["since"])
    text = json.dumps(asdict(encoding), allow_nan=False)
    assert TypeAdapter(TableEncoding).validate_json(text, strict=True) == encoding


def test_only_the_training_rows_teach() -> None:
    frame = shop()
    learned = learn_table(Rows("t", frame), TableData(file="t.csv", target="kind"), "classification")
    others = np.setdiff1d(np.arange(len(frame)), learned.parts.train)
    changed = frame.copy()
    changed.loc[others, "age"] = 1e6
    changed.loc[others, "city"] = "Paris"
    again = learn_table(Rows("t", changed), TableData(file="t.csv", target="kind"), "classification")
    assert again.encoding == learned.encoding
    assert "column `city`: `Paris` read as none of the categories" in again.notes[-1]


def test_columns_are_found_by_name_in_any_order() -> None:
    encoding, frame = _learned(), shop()
    one = encoding.raw(Rows("t", frame), "classification")
    other = encoding.raw(Rows("t", frame[frame.columns[::-1]].assign(more=1)), "classification")
    np.testing.assert_array_equal(one.x, other.x)
    assert other.y is not None
    assert one.features == encoding.features


def test_what_is_wrong_with_new_rows_is_told_at_once() -> None:
    frame = shop().rename(columns={"city": "town"}).astype({"age": object})
    frame.loc[4, "age"] = "forty"
    with pytest.raises(RunError) as caught:
        _learned().raw(Rows("new", frame.drop(columns="kind")), "classification")
    lines = str(caught.value).splitlines()
    assert lines[0] == "new: 3 columns cannot be used:"
    assert lines[1] == "  `age`: 'forty' in row 5: expected a number"
    assert lines[2].startswith("  `city`: is missing: found `customer_id`")
    assert lines[3].startswith("  `kind`: the target is missing")


def test_gaps_that_are_refused() -> None:
    with pytest.raises(RunError, match="2 columns cannot be used") as caught:
        _learned(missing="refuse")
    assert "`age`: rows 1, 10, 19 and 4 more are empty, and `data.missing: refuse` takes no gaps" in str(
        caught.value
    )
    encoding = _learned(missing="refuse", drop=["age", "city"])
    gap = shop().assign(active=None)
    with pytest.raises(RunError, match="column `active`: rows 1, 2, 3 and 57 more are empty"):
        encoding.raw(Rows("new", gap), "classification")


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("kinds", "the target is missing: did you mean `kind`?"),
        (["one"] * 60, "the target has one class alone, `one`"),
        ([None] * 60, "all cells of the target are empty"),
        ([None, *["a", "b"] * 29, "a"], "row 1 is empty, and a target is needed"),
    ],
)
def test_targets_that_cannot_be_learned(target: Any, told: str) -> None:
    frame, name = shop(), "kind"
    if isinstance(target, str):
        name = target
    else:
        frame["kind"] = target
    with pytest.raises(RunError) as caught:
        learn_table(Rows("t", frame), TableData(file="t.csv", target=name), "classification")
    assert told in str(caught.value)


def test_a_target_of_text_is_no_number() -> None:
    with pytest.raises(RunError, match=r"expected a number; for classes write `train\.loss: cross_entropy`"):
        learn_table(Rows("t", shop()), TableData(file="t.csv", target="kind"), "regression")


def test_a_table_with_nothing_to_read() -> None:
    with pytest.raises(RunError, match="there is no column beside the target that can be read"):
        learn_table(
            Rows("t", shop()[["customer_id", "kind"]]),
            TableData(file="t.csv", target="kind"),
            "classification",
        )
