"""Reading files with tables: CSV of any dialect, Parquet and Excel; pandas does the work."""

from __future__ import annotations

import codecs
import csv
import re
import warnings
from pathlib import Path
from typing import Any

from gromo_graph.errors import RunError
from gromo_graph.records.atomic_files import check_regular
from gromo_graph.run.data.tables.rows import Decimal, Rows, check_distinct
from gromo_graph.spec.data_sections import TableData

_SEPARATORS = ",;\t|"
_LOOKED_AT = 1000  # rows that tell the decimal mark
_COMMA = re.compile(r"[+-]?\d[\d.]*,\d+")
_POINT = re.compile(r"[+-]?\d[\d,]*\.\d+")
_CELLS = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")
_QUOTED = re.compile(r"inside string starting at row (\d+)")
_NEEDS = {".parquet": "pyarrow", ".xlsx": "openpyxl"}


def read_rows(path: Path, section: TableData) -> Rows:
    """The rows of a file.

    Args:
        path: of the file. section: its separator, decimal mark and encoding; each is found out if it is not said.

    Raises:
        RunError: the file cannot be read, a package that reads it is missing, or it holds no rows.
    """
    name = str(path)
    check_regular(path)
    pandas = _pandas(name)
    try:
        match path.suffix.lower():
            case ".parquet":
                return Rows(name, pandas.read_parquet(path))
            case ".xlsx":
                return Rows(name, pandas.read_excel(path))
            case _:
                return _read_text(path, section, pandas)
    except ImportError as error:
        package = _NEEDS[path.suffix.lower()]
        raise RunError(
            f"{name}: reading this file needs the package {package}: pip install {package}"
        ) from error
    except OSError as error:
        raise RunError(f"{name}: the data cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RunError(f"{name}: this is no {error.encoding} text: write `data.encoding`") from error
    except pandas.errors.ParserWarning as error:
        raise RunError(
            f"{name}: there are lines with more cells than the first line has names: put the names of the columns "
            "into the first line, and nothing before it"
        ) from error
    except RunError:
        raise
    except (ValueError, KeyError) as error:  # ParserError and EmptyDataError are ValueErrors
        raise RunError(f"{name}: {_fault(str(error))}") from error


def _fault(told: str) -> str:
    """The fault of a file in other words than those of pandas.

    >>> _fault("Error tokenizing data. C error: Expected 3 fields in line 4, saw 5")
    'line 4 has 5 cells, and the lines before it have 3: put cells that contain the separator in quotes'
    """
    cells = _CELLS.search(told)
    if cells is not None:
        fewer, line, more = cells.groups()
        advice = "put cells that contain the separator in quotes"
        return f"line {line} has {more} cells, and the lines before it have {fewer}: {advice}"
    quoted = _QUOTED.search(told)
    if quoted is not None:
        return f'row {quoted[1]} has a cell that begins with `"` and never ends: end it with another, or remove it'
    return "this file holds no table that can be read: expected a file of the kind that its ending names"


def rows_of_frame(frame: Any, name: str = "data") -> Rows:
    """The rows of a DataFrame, or of anything that pandas makes one of: a map of columns, a list of maps.

    Raises:
        RunError: it has no named columns, or no rows.
    """
    pandas = _pandas(name)
    try:
        found = frame if hasattr(frame, "iloc") else pandas.DataFrame(frame)
    except (ValueError, TypeError) as error:
        raise RunError(
            f"{name}: found {type(frame).__name__}: expected a table with named columns"
        ) from error
    if all(isinstance(label, int) for label in found.columns.tolist()):
        raise RunError(
            f"{name}: the columns have no names: expected a DataFrame, a map of columns, or a list of maps"
        )
    return Rows(name, found)


def _read_text(path: Path, section: TableData, pandas: Any) -> Rows:
    encoding = section.encoding or _encoding(path)
    with path.open(encoding=encoding, newline="") as file:
        first = file.readline()
        if not first.strip():
            raise RunError(f"{path}: the first line is empty: expected the names of the columns")
        separator = section.separator or _separator(first)
        file.seek(0)
        written = next(csv.reader(file, delimiter=separator))
    header = [name.strip() or f"column {place}" for place, name in enumerate(written, start=1)]
    check_distinct(str(path), header)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.ParserWarning)  # cells that no column is for
        frame = pandas.read_csv(
            path,
            sep=separator,
            encoding=encoding,
            header=0,
            names=header,
            dtype=str,
            index_col=False,
            keep_default_na=False,
            na_values=[""],
            skipinitialspace=True,
        )
    decimal = section.decimal or _decimal(frame, separator)
    return Rows(str(path), frame, decimal, separator, encoding)


def in_own_encoding(path: Path, section: TableData) -> TableData:
    """The section, without its encoding if the file is plainly in another one: UTF-8 with more than ASCII, or UTF-16.

    Text in an encoding of one byte a character is practically never valid UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return section  # reading it will say why
    plain = content.isascii() or _encoding(path) == "cp1252"
    return section if plain else section.model_copy(update={"encoding": None})


def _encoding(path: Path) -> str:
    """UTF-8, or UTF-16 if the file says so at its beginning; else that of Windows in Western Europe."""
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig" if content.startswith(codecs.BOM_UTF8) else "utf-8"


def _separator(line: str) -> str:
    """The separator that makes the most columns of the first line.

    >>> _separator('"a;b",c;d,e')
    ','
    """
    return max(_SEPARATORS, key=lambda mark: len(next(csv.reader([line], delimiter=mark))))


def _decimal(frame: Any, separator: str) -> Decimal:
    """A comma if more cells look like `1,5` than like `1.5`."""
    if separator == ",":
        return "."
    cells = [str(cell) for column in frame.columns for cell in frame[column].iloc[:_LOOKED_AT]]
    commas, points = (sum(bool(form.fullmatch(cell)) for cell in cells) for form in (_COMMA, _POINT))
    return "," if commas > points else "."


def _pandas(name: str) -> Any:
    try:
        import pandas
    except ImportError as error:
        raise RunError(
            f"{name}: tables are read by pandas, which is not installed: pip install pandas"
        ) from error
    return pandas
