"""Document: the plain content of a YAML text, and the place of each part in the text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gromo_graph.errors import Problem

Path = tuple[str | int, ...]

MAX_PROBLEMS = 1000
"""The most problems that are reported of one document, so that a hostile one costs no more."""


class Unknown:
    """Stands for a value that has been reported already; nothing more is said about it."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


@dataclass(slots=True)
class Location:
    """The lines and columns of a value and its key, from 1 (0: it has no key); `children` are its items or values.

    `file` is set if the value stands in another text than the rest of the document: an included file, or `--set`,
    which has no lines (0).
    """

    line: int
    column: int
    key_line: int = 0
    key_column: int = 0
    file: str | None = None
    children: dict[str, Location] | list[Location] | None = None


@dataclass(frozen=True)
class Unfolded:
    """The use of a block that a flat node comes from.

    Attributes:
        use: the entry of `nodes` that stands for a block. block: its name. turn: which of its repetitions, from 1.
    """

    use: str
    block: str
    turn: int


@dataclass(frozen=True)
class Document:
    """The plain content of one YAML text.

    Attributes:
        file: the document's name as the user gave it.
        data: dict, list, str, int, float, bool, None, or UNKNOWN for a value with a problem.
        root: the places, a tree like `data`.
        problems: of the text itself.
        broken: the text could not be read to its end; `data` means nothing.
        size: of the file in bytes, if it is one. values: how many it holds. text: of a file, its content.
        partial: an included file could not be read, so that blocks may be missing.
        unfolded: of flat nodes that come from a block, which one.
        aliases: the flat node that the name of a use stands for. blocks: their names.
    """

    file: str
    data: Any
    root: Location
    problems: tuple[Problem, ...] = ()
    broken: bool = False
    size: int = 0
    values: int = 0
    text: str = ""
    partial: bool = False
    unfolded: Mapping[str, Unfolded] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    blocks: frozenset[str] = frozenset()

    def place(self, path: Path) -> Location:
        """The place of the value of `path`, or of the nearest parent that is written."""
        return self._find(path)[0]

    def problem(self, path: Path, message: str, *, key: bool = False) -> Problem:
        """A problem at the value of `path`, or at its key.

        If the path is not written (something is missing), the problem stands at the key of the nearest parent.
        """
        place, found = self._find(path)
        file = place.file or self.file
        if place.line and place.key_line and (key or not found):
            return Problem(file, place.key_line, place.key_column, path_text(path), message)
        return Problem(file, place.line, place.column, path_text(path), message)

    def _find(self, path: Path) -> tuple[Location, bool]:
        place = self.root
        for step in path:
            children = place.children
            if isinstance(children, list):
                inner = children[step] if isinstance(step, int) and step < len(children) else None
            else:
                inner = children.get(str(step)) if children is not None else None
            if inner is None:
                return place, False
            place = inner
        return place, True


def path_text(path: Path) -> str:
    """A path as it is written in messages and after `--set`; names with dots and the like are quoted.

    >>> path_text(("nodes", "a.b", "from", 0))
    'nodes."a.b".from.0'
    """
    return ".".join(_step_text(step) for step in path)


def _step_text(step: str | int) -> str:
    if isinstance(step, int):
        return str(step)
    if step.replace("_", "a").replace("-", "a").isalnum() and not step.isdigit() and len(step) <= 80:
        return step
    shown = clipped(step, 80)
    return f"'{shown}'" if '"' in shown else f'"{shown}"'


def clipped(text: str, length: int = 60) -> str:
    """The text on one line, without control characters, and cut if it is long."""
    short = text if len(text) <= length else text[: length - 1] + "…"
    if short.isprintable():
        return short
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)
