"""YAML text -> Document.

The tree is built from the parser's events: nothing is ever constructed from a tag, and the limits hold while
the text is read, so that a hostile document costs no more than a large honest one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from gromo_graph.errors import Problem
from gromo_graph.spec.text.locations import (
    MAX_PROBLEMS,
    UNKNOWN,
    Document,
    Location,
    Path,
    clipped,
    path_text,
)
from gromo_graph.spec.text.scalars import resolve

MAX_BYTES = 5_000_000
MAX_NODES = 100_000
"""Values of a document (keys not counted), every alias written out."""

MAX_DEPTH = 64
_MAX_DIRECTIVES = 100

MERGE_KEY = (
    "merge keys are no part of YAML 1.2: write the values out, or use `defaults`; quote it if it is a name"
)
NO_COLON = "this line has no `:`: write `key: value`, or remove it"
EMPTY = "the document is empty: `gromo-graph new` prints one to start from"


def parse_document(text: str, file: str) -> Document:
    """Read YAML text; its problems are in `problems` of the result, and nothing is raised."""
    text = text.removeprefix("\ufeff")
    refused = _refused_text(text)
    if refused is not None:
        return broken(file, refused)
    builder = _Builder(file)
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            builder.take(event)
    except _LimitPassed:
        return Document(file, None, Location(1, 1), tuple(builder.problems), broken=True)
    except yaml.MarkedYAMLError as error:
        place, message = _syntax_problem(error, text.splitlines())
        return broken(file, f"not YAML: {message}", place=place, before=builder.problems)
    except yaml.reader.ReaderError as error:
        return broken(file, _character_message(error))
    except yaml.YAMLError as error:
        return broken(file, f"not YAML: {error}")
    if builder.data is None:
        return broken(file, EMPTY)
    return Document(file, builder.data, builder.root, tuple(builder.problems), values=builder.size)


def broken(
    file: str, message: str, *, place: tuple[int, int] | None = (1, 1), before: Sequence[Problem] = ()
) -> Document:
    """A document that could not be read, for one reason (after the problems found before)."""
    line, column = place or (0, 0)
    problem = Problem(file, line, column, "", message)
    return Document(file, None, Location(1, 1), (*before, problem), broken=True)


def _refused_text(text: str) -> str | None:
    try:
        size = len(text) if len(text) > MAX_BYTES else len(text.encode())
    except UnicodeEncodeError as error:
        return f"the character {text[error.start]!a} is half of a pair: it is no text on its own"
    if size > MAX_BYTES:
        return f"the document is {size / 1e6:.1f} MB, at most {MAX_BYTES // 1_000_000} MB are read"
    if text.count("\n%") > _MAX_DIRECTIVES:
        return f"more than {_MAX_DIRECTIVES} lines begin with `%`: a spec needs no directives"
    return None


def _character_message(error: yaml.reader.ReaderError) -> str:
    code = error.character
    found = f"the character U+{code:04X}" if isinstance(code, int) else "a byte that is no character"
    return f"{found} is not allowed in YAML: remove it, or write it as an escape inside double quotes"


def _syntax_problem(error: yaml.MarkedYAMLError, lines: Sequence[str]) -> tuple[tuple[int, int], str]:
    """The line and the column, from 1, of what is wrong, and the words for it."""
    problem, mark, begun = error.problem or "it cannot be read", error.problem_mark, error.context_mark
    if mark is None:
        return (1, 1), problem
    if begun is not None and "could not find expected ':'" in problem:
        return (begun.line + 1, begun.column + 1), NO_COLON
    line = lines[mark.line] if mark.line < len(lines) else ""
    hint = _hint(problem, line)
    if hint == _TWO_KEYS and line.find(":") == mark.column:
        stray = _text_before(lines, mark.line)
        if stray is not None:
            return (stray + 1, 1 + len(lines[stray]) - len(lines[stray].lstrip())), NO_COLON
    since = f" that begins in line {begun.line + 1}" if begun is not None and mark != begun else ""
    context = f" {error.context}{since}" if error.context else ""
    return (mark.line + 1, mark.column + 1), f"{problem}{context}{hint}"


_TWO_KEYS = ": text with `: ` in it needs quotes, or the indentation of this line is off"


def _hint(problem: str, line: str) -> str:
    """The advice behind a problem of a line: the first that applies, or none."""
    hints = {
        ': write "${...}" in double quotes': "${" in line and '"${' not in line,
        ": indent with spaces, not with a tab": "\t" in line[: len(line) - len(line.lstrip())],
        _TWO_KEYS: "mapping values" in problem,
        ": text that begins with this character needs quotes": "cannot start any token" in problem,
    }
    return next((hint for hint, applies in hints.items() if applies), "")


def _text_before(lines: Sequence[str], number: int) -> int | None:
    """The first of the lines without a colon just before a line: YAML reads them and its key as one text."""
    first = None
    for before in range(number - 1, -1, -1):
        if set(lines[before]) & set(":#"):
            break
        first = before if lines[before].strip() else first
    return first


class _LimitPassed(Exception):  # noqa: N818 - it ends the reading; the problem is in the builder's list
    """A limit was passed: read no further."""


@dataclass(slots=True)
class _Key:
    text: str | None  # None: the key cannot be used, its value is dropped
    line: int
    column: int
    merges: bool = False  # `<<` without quotes


@dataclass(slots=True)
class _Value:
    """A value with its place; size and height count the values below it, aliases written out."""

    data: Any
    place: Location
    size: int = 1
    height: int = 0


@dataclass(slots=True)
class _Open:
    """A list or map that is still being read."""

    value: _Value
    anchor: str | None
    tagged: bool
    key: _Key | None = None
    merged: list[_Value] = field(default_factory=list)


@dataclass
class _Builder:
    """Takes the events of one stream; `data` and `root` hold the result."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    documents: int = 0
    data: Any = None
    root: Location = field(default_factory=lambda: Location(1, 1))
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, _Value | None] = field(default_factory=dict)  # None: not finished yet
    size: int = 0

    def take(self, event: Any) -> None:
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    def begin(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            self.stop(event, "a second document begins here: a spec is one document, remove the `---`")

    def scalar(self, event: Any) -> None:
        if event.tag is not None:
            self.refuse_tag(event)
        data = resolve(event.value) if event.implicit[0] else event.value
        if self.waits_for_key():
            if event.anchor is not None:
                self.anchors[event.anchor] = _Value(data, _place(event))
            self.key(data, event.value, event)
        else:
            self.count(1, event)
            self.finish(_Value(data if event.tag is None else UNKNOWN, _place(event)), event.anchor)

    def open(self, event: Any) -> None:
        self.count(1, event)
        if len(self.stack) >= MAX_DEPTH:
            self.stop(event, f"nested more than {MAX_DEPTH} deep")
        if event.tag is not None:
            self.refuse_tag(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        place = _place(event)
        value = _Value([], place, height=1)
        place.children = []
        if isinstance(event, yaml.MappingStartEvent):
            value.data, place.children = {}, {}
        self.stack.append(_Open(value, event.anchor, event.tag is not None))

    def close(self, event: Any) -> None:
        done = self.stack.pop()
        for value in done.merged:
            _merge(done.value, value)
        if done.tagged:
            done.value.data, done.value.place.children = UNKNOWN, None
        self.finish(done.value, done.anchor)

    def alias(self, event: Any) -> None:
        name = event.anchor
        target = self.anchors.get(name, _Value(UNKNOWN, _place(event)))
        if name not in self.anchors:
            self.report(event, f"`*{clipped(name)}` stands for nothing: no `&{clipped(name)}` before it")
        if target is None:
            self.stop(event, f"`*{clipped(name)}` stands inside its own `&{clipped(name)}`")
            return
        self.count(target.size, event)
        if len(self.stack) + target.height > MAX_DEPTH:
            self.stop(event, f"nested more than {MAX_DEPTH} deep with `*{clipped(name)}` written out")
        if self.waits_for_key() and isinstance(target.data, str):
            self.key(target.data, target.data, event)
            return
        place = _place(event)
        place.children = target.place.children
        self.finish(_Value(target.data, place, target.size, target.height), None)

    def finish(self, value: _Value, anchor: str | None) -> None:
        if anchor is not None:
            self.anchors[anchor] = value
        if not self.stack:
            self.data, self.root = value.data, value.place
            return
        parent = self.stack[-1]
        parent.value.size += value.size
        parent.value.height = max(parent.value.height, value.height + 1)
        children = parent.value.place.children
        if isinstance(children, list):
            parent.value.data.append(value.data)
            children.append(value.place)
        elif parent.key is None:
            self.add(
                value.place.line, value.place.column, self.path(), "a key is a list or a map: write text"
            )
            parent.key = _Key(None, 0, 0)
        elif parent.key.merges:
            self.add(parent.key.line, parent.key.column, self.path(), MERGE_KEY)
            parent.merged.append(value)
            parent.key = None
        else:
            self.put(parent.value, parent.key, value)
            parent.key = None

    def put(self, parent: _Value, key: _Key, value: _Value) -> None:
        children = parent.place.children
        assert isinstance(children, dict)
        if key.text is None:
            return
        if key.text in children:
            first = children[key.text]
            message = (
                f'the key "{clipped(key.text)}" stands twice in this map: '
                f"first at {first.key_line}:{first.key_column}, keep one of the two"
            )
            self.add(key.line, key.column, self.path(), message)
            return
        value.place.key_line, value.place.key_column = key.line, key.column
        parent.data[key.text] = value.data
        children[key.text] = value.place

    def key(self, data: Any, text: str, event: Any) -> None:
        place = _place(event)
        merges = text == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]
        self.stack[-1].key = _Key(text, place.line, place.column, merges)
        if not isinstance(data, str):
            shown = clipped(text)
            self.report(event, f'the key {shown or "(empty)"} is no text: put it in quotes, "{shown}"')

    def waits_for_key(self) -> bool:
        return bool(self.stack) and self.stack[-1].key is None and isinstance(self.stack[-1].value.data, dict)

    def path(self) -> Path:
        """The path of the value that comes next."""
        steps: list[str | int] = []
        for open_value in self.stack:
            if isinstance(open_value.value.data, list):
                steps.append(len(open_value.value.data))
            elif open_value.key is not None and open_value.key.text is not None:
                steps.append(open_value.key.text)
        return tuple(steps)

    def count(self, nodes: int, event: Any) -> None:
        self.size += nodes
        if self.size > MAX_NODES:
            self.stop(event, f"more than {MAX_NODES:,} values, what each `*` stands for counted")

    def refuse_tag(self, event: Any) -> None:
        tag = clipped(event.tag.replace("tag:yaml.org,2002:", "!!"))
        self.report(event, f"the tag `{tag}` is refused: a spec is plain data, leave the tag out")

    def report(self, event: Any, message: str) -> None:
        self.add(event.start_mark.line + 1, event.start_mark.column + 1, self.path(), message)

    def add(self, line: int, column: int, path: Path, message: str) -> None:
        self.problems.append(Problem(self.file, line, column, path_text(path), message))
        if len(self.problems) >= MAX_PROBLEMS:
            raise _LimitPassed

    def stop(self, event: Any, message: str) -> None:
        self.report(event, message)
        raise _LimitPassed


def _merge(into: _Value, value: _Value) -> None:
    """Take over what a merge key brings, so that nothing else is reported for want of it."""
    data, children = into.data, into.place.children
    if isinstance(value.data, dict) and isinstance(children, dict):
        for key, inner in value.data.items():
            if key not in data:
                data[key] = inner
                children[key] = value.place.children[key]  # type: ignore[index]


def _place(event: Any) -> Location:
    mark = event.start_mark
    return Location(mark.line + 1, mark.column + 1)


_HANDLERS: dict[type, Callable[[_Builder, Any], None]] = {
    yaml.DocumentStartEvent: _Builder.begin,
    yaml.ScalarEvent: _Builder.scalar,
    yaml.SequenceStartEvent: _Builder.open,
    yaml.MappingStartEvent: _Builder.open,
    yaml.SequenceEndEvent: _Builder.close,
    yaml.MappingEndEvent: _Builder.close,
    yaml.AliasEvent: _Builder.alias,
}
