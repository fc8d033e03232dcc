"""Files with tables in every dialect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gromo_graph.errors import RunError
from gromo_graph.run.data.tables.reading import read_rows, rows_of_frame
from gromo_graph.run.data.tables.rows import date_cells, number_cells, text_cells
from gromo_graph.spec.data_sections import TableData

_SECTION = TableData(file="t.csv", target="y")


def _file(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_every_dialect_gives_the_same_rows(tmp_path: Path, separator: str, encoding: str) -> None:
    decimal = "." if separator == "," else ","
    text = f"größe;y\n1{decimal}5;é\n;b\n".replace(";", separator)
    rows = read_rows(_file(tmp_path, text.encode(encoding)), _SECTION)
    assert (rows.header, rows.separator, rows.decimal) == (["größe", "y"], separator, decimal)
    assert text_cells(rows.column("y")).values.tolist() == ["é", "b"]
    numbers = number_cells(rows.column("größe"), rows.decimal)
    np.testing.assert_array_equal(numbers.values, [1.5, np.nan])
    assert numbers.gaps.tolist() == [False, True]


def test_the_section_says_how_a_file_is_read(tmp_path: Path) -> None:
    section = TableData(file="t.csv", target="y", separator="/", decimal=",", encoding="latin-1")
    rows = read_rows(_file(tmp_path, "a,b/y\n1,5/2\n"), section)
    assert rows.header == ["a,b", "y"]
    assert number_cells(rows.column("a,b"), rows.decimal).values.tolist() == [1.5]


def test_quotes_and_line_breaks_in_cells(tmp_path: Path) -> None:
    rows = read_rows(_file(tmp_path, 'a,y\n"one, ""two""\nthree",1\n'), _SECTION)
    assert text_cells(rows.column("a")).values.tolist() == ['one, "two"\nthree']


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "the first line is empty"),
        ("a,y\n", "there are no rows"),
        ("a,y\n1,2\n1,2,3\n", "line 3 has 3 cells, and the lines before it have 2"),
        ("a,y\n1,2,3\n", "lines with more cells than the first line has names"),
        ("sep=;\na;b;y\n1;3;2\n", "put the names of the columns into the first line, and nothing before it"),
        ("a,a,y\n1,2,3\n", "several columns are called `a`"),
        ('a,y\n"1,2\n', 'row 1 has a cell that begins with `"` and never ends'),
    ],
)
def test_a_file_that_is_no_table(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(RunError, match=told):
        read_rows(_file(tmp_path, content), _SECTION)


def test_columns_without_a_name_are_called_by_their_places(tmp_path: Path) -> None:
    rows = read_rows(_file(tmp_path, ",a,,y\n0,1,5,1\n1,2,6,2\n"), _SECTION)
    assert rows.header == ["column 1", "a", "column 3", "y"]
    assert number_cells(rows.column("column 3")).values.tolist() == [5.0, 6.0]


def test_a_wrong_encoding_is_told(tmp_path: Path) -> None:
    section = TableData(file="t.csv", target="y", encoding="ascii")
    with pytest.raises(RunError, match=r"this is no ascii text: write `data\.encoding`"):
        read_rows(_file(tmp_path, "a,y\né,1\n"), section)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be read: No such file"):
        read_rows(tmp_path / "none.csv", _SECTION)


@pytest.mark.parametrize(("name", "package"), [("t.parquet", "pyarrow"), ("t.xlsx", "openpyxl")])
def test_a_reader_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    def missing(path: Path) -> None:
        raise ImportError(package)

    for reader in ("read_parquet", "read_excel"):
        monkeypatch.setattr(pd, reader, missing)
    with pytest.raises(RunError, match=f"needs the package {package}: pip install {package}"):
        read_rows(_file(tmp_path, "x", name), _SECTION)


def test_parquet_keeps_the_types_of_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"day": pd.to_datetime(["1970-01-03"]), "count": [2]})
    monkeypatch.setattr(pd, "read_parquet", lambda path: frame)
    rows = read_rows(_file(tmp_path, "x", "t.parquet"), _SECTION)
    assert date_cells(rows.column("day")).values.tolist() == [2.0]
    assert text_cells(rows.column("count")).values.tolist() == ["2"]


def test_rows_of_python() -> None:
    assert rows_of_frame({"a": [1], "b": ["x"]}).header == ["a", "b"]
    assert rows_of_frame([{"a": 1}, {"a": 2, "b": 3}]).header == ["a", "b"]
    with pytest.raises(RunError, match="the columns have no names"):
        rows_of_frame([[1.0, 2.0]])
    with pytest.raises(RunError, match="expected a table with named columns"):
        rows_of_frame(3)


@pytest.mark.parametrize(
    ("text", "decimal", "number"),
    [
        ("1,234,567.5", ".", 1234567.5),
        ("1.234.567,5", ",", 1234567.5),
        ("1234567,5", ",", 1234567.5),
        ("-1e3", ".", -1000.0),
        ("1,5", ".", None),
        ("1.5.2024", ",", None),
        ("inf", ".", None),
        ("", ",", None),
    ],
)
def test_numbers_in_texts(text: str, decimal: str, number: float | None) -> None:
    cells = number_cells(pd.Series([text, "1"]), "," if decimal == "," else ".")
    assert cells.wrong.tolist() == [number is None and text != "", False]
    assert cells.values[0] == number or (number is None and np.isnan(cells.values[0]))


def test_the_same_cell_is_the_same_category_in_a_file_and_in_python() -> None:
    columns = [
        pd.Series(["1", None, "2"]),
        pd.Series([1.0, None, 2.0]),
        pd.Series([1, None, 2], dtype="Int64"),
    ]
    assert [text_cells(column).values.tolist() for column in columns] == [["1", None, "2"]] * 3
    truth = [pd.Series(["True", "False"]), pd.Series([True, False])]
    assert [text_cells(column).values.tolist() for column in truth] == [["True", "False"]] * 2
