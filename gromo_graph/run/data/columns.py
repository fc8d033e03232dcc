"""The columns of a table that are read: those of x, and that of the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gromo_graph.errors import RunError

TARGET = "target"


@dataclass(frozen=True)
class Columns:
    """The places of columns, from 0.

    Attributes:
        x: those of the features, in the order in which a network reads them.
        target: that of the target, or None if there is none.
    """

    x: tuple[int, ...]
    target: int | None


def choose_columns(
    name: str, header: Sequence[str] | None, width: int, *, known: Sequence[str] = (), size: int | None = None
) -> Columns:
    """The columns of a table with and without a header.

    The target is the column called `target`, else the last.

    Args:
        name: what messages call the table.
        header: the names of the columns, or None if they have none.
        width: how many columns there are.
        known: the columns that a network was trained on; in a table with a header they are found by their names.
        size: how many features a network reads; a table with no column more than that has no target.

    Raises:
        RunError: no feature, two columns of one name, or a known column is missing.

    >>> choose_columns("t", ("a", "target", "b"), 3)
    Columns(x=(0, 2), target=1)
    >>> choose_columns("t", ("b", "c", "a"), 3, known=("a", "b"))
    Columns(x=(2, 0), target=None)
    """
    names = [each.lower() for each in header or ()]
    target = names.index(TARGET) if TARGET in names else width - 1
    if header is not None:
        _check_distinct(name, header, known or header)
    if known and header is not None:
        _check_known(name, header, known)
        x = tuple(header.index(each) for each in known)
        return Columns(x, None if target in x else target)
    if TARGET not in names and size is not None and width <= size:
        return Columns(tuple(range(width)), None)
    if width < 2:
        raise RunError(f"{name}: one column only: expected features and a target")
    return Columns(tuple(column for column in range(width) if column != target), target)


def _check_distinct(name: str, header: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse two columns of one name: columns are found by their names later on."""
    twice = sorted({each for each in wanted if each and list(header).count(each) > 1})
    if twice:
        raise RunError(f"{name}: several columns are called `{twice[0]}`: give each a name of its own")


def _check_known(name: str, header: Sequence[str], known: Sequence[str]) -> None:
    """Refuse columns of other names: read by position they would give wrong answers."""
    missing = [each for each in known if each not in header]
    if missing:
        raise RunError(
            f"{name}: the network was trained on the columns {', '.join(known)}: missing "
            f"{', '.join(missing)}, found {', '.join(header)}; name the columns as then, or leave out the "
            "header to have them read by position"
        )
