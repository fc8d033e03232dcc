"""Changes of a YAML text that leave all of it as it is but for one key or value: comments, order and layout stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from gromo_graph.spec.text.layout import Layout, Path, Value, layout_of
from gromo_graph.spec.text.scalars import represent
from gromo_graph.spec.text.write import flow_text


class Text:
    """A YAML text that is changed piece by piece.

    >>> text = Text("growth:\\n  stop: {steps: 3}  # enough\\n")
    >>> text.set(("growth", "stop", "parameters"), 900)
    >>> text.set(("growth", "stop", "steps"), 4)
    >>> print(text.text, end="")
    growth:
      stop: {steps: 4, parameters: 900}  # enough
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._layout: Layout | None = None

    @property
    def layout(self) -> Layout:
        """Where everything is, as the text now stands."""
        if self._layout is None:
            self._layout = layout_of(self.text)
        return self._layout

    def put(self, start: int, end: int, text: str) -> None:
        """Replace a range of characters."""
        self.text = self.text[:start] + text + self.text[end:]
        self._layout = None

    def set(self, path: Path, value: Any, *, after: str | None = None) -> None:
        """Give a key a value; where it is not there, it is added to its map, behind the key `after` or at the end."""
        there = self.layout.value(path)
        if there is not None:
            self._replace(path, there, value)
            return
        parent = self.layout.value(path[:-1])
        key = str(path[-1])
        if parent is None:
            self.set(path[:-1], {key: value})
        elif not parent.entries:
            self._replace(path[:-1], parent, {key: value})
        else:
            self._add(parent, key, value, after)

    def remove(self, path: Path) -> None:
        """Take a key out; a map that is empty then goes with it."""
        found = self.layout.entry(path)
        if found is None:
            return
        parent, key, value = found
        entries = parent.entries or []
        if len(entries) == 1 and len(path) > 1:
            self.remove(path[:-1])
            return
        place = [k for k, _ in entries].index(key)
        if not parent.flow:
            start = key.start - self.layout.column(key.start)
            end = self.layout.line_end(value.end)
            end += len(self.layout.newline) if end < len(self.text) else 0
            self.put(start, end, "")
        elif place + 1 < len(entries):
            self.put(key.start, entries[place + 1][0].start, "")
        else:
            self.put(entries[place - 1][1].end, value.end, "")

    def rename(self, path: Path, new: str) -> None:
        """Give a key another name; a value that stands in a column with others stays there where it can."""
        found = self.layout.entry(path)
        if found is None:
            return
        _, key, value = found
        name = represent(new)
        colon = self.text.index(":", key.end)
        space = len(self.text[colon + 1 : value.start])
        if "\n" not in self.text[colon + 1 : value.start] and space > 1:
            wanted = max(1, space - (len(name) - (key.end - key.start)))
            self.put(colon + 1, value.start, " " * wanted)
        self.put(key.start, key.end, name)

    def _replace(self, path: Path, there: Value, value: Any) -> None:
        """Another value in the place of one, on the line of its key."""
        found = self.layout.entry(path) if path and isinstance(path[-1], str) else None
        if there.entries is not None and not there.flow and found is not None:
            colon = self.text.index(":", found[1].end)
            self.put(colon + 1, there.end, " " + flow_text(value))
        elif there.text == "" and there.start == there.end:  # a key without a value
            assert found is not None
            colon = self.text.index(":", found[1].end)
            self.put(colon + 1, colon + 1, " " + flow_text(value))
        else:
            self.put(there.start, there.end, flow_text(value))

    def _add(self, parent: Value, key: str, value: Any, after: str | None) -> None:
        entries = parent.entries or []
        before = next((entry for entry in entries if entry[0].text == after), entries[-1])
        name = represent(key)
        if parent.flow:
            self.put(before[1].end, before[1].end, f", {name}: {flow_text(value)}")
            return
        indent = self.layout.column(before[0].start)
        line = f"{' ' * indent}{name}:{self._gap(entries, name)}{flow_text(value)}"
        end = self.layout.line_end(before[1].end)
        self.put(end, end, self.layout.newline + line)

    def _gap(self, entries: Sequence[tuple[Value, Value]], name: str) -> str:
        """Spaces behind the colon, so that the value stands in the column of the others where they have one."""
        columns = Counter(
            value.start - key.start for key, value in entries if "\n" not in self.text[key.end : value.start]
        )
        column, times = columns.most_common(1)[0] if columns else (0, 0)
        return " " * max(1, column - len(name) - 1) if times > 1 else " "
