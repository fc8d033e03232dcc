"""A graph as Mermaid text, which many wikis and code hosts draw by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gromo_graph.graph import Graph
from gromo_graph.records import GrowthEvent
from gromo_graph.render.drawing import style
from gromo_graph.render.drawing.fills import Fills, fills_of
from gromo_graph.render.drawing.frames import Frame, frames_of, titles_in_frames
from gromo_graph.render.drawing.labels import Direction
from gromo_graph.render.drawing.node_words import details_of, features_added, growable
from gromo_graph.render.drawing.options import Colour
from gromo_graph.render.drawing.text import clean
from gromo_graph.render.highlights import Highlights, highlights_of
from gromo_graph.render.numbers import shape, shape_change

_FORMS = {"input": ("[/", "/]"), "layer": ("(", ")"), "operation": ("(", ")"), "merge": ("((", "))")}


def to_mermaid(
    graph: Graph,
    event: GrowthEvent | None = None,
    *,
    direction: Direction = "right",
    colour: Colour = "role",
) -> str:
    """The flowchart in the colours of the other drawings; with an event, its changes are highlighted.

    >>> from gromo_graph.graph import build_graph
    >>> from gromo_graph.spec import parse_spec
    >>> text = "nodes: {x: {kind: input, shape: [2]}, y: {kind: linear, from: x, features: 3}}\\noutput: y"
    >>> print(to_mermaid(build_graph(parse_spec(text))), end="")
    flowchart LR
      n0[/"x<br>input 2"/]
      n1("y<br>linear 3")
      n0 -->|"2"| n1
      classDef input fill:#eef1f6,stroke:#9aa5b1,color:#1b2430
      class n0 input
      classDef layer fill:#ffffff,stroke:#9aa5b1,color:#1b2430
      class n1 layer
    """
    highlights = highlights_of(graph, event)
    ids = {name: f"n{place}" for place, name in enumerate(graph.spec.nodes)}
    frames = frames_of(list(graph.spec.nodes))
    lines = [
        f"flowchart {'LR' if direction == 'right' else 'TD'}",
        *_nodes(graph, highlights, ids),
        *_edges(graph, highlights, ids),
        *_frames(frames, ids, ["f"]),
        *_colours(graph, highlights, fills_of(graph, event, colour), ids),
    ]
    return "\n".join(lines) + "\n"


def _nodes(graph: Graph, highlights: Highlights, ids: Mapping[str, str]) -> Iterator[str]:
    titles = titles_in_frames(list(graph.spec.nodes))
    for name, node in graph.spec.nodes.items():
        begin, end = _FORMS[node.drawn_as]
        first = f"{node.kind} {shape(graph.shapes[name])}" if node.symbol is None else node.symbol
        told = [clean(titles[name]), " · ".join((first, *details_of(node)))]
        if name in highlights.added:
            told.append(features_added(highlights.added[name]))
        elif name in highlights.new:
            told.append("new")
        yield f'  {ids[name]}{begin}"{"<br>".join(map(escaped, told))}"{end}'


def _edges(graph: Graph, highlights: Highlights, ids: Mapping[str, str]) -> Iterator[str]:
    for edge in graph.edges:
        after, before = graph.shapes[edge.source], highlights.before.get(edge.source)
        words = shape(after) if before is None else shape_change(before, after)
        words = " ".join((*graph.role(edge), words))
        yield f'  {ids[edge.source]} -->|"{escaped(words)}"| {ids[edge.target]}'


def _frames(frames: Sequence[Frame], ids: Mapping[str, str], path: Sequence[str]) -> Iterator[str]:
    """Blocks as subgraphs, one inside the other; the path makes their ids."""
    for place, frame in enumerate(frames):
        here = [*path, str(place)]
        yield f'  subgraph {"_".join(here)}["{escaped(clean(frame.title))}"]'
        yield from (f"  {ids[name]}" for name in frame.nodes)
        yield from _frames(frame.inner, ids, here)
        yield "  end"


def _colours(graph: Graph, highlights: Highlights, fills: Fills, ids: Mapping[str, str]) -> Iterator[str]:
    """A class for each look of a node that occurs; Mermaid draws boxes in the colours of theirs."""
    may_grow = {name for name, _ in growable(graph)}
    members: dict[tuple[str, str], list[str]] = {}
    for name, node in graph.spec.nodes.items():
        grown, fill = name in highlights.nodes, fills.by_node.get(name)
        narrower = name in highlights.narrower
        box = style.box_style(node.drawn_as, growable=name in may_grow, grown=grown, narrower=narrower)
        change = "narrower" if narrower else "grown"
        word: str = change if grown else "growable" if name in may_grow else node.drawn_as
        look = f"fill:{box.fill},stroke:{box.line},color:{style.INK}"
        if fill is not None:
            word = f"{word}{fill.fill.removeprefix('#')}"
            look = f"fill:{fill.fill},stroke:{box.line if grown else fill.line},color:{style.INK}"
        members.setdefault((word, f"{look},stroke-width:3px" if grown else look), []).append(ids[name])
    for (word, look), nodes in members.items():
        yield f"  classDef {word} {look}"
        yield f"  class {','.join(nodes)} {word}"


def escaped(text: str) -> str:
    """Text inside a label: characters with a meaning in Mermaid or HTML become codes.

    >>> escaped('a "b" <c> #d')
    'a #34;b#34; #60;c#62; #35;d'
    """
    return "".join(
        f"#{ord(character)};" if character in '"<>&#;`|[](){}\\' else character for character in text
    )
