"""Documents as authors write them: the same content with anchors, aliases, comments and any line breaks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gromo_graph.spec.text.scalars import represent

BREAKS = ("\n", "\r\n", "\r", "\n")


@dataclass
class OddDocument:
    """A YAML text of a map, in a style that is drawn at random.

    Attributes:
        comments: the path of the entry that each comment belongs to.
    """

    chance: random.Random
    comments: dict[str, tuple[str, ...]] = field(default_factory=dict)
    anchors: list[tuple[str, Any]] = field(default_factory=list)

    def text(self, data: dict[str, Any]) -> str:
        lines = list(self.block(data, (), 0))
        newline = self.chance.choice(BREAKS)
        return newline.join(lines) + (newline if self.chance.random() < 0.8 else "")

    def block(self, data: dict[str, Any], path: tuple[str, ...], indent: int) -> Iterator[str]:
        space = " " * indent
        for key, value in data.items():
            if self.chance.random() < 0.2:
                yield f"{space}{self.comment(path)}"
            if self.chance.random() < 0.1:
                yield ""
            here = (*path, key)
            if isinstance(value, dict) and value and len(path) < 3 and self.chance.random() < 0.5:
                before = len(self.anchors)
                anchor = self.new_anchor()
                yield f"{space}{represent(key)}:{f' &{anchor}' if anchor else ''}{self.behind(here)}"
                yield from self.block(value, here, indent + self.chance.choice((1, 2, 4)))
                if anchor:  # only now: what is inside cannot stand for the whole
                    self.anchors.insert(before, (anchor, value))
            elif path == () and isinstance(value, str) and value.isalnum() and self.chance.random() < 0.5:
                yield f"{space}{represent(key)}: |-"
                yield f"{space}  {value}"
            else:
                gap = " " * self.chance.choice((1, 1, 1, 3))
                yield f"{space}{represent(key)}:{gap}{self.flow(value)}{self.behind(here)}"

    def flow(self, value: Any) -> str:
        """A value on one line, which may be an alias or have an anchor."""
        same = [name for name, other in self.anchors if type(other) is type(value) and other == value]
        if same and self.chance.random() < 0.7:
            return f"*{self.chance.choice(same)} "
        anchor = self.new_anchor()
        if isinstance(value, dict):
            text = "{" + ", ".join(f"{represent(k)}: {self.flow(v)}" for k, v in value.items()) + "}"
        elif isinstance(value, list):
            text = "[" + ", ".join(self.flow(item) for item in value) + "]"
        else:
            text = represent(value)
        if anchor:
            self.anchors.append((anchor, value))
        return f"&{anchor} {text}" if anchor else text

    def new_anchor(self) -> str | None:
        return f"a{self.chance.randrange(10**6)}" if self.chance.random() < 0.25 else None

    def behind(self, path: tuple[str, ...]) -> str:
        return f"  {self.comment(path)}" if self.chance.random() < 0.4 else ""

    def comment(self, path: tuple[str, ...]) -> str:
        text = f"# {len(self.comments)}: why"
        self.comments[text] = path
        return text
