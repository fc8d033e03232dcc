"""The characters that each key and value of a YAML text takes up, so that single ones can be replaced.

A library that writes the whole text again cannot keep what nobody edited: a round trip through ruamel.yaml changes 1 to
16 lines of every spec in the gallery (columns, spaces in flow maps, line breaks).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import yaml

from gromo_graph.spec.text.locations import Path
from gromo_graph.spec.text.scalars import resolve

_LINE_BREAKS = "\n\r\x85\u2028\u2029"
_LINE_BREAK = re.compile(f"\r\n|[{_LINE_BREAKS}]")
_COMMENT = re.compile(f"(?:^|(?<=[\\s\ufeff]))#[^{_LINE_BREAKS}]*")
_BEFORE_VALUE = re.compile(f"(?:[ \t{_LINE_BREAKS}]|#[^{_LINE_BREAKS}]*)*")


@dataclass(eq=False)
class Span:
    """A key or a value in a text.

    Attributes:
        begin: its first character, an anchor included. start: the first one behind its anchor.
        end: the character behind its last one.
        flow: whether it stands in `{}` or `[]`. plain: whether it is a scalar without quotes.
        text: the content of a scalar. entries: keys and values of a map. items: of a list.
        anchored: whether it has an anchor. alias: the value that it stands for, if it is an alias; all of the above
            but the places are then those of that value.
    """

    begin: int
    start: int
    end: int
    flow: bool = False
    plain: bool = False
    text: str | None = None
    entries: list[tuple[Span, Span]] | None = None
    items: list[Span] | None = None
    anchored: bool = False
    alias: Span | None = None

    @property
    def data(self) -> Any:
        """The plain value, aliases written out."""
        if self.entries is not None:
            return {str(key.text): value.data for key, value in self.entries}
        if self.items is not None:
            return [item.data for item in self.items]
        return resolve(self.text or "") if self.plain else self.text

    @property
    def names(self) -> list[str]:
        """The keys of a map."""
        return [str(key.text) for key, _ in self.entries or ()]

    def entry(self, key: str) -> tuple[Span, Span] | None:
        """A key with its value."""
        return next(((k, v) for k, v in self.entries or () if k.text == key), None)

    def inner(self, step: str | int) -> Span | None:
        """The value of a key, or an item of a list."""
        if isinstance(step, int):
            return self.items[step] if self.items is not None and step < len(self.items) else None
        found = self.entry(step)
        return None if found is None else found[1]

    def walk(self) -> Iterator[Span]:
        """The value itself and all keys and values in it, without what aliases stand for."""
        yield self
        if self.alias is None:
            for part in (*chain.from_iterable(self.entries or ()), *(self.items or ())):
                yield from part.walk()


@dataclass
class Spans:
    """A text and the spans of its values.

    Attributes:
        root: the whole; None if the text holds nothing.
    """

    text: str
    root: Span | None

    def value(self, path: Path) -> Span | None:
        """The value at a path."""
        way = self.way(path)
        return way[-1] if len(way) == len(path) + 1 else None

    def way(self, path: Path) -> list[Span]:
        """The values on the way to a path, from the root on, as far as they are there."""
        found: list[Span] = []
        value = self.root
        for step in (*path, None):
            if value is None:
                break
            found.append(value)
            value = None if step is None else value.inner(step)
        return found

    def entry(self, path: Path) -> tuple[Span, Span, Span] | None:
        """The map, the key and the value at a path."""
        parent = self.value(path[:-1])
        found = None if parent is None else parent.entry(str(path[-1]))
        return None if parent is None or found is None else (parent, *found)

    def line_start(self, place: int) -> int:
        """The first character of the line of a place."""
        return max(self.text.rfind(character, 0, place) for character in _LINE_BREAKS) + 1

    def line_end(self, place: int) -> int:
        """The end of the line of a place, without its line break."""
        found = _LINE_BREAK.search(self.text, place)
        return len(self.text) if found is None else found.start()

    def next_line(self, place: int) -> int:
        """The first character behind the line of a place."""
        found = _LINE_BREAK.search(self.text, place)
        return len(self.text) if found is None else found.end()

    @property
    def newline(self) -> str:
        """The line break of the text."""
        found = _LINE_BREAK.search(self.text)
        return "\n" if found is None else found[0]

    def comments(self, start: int = 0, end: int | None = None) -> list[str]:
        """The comments between two places, in their order."""
        last = len(self.text) if end is None else end
        scalars = [span for span in self.root.walk() if span.text is not None] if self.root else []
        found: list[str] = []
        for span in sorted(scalars, key=lambda span: span.begin):  # a `#` inside a scalar begins no comment
            if start <= span.begin < last:
                found += _COMMENT.findall(self.text, start, span.begin)
            if span.begin < last:
                start = max(start, span.end)
        return found + _COMMENT.findall(self.text, start, max(start, last))


def spans_of(text: str) -> Spans:
    """The spans of a YAML text.

    Raises:
        yaml.YAMLError: it is none.

    >>> found = spans_of("a: {b: 12}  # why")
    >>> value = found.value(("a", "b"))
    >>> found.text[value.start:value.end], found.comments()
    ('12', ['# why'])
    """
    events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    first = next((event for event in events if isinstance(event, yaml.NodeEvent)), None)
    root = None if first is None else _SpanReader(text, events).value(first)
    for _ in events:  # to the end, so that what is wrong there is found
        pass
    return Spans(text, root)


@dataclass
class _SpanReader:
    text: str
    events: Iterator[Any]
    anchors: dict[str, Span] = field(default_factory=dict)

    def value(self, event: Any) -> Span:
        """The value that begins with an event."""
        begin, end = event.start_mark.index, event.end_mark.index
        if isinstance(event, yaml.AliasEvent):
            target = self.anchors[str(event.anchor)]
            inside = (target.flow, target.plain, target.text, target.entries, target.items)
            return Span(begin, begin, end, *inside, alias=target)
        start = begin
        if event.anchor is not None:
            behind = _BEFORE_VALUE.match(self.text, begin + len(event.anchor) + 1)
            start = min(behind.end(), end) if behind is not None else begin
        value = Span(begin, start, end, anchored=event.anchor is not None)
        if isinstance(event, yaml.ScalarEvent):
            value.text, value.plain = event.value, event.implicit[0]
            if event.style in ("|", ">"):  # the parser counts empty lines behind a block scalar to it
                value.end = start + len(self.text[start:end].rstrip())
        else:
            self.collect(value, event)
        if event.anchor is not None:
            self.anchors[event.anchor] = value
        return value

    def collect(self, value: Span, event: Any) -> None:
        """Read the keys and values, or the items, of a collection."""
        inner: list[Span] = []
        for following in self.events:
            if isinstance(following, yaml.CollectionEndEvent):
                value.end = following.end_mark.index  # type: ignore[union-attr]  # a text has marks
                break
            inner.append(self.value(following))
        value.flow = bool(event.flow_style)
        if not value.flow:  # the parser sees the end of a block where something else begins
            value.end = inner[-1].end if inner else value.start
        if isinstance(event, yaml.MappingStartEvent):
            value.entries = list(zip(inner[::2], inner[1::2], strict=True))
        else:
            value.items = inner
