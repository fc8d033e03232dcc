"""A graph as Mermaid text, which many wikis and code hosts draw by themselves."""

from __future__ import annotations

from collections.abc import Iterator

from gromo_graph.graph import Graph
from gromo_graph.records import GrowthEvent
from gromo_graph.render.drawing import style
from gromo_graph.render.drawing.labels import Direction
from gromo_graph.render.drawing.text import clean
from gromo_graph.render.highlights import Highlights, highlights_of
from gromo_graph.render.numbers import shape, shape_change

_FRAMES = {"input": ("[/", "/]"), "layer": ("(", ")"), "operation": ("(", ")"), "merge": ("((", "))")}


def to_mermaid(graph: Graph, event: GrowthEvent | None = None, *, direction: Direction = "right") -> str:
    """The flowchart; with an event, what it changed is highlighted.

    >>> from gromo_graph.graph import build_graph
    >>> from gromo_graph.spec import parse_spec
    >>> text = "nodes: {x: {kind: input, shape: [2]}, y: {kind: linear, from: x, features: 3}}\\noutput: y"
    >>> print(to_mermaid(build_graph(parse_spec(text))), end="")
    flowchart LR
      n0[/"x<br>input 2"/]
      n1("y<br>linear 3")
      n0 -->|"2"| n1
    """
    return "\n".join(_lines(graph, highlights_of(graph, event), direction)) + "\n"


def _lines(graph: Graph, highlights: Highlights, direction: Direction) -> Iterator[str]:
    ids = {name: f"n{place}" for place, name in enumerate(graph.spec.nodes)}
    yield f"flowchart {'LR' if direction == 'right' else 'TD'}"
    for name, node in graph.spec.nodes.items():
        begin, end = _FRAMES[node.drawn_as]
        yield f'  {ids[name]}{begin}"{_label(graph, highlights, name)}"{end}'
    for edge in graph.edges:
        after, before = graph.shapes[edge.source], highlights.before.get(edge.source)
        words = shape(after) if before is None else shape_change(before, after)
        words = " ".join((*graph.role(edge), words))
        yield f'  {ids[edge.source]} -->|"{escaped(words)}"| {ids[edge.target]}'
    changed = [ids[name] for name in graph.spec.nodes if name in highlights.nodes]
    if changed:
        yield f"  classDef grown fill:{style.GROWN_FILL},stroke:{style.GROWN},stroke-width:3px"
        yield f"  class {','.join(changed)} grown"


def _label(graph: Graph, highlights: Highlights, name: str) -> str:
    node = graph.spec.nodes[name]
    words = [node.kind, shape(graph.shapes[name])]
    second = " ".join(words) if node.symbol is None else node.symbol
    told = [clean(name), " · ".join((second, *node.details))]
    if name in highlights.added:
        told.append(f"{highlights.added[name]:+d} features")
    elif name in highlights.new:
        told.append("new")
    return "<br>".join(escaped(each) for each in told)


def escaped(text: str) -> str:
    """Text inside a label: what Mermaid or HTML would read as more than text becomes a code.

    >>> escaped('a "b" <c> #d')
    'a #34;b#34; #60;c#62; #35;d'
    """
    return "".join(
        f"#{ord(character)};" if character in '"<>&#;`|[](){}\\' else character for character in text
    )
