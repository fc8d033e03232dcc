"""Changes of single keys and values of a YAML text: everything else, comments and layout too, stays as it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from gromo_graph.spec.text.locations import Path
from gromo_graph.spec.text.scalars import represent
from gromo_graph.spec.text.spans import Span, Spans, spans_of
from gromo_graph.spec.text.write import LONGEST_KEY, flow_text, plain_flow_text

_INDENT = re.compile(" *")


class EditedText:
    """A YAML text that is changed piece by piece.

    A change at one path changes no other: aliases that share the value are replaced by what they stand for.

    Attributes:
        text: as it is now. removed: the comments of the entries that were taken out.

    >>> edited = EditedText("growth:\\n  stop: {steps: 3}  # enough\\n")
    >>> edited.set(("growth", "stop", "parameters"), 900)
    >>> edited.set(("growth", "stop", "steps"), 4)
    >>> print(edited.text, end="")
    growth:
      stop: {steps: 4, parameters: 900}  # enough
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.removed: list[str] = []
        self._spans: Spans | None = None

    @property
    def spans(self) -> Spans:
        """The spans of the text as it is now."""
        if self._spans is None:
            self._spans = spans_of(self.text)
        return self._spans

    def value(self, path: Path) -> Span | None:
        """The value at a path."""
        return self.spans.value(path)

    def put(self, start: int, end: int, text: str, *, keep_comments: bool = True) -> None:
        """Replace a range of characters; comments in it move to lines of their own above, if they are to be kept."""
        spans, line = self.spans, self.spans.line_start(start)
        indent = _INDENT.match(self.text, line)
        comments = spans.comments(start, end) if keep_comments else []
        above = "".join(f"{indent[0] if indent else ''}{comment}{spans.newline}" for comment in comments)
        self.text = self.text[:line] + above + self.text[line:start] + text + self.text[end:]
        self._spans = None

    def set(self, path: Path, value: Any, *, after: str | None = None) -> None:
        """Give a key a value; a key that is not there is added to its map, behind the key `after` or at the end."""
        self.free(path)
        there = self.value(path)
        if there is not None:
            self._replace(path, there, flow_text(value))
            return
        parent, key = self.value(path[:-1]), str(path[-1])
        if parent is None:
            self.set(path[:-1], {key: value})
        elif not parent.entries:
            self._replace(path[:-1], parent, flow_text({key: value}))
        else:
            self._add(parent, key, value, after)

    def remove(self, path: Path, *, keep_comments: bool = False) -> None:
        """Take a key out, with its comments if they are not to be kept above; a map that is empty then goes with it."""
        self.free(path)
        found = self.spans.entry(path)
        if found is None:
            return
        parent, key, value = found
        entries = [entry_key for entry_key, _ in parent.entries or ()]
        place = entries.index(key)
        if len(entries) == 1 and len(path) > 1:
            self.remove(path[:-1], keep_comments=keep_comments)
            return
        if not parent.flow:
            start, end = self.spans.line_start(key.begin), self.spans.next_line(value.end)
        elif place + 1 < len(entries):
            start, end = key.begin, entries[place + 1].begin
        else:  # with the comma before it; a comment between belongs to the entry before
            start, end = (parent.entries or [])[place - 1][1].end, value.end
            keep_comments = True
        if not keep_comments:
            self.removed += self.spans.comments(start, end)
        self.put(start, end, "", keep_comments=keep_comments)

    def rename(self, path: Path, new: str) -> None:
        """Give a key another name; a value that stands in a column with others stays there if it can."""
        self.free(path)
        found = self.spans.entry(path)
        if found is None:
            return
        _, key, value = found
        name = represent(new)
        gap = self.text[key.end : value.begin]
        if gap.startswith(":  ") and not gap[1:].strip(" "):
            wanted = max(1, len(gap) - 1 - (len(name) - (key.end - key.start)))
            self.put(key.end + 1, value.begin, " " * wanted)
        self.put(key.start, key.end, name)

    def free(self, path: Path) -> None:
        """Replace aliases by their values, so that no other place shares what stands at a path."""
        while (
            alias := next((span for span in self.spans.way(path) if span.alias is not None), None)
        ) is not None:
            self._write_out(alias)
        shared = {span for span in self._concerned(path) if span.anchored}
        spans = self.spans.root.walk() if self.spans.root is not None else ()
        for reader in sorted((span for span in spans if span.alias in shared), key=lambda span: -span.start):
            self._write_out(reader)

    def _concerned(self, path: Path) -> Iterator[Span]:
        """The values on the way to a path, its key, and everything inside its value."""
        way = self.spans.way(path)
        yield from way
        if len(way) > len(path):
            yield from way[-1].walk()
            found = self.spans.entry(path) if path and isinstance(path[-1], str) else None
            yield from () if found is None else (found[1],)

    def _write_out(self, alias: Span) -> None:
        self.put(alias.start, alias.end, plain_flow_text(alias.data))

    def _replace(self, path: Path, there: Span, text: str) -> None:
        """Another value in the place of one, on the line of its key."""
        found = self.spans.entry(path) if path and isinstance(path[-1], str) else None
        is_block = not there.flow and (there.entries is not None or there.items is not None)
        if found is not None and (is_block or there.start == there.end):  # on the line of its key
            key = found[1]
            self.put(key.end, max(there.end, key.end), f": {text}")
        else:
            self.put(there.start, there.end, text)

    def _add(self, parent: Span, key: str, value: Any, after: str | None) -> None:
        entries = parent.entries or []
        before = next((entry for entry in entries if entry[0].text == after), entries[-1])
        name, is_long = represent(key), len(key) > LONGEST_KEY
        if parent.flow:
            label = f"? {name} :" if is_long else f"{name}:"
            self.put(before[1].end, before[1].end, f", {label} {flow_text(value)}")
            return
        end, newline = self.spans.line_end(before[1].end), self.spans.newline
        indent = " " * (parent.start - self.spans.line_start(parent.start))
        label = f"? {name}{newline}{indent}: " if is_long else f"{name}:{self._gap(entries, name)}"
        self.put(end, end, f"{newline}{indent}{label}{flow_text(value)}")

    def _gap(self, entries: Sequence[tuple[Span, Span]], name: str) -> str:
        """Spaces behind the colon, so that the value stands in the column of the others if they have one."""
        columns = Counter(
            value.begin - key.begin
            for key, value in entries
            if self.spans.line_start(key.begin) == self.spans.line_start(value.begin)
        )
        column, times = columns.most_common(1)[0] if columns else (0, 0)
        return " " * max(1, column - len(name) - 1) if times > 1 else " "
