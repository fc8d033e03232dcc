"""Reading `.csv`: rows of numbers and a target column, every wrong line named."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gromo_graph.amounts import amount
from gromo_graph.errors import RunError
from gromo_graph.run.data.columns import TARGET, choose_columns
from gromo_graph.run.data.raw import Array, Raw, raw_from

_DELIMITERS = ",;\t"
_MISSING = frozenset({"", "na", "n/a", "null", "none", "?"})


@dataclass(frozen=True)
class Table:
    """The cells of a file, all rows equally long.

    Attributes:
        name: of the file, as messages call it.
        header: the names of the columns, or None if the first line already holds data.
        rows: the cells.
        lines: the 1-based line of each row.
    """

    name: str
    header: tuple[str, ...] | None
    rows: list[list[str]]
    lines: list[int]

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.rows[0])

    def column(self, index: int) -> str:
        """The name of a column in messages."""
        return f"column `{self.header[index]}`" if self.header else f"column {index + 1}"


def read_csv(path: Path, *, known: Sequence[str] = (), size: int | None = None, target: bool = True) -> Raw:
    """The data of a `.csv` file.

    The first line may name the columns. The target is the column named `target`, else the last.

    Args:
        path: of the file.
        known: the columns that a network was trained on: in a file that names its columns they are found by
            their names; a file without a header is read by position.
        size: how many features a network reads; a file with no column more than that has no target.
    Raises:
        RunError: the file cannot be read, is empty, or a line is no row of numbers (with the line).
    """
    table = read_table(path)
    columns = choose_columns(table.name, table.header, table.width, known=known, size=size)
    x = np.array([[_number(table, row, column) for column in columns.x] for row in range(len(table.rows))])
    y = None if columns.target is None or not target else _target(table, columns.target)
    names = () if table.header is None else tuple(table.header[column] for column in columns.x)
    return raw_from(table.name, x, y, features=names)


def read_table(path: Path) -> Table:
    """The cells of a file as text.

    Raises:
        RunError: the file cannot be read, is empty, or its lines differ in length.
    """
    name, numbered = str(path), _numbered_rows(path)
    if not numbered:
        raise RunError(f"{name}: the file is empty: expected rows of numbers")
    first_line, first = numbered[0]
    for line, row in numbered:
        if len(row) != len(first):
            raise RunError(
                f"{name}:{line}: {amount(len(row), 'cell')}: expected {len(first)}, as many as line {first_line} has"
            )
    header = tuple(cell.strip() for cell in first) if _is_header(first) else None
    body = numbered if header is None else numbered[1:]
    if not body:
        raise RunError(f"{name}: there is a line of column names and no sample after it")
    return Table(name, header, [row for _, row in body], [line for line, _ in body])


def _numbered_rows(path: Path) -> list[tuple[int, list[str]]]:
    """The rows of a file that are not empty, with their lines.

    Raises:
        RunError: the file cannot be read.
    """
    name = str(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            delimiter = _delimiter(file.readline())
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except UnicodeDecodeError as error:
        raise RunError(f"{name}: this is no UTF-8 text: save it as UTF-8") from error
    except csv.Error as error:
        raise RunError(f"{name}:{reader.line_num}: this line is no CSV: {error}") from error
    except OSError as error:
        raise RunError(f"{name}: the data cannot be read: {error.strerror or error}") from error


def _delimiter(line: str) -> str:
    return max(_DELIMITERS, key=line.count)


def _is_header(cells: Sequence[str]) -> bool:
    """True if a line has names and no numbers, or names a target among names that are numbers."""
    names = [cell.strip().lower() for cell in cells]
    return TARGET in names or not any(_is_number(name) for name in names)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(table: Table, row: int, column: int) -> float:
    cell = table.rows[row][column].strip()
    try:
        return float(cell)
    except ValueError:
        if cell.lower() in _MISSING:
            return math.nan
    raise RunError(
        f"{table.name}:{table.lines[row]}: {table.column(column)} holds {cell[:40]!r}: expected a number; for "
        "a table with other columns write a section `data` (gromo-graph new table --data FILE --target NAME)"
    )


def _target(table: Table, column: int) -> Array:
    cells = [row[column].strip() for row in table.rows]
    if all(_is_number(cell) or cell.lower() in _MISSING for cell in cells):
        return np.array([_number(table, row, column) for row in range(len(cells))])
    for row, cell in enumerate(cells):
        if not cell:
            raise RunError(
                f"{table.name}:{table.lines[row]}: {table.column(column)} is empty: expected a class"
            )
    return np.array(cells)
