"""Where each key and value of a YAML text begins and ends, to the character, so that parts of it can be replaced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]


@dataclass
class Value:
    """A value in a text.

    Attributes:
        start, end: its first character and the one behind its last; an anchor before it is no part of it.
        flow: whether it stands in `{}` or `[]`.
        text: of a scalar, what it says. alias: of an alias, its name. anchor: the name it has for aliases.
        entries: of a map, its keys and values. items: of a list.
    """

    start: int
    end: int
    flow: bool = False
    text: str | None = None
    alias: str | None = None
    anchor: str | None = None
    entries: list[tuple[Value, Value]] | None = None
    items: list[Value] | None = None

    def entry(self, key: str) -> tuple[Value, Value] | None:
        """A key with its value."""
        return next(((k, v) for k, v in self.entries or () if k.text == key), None)


@dataclass
class Layout:
    """A text and its values.

    Attributes:
        root: the whole; None where the text holds nothing.
    """

    text: str
    root: Value | None
    anchors: dict[str, Value] = field(default_factory=dict)

    def value(self, path: Path) -> Value | None:
        """The value at a path, aliases not followed."""
        value = self.root
        for step in path:
            if value is None:
                return None
            if isinstance(step, int):
                value = value.items[step] if value.items is not None and step < len(value.items) else None
            else:
                found = value.entry(step)
                value = None if found is None else found[1]
        return value

    def entry(self, path: Path) -> tuple[Value, Value, Value] | None:
        """The map, the key and the value at a path."""
        parent = self.value(path[:-1])
        found = None if parent is None else parent.entry(str(path[-1]))
        return None if parent is None or found is None else (parent, *found)

    def column(self, place: int) -> int:
        """How far a place is from the beginning of its line."""
        return place - (self.text.rfind("\n", 0, place) + 1)

    def line_end(self, place: int) -> int:
        """The end of the line of a place, its line break not included."""
        found = self.text.find("\n", place)
        end = len(self.text) if found < 0 else found
        return end - 1 if end > place and self.text[end - 1] == "\r" else end

    @property
    def newline(self) -> str:
        """The line break of the text."""
        return "\r\n" if "\r\n" in self.text else "\n"


def layout_of(text: str) -> Layout:
    """The layout of a YAML text.

    Raises:
        yaml.YAMLError: it is none.

    >>> found = layout_of("a: {b: 12}  # why")
    >>> value = found.value(("a", "b"))
    >>> found.text[value.start:value.end]
    '12'
    """
    events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    reader = _Reader(Layout(text, None), events)
    first = next((event for event in events if isinstance(event, yaml.NodeEvent)), None)
    if first is not None:
        reader.layout.root = reader.value(first)
    for _ in events:  # to the end, so that what is wrong there is found
        pass
    return reader.layout


@dataclass
class _Reader:
    layout: Layout
    events: Iterator[Any]

    def value(self, event: Any) -> Value:
        """The value that begins with an event."""
        start, end = event.start_mark.index, event.end_mark.index
        if isinstance(event, yaml.AliasEvent):
            return Value(start, end, alias=event.anchor)
        value = Value(self.behind_anchor(start, event.anchor), end, anchor=event.anchor)
        if isinstance(event, yaml.ScalarEvent):
            value.text = event.value
        else:
            self.collect(value, event)
        if event.anchor is not None:
            self.layout.anchors[event.anchor] = value
        return value

    def collect(self, value: Value, event: Any) -> None:
        inner: list[Value] = []
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

    def behind_anchor(self, start: int, anchor: str | None) -> int:
        if anchor is None:
            return start
        text, place = self.layout.text, start + len(anchor) + 1
        while place < len(text) and text[place] in " \t\r\n":
            place += 1
        return place
