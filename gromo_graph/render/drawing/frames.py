"""Frames around the nodes of a block, one inside the other, with the block's name and the number of its repeats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import graphviz

from gromo_graph.render.drawing import style
from gromo_graph.render.drawing.collapse import block_names
from gromo_graph.render.drawing.labels import Cell, Text, table
from gromo_graph.render.drawing.text import clean, shortened

MARGIN = 9
"""Points between a frame and its nodes."""

_TITLE_EMS = 24.0


@dataclass(frozen=True)
class Frame:
    """A block that is drawn as a frame.

    Attributes:
        name: the common prefix of its nodes.
        repeats: the number of numbered copies in it; 1 if it is not repeated.
        nodes: those that stand in it and in none of its inner frames.
        inner: the frames in it.
    """

    name: str
    repeats: int
    nodes: tuple[str, ...]
    inner: tuple[Frame, ...]

    @property
    def title(self) -> str:
        """The name with the number of repeats.

        >>> Frame("body", 3, (), ()).title
        'body ×3'
        """
        return self.name if self.repeats == 1 else f"{self.name} ×{self.repeats}"

    def all_nodes(self) -> tuple[str, ...]:
        """The nodes in it, those of inner frames too."""
        return (*self.nodes, *(node for frame in self.inner for node in frame.all_nodes()))


def frames_of(names: Sequence[str]) -> tuple[Frame, ...]:
    """The outermost frames of nodes with these names.

    >>> (body,) = frames_of(["x", "body.1.a", "body.1.b", "body.2.a", "body.2.b"])
    >>> body.title, body.nodes, [(frame.title, frame.nodes) for frame in body.inner]
    ('body ×2', (), [('body.1', ('body.1.a', 'body.1.b')), ('body.2', ('body.2.a', 'body.2.b'))])
    """
    blocks = dict.fromkeys(block_names(names)).keys()
    nodes: dict[str | None, list[str]] = {}
    inner: dict[str | None, list[str]] = {}
    for name in names:
        nodes.setdefault(_innermost(name, blocks), []).append(name)
    for block in blocks:
        inner.setdefault(_innermost(block, blocks), []).append(block)

    def inside(outer: str | None) -> tuple[Frame, ...]:
        return tuple(
            Frame(block, repeats_of(block, names), tuple(nodes.get(block, ())), inside(block))
            for block in inner.get(outer, ())
        )

    return inside(None)


def every_frame(frames: Sequence[Frame]) -> Iterator[Frame]:
    """The frames and those in them."""
    for frame in frames:
        yield frame
        yield from every_frame(frame.inner)


def cluster_name(frame: Frame, ids: Mapping[str, str]) -> str:
    """The name of a frame in DOT, which must begin with `cluster`; the id of a node in it makes it unique."""
    return f"cluster_{frame.name.count('.')}_{ids[frame.all_nodes()[0]]}"


def add_frames(
    out: Any, frames: Sequence[Frame], ids: Mapping[str, str], boxes: Mapping[str, str] | None = None
) -> None:
    """Write frames into a DOT graph as clusters, one inside the other.

    Args:
        out: of the `graphviz` package. frames: the outermost. ids: of the nodes in it.
        boxes: the place (`bb`) of each frame by its name, if everything has its place already.
    """
    for frame in frames:
        title = Text(shortened(clean(frame.title), _TITLE_EMS), style.TEXT_SIZE, style.QUIET)
        inside = graphviz.Digraph(cluster_name(frame, ids))
        inside.attr(
            label=table([[Cell((title,))]]),
            labeljust="l",
            labelloc="t",
            style="rounded,filled",
            color=style.FRAME_LINE,
            fillcolor=style.FRAME_FILL,
            margin=str(MARGIN),
            fontname=style.FONTS,
            **({"bb": boxes[frame.name]} if boxes else {}),
        )
        for name in frame.nodes:
            inside.node(ids[name])
        add_frames(inside, frame.inner, ids, boxes)
        out.subgraph(inside)


def titles_in_frames(names: Sequence[str]) -> dict[str, str]:
    """The names without that of the frame around them, which says it already.

    >>> titles_in_frames(["x", "body.a", "body.b"])
    {'x': 'x', 'body.a': 'a', 'body.b': 'b'}
    """
    blocks = dict.fromkeys(block_names(names)).keys()
    found = {}
    for name in names:
        block = _innermost(name, blocks)
        found[name] = name if block is None else name.removeprefix(f"{block}.")
    return found


def repeats_of(block: str, names: Sequence[str]) -> int:
    """The number of numbered copies in a block; 1 if its parts are not numbers, or differ in the names inside them.

    >>> repeats_of("body", ["body.1.a", "body.2.a"]), repeats_of("body", ["body.a", "body.b"])
    (2, 1)
    >>> repeats_of("features", ["features.0", "features.3"])  # two layers of a torch.nn.Sequential
    1
    """
    copies: dict[str, set[str]] = {}
    for name in names:
        if name.startswith(f"{block}."):
            number, _, inner = name.removeprefix(f"{block}.").partition(".")
            copies.setdefault(number, set()).add(inner)
    first = next(iter(copies.values()), {""})
    alike = all(number.isdecimal() and inner == first for number, inner in copies.items())
    return len(copies) if alike and "" not in first else 1


def _innermost(name: str, blocks: AbstractSet[str]) -> str | None:
    """The longest of the blocks that a name stands in."""
    prefix = name.rpartition(".")[0]
    while prefix and prefix not in blocks:
        prefix = prefix.rpartition(".")[0]
    return prefix or None
