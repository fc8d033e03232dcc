"""A graph with the changes of an event as a drawing in DOT. Pure: nothing is laid out or drawn here."""

from __future__ import annotations

from dataclasses import replace

from gromo_graph.errors import RenderError
from gromo_graph.graph import Graph
from gromo_graph.graph.diff import Difference
from gromo_graph.records import GrowthEvent
from gromo_graph.render.drawing.collapse import LARGE, blocks_of, collapsed_by_default
from gromo_graph.render.drawing.difference import (
    facts_of_difference,
    highlights_of_difference,
    phrases_of_difference,
)
from gromo_graph.render.drawing.drawing import Drawing, DrawnPart, Words
from gromo_graph.render.drawing.fills import Fills, fills_of
from gromo_graph.render.drawing.labels import Direction
from gromo_graph.render.drawing.options import DrawingOptions
from gromo_graph.render.drawing.style import QUIET
from gromo_graph.render.drawing.text import clean
from gromo_graph.render.drawing.theme import themed
from gromo_graph.render.drawing.title_block import Phrase, facts, sentence, step_phrases, title_block
from gromo_graph.render.drawing.writer import DotWriter, direction_of
from gromo_graph.render.highlights import Highlights, highlights_of

__all__ = ["Drawing", "DrawnPart", "difference_to_dot", "direction_of", "drawn", "for_size", "to_dot"]

_COLLAPSED = "each block is one box: --collapse none draws all {} nodes"


def to_dot(
    graph: Graph,
    event: GrowthEvent | None = None,
    *,
    direction: Direction | None = None,
    options: DrawingOptions | None = None,
) -> Drawing:
    """The drawing of a graph; with an event, its changes are highlighted.

    Args:
        graph, event: to draw. options: of the drawing. direction: of the data; it overrides that of the options.

    Raises:
        RenderError: there is no block of a name that is to be collapsed.

    >>> from gromo_graph.graph import build_graph
    >>> from gromo_graph.spec.kinds import Input, Linear
    >>> from gromo_graph.spec.model import Spec
    >>> nodes = {"x": Input(kind="input", shape=(2,)), "y": Linear(features=3, sources=("x",))}
    >>> drawing = to_dot(build_graph(Spec("tiny", nodes, ("y",))))
    >>> drawing.description
    '2 nodes, parameters 9, multiply-adds 6'
    >>> "n0 -> n1" in drawing.dot
    True
    """
    title = graph.spec.name
    options = options or DrawingOptions()
    fills = fills_of(graph, event, options.colour)
    options = for_size(replace(options, direction=direction or options.direction), graph)
    nodes = len(graph.spec.nodes)
    note = (Phrase(_COLLAPSED.format(nodes), QUIET),) if options.collapsed and nodes > LARGE else ()
    legend = (*fills.legend, *note)
    label = title_block(title, step_phrases(event), facts(graph, event), legend)
    words = Words(clean(title), clean(sentence(graph, event)), label)
    return drawn(
        graph,
        highlights_of(graph, event),
        words,
        options,
        fills,
    )


def for_size(options: DrawingOptions, graph: Graph) -> DrawingOptions:
    """The options with everything decided that they leave open."""
    if options.collapsed is None:
        options = replace(options, collapsed=collapsed_by_default(graph))
    if options.dense is None:
        boxes = len(graph.spec.nodes) - len(blocks_of(graph, options.collapsed or ()))
        options = replace(options, dense=boxes > LARGE)
    return replace(options, direction="right") if options.compact else options


def difference_to_dot(
    found: Difference, *, direction: Direction | None = None, options: DrawingOptions | None = None
) -> Drawing:
    """The drawing of two networks in one.

    Raises:
        RenderError: boxes are to be filled by slope, or blocks collapsed: a difference has neither.
    """
    options = options or DrawingOptions()
    if options.colour == "slope":
        raise RenderError("a difference has no slopes: expected colour=role or colour=kind")
    if options.collapsed:
        raise RenderError("a difference is drawn with all of its nodes: leave out collapsed")
    fills = fills_of(found.new, None, options.colour)
    names = dict.fromkeys((found.old.spec.name, found.new.spec.name))
    title, legend, columns = " → ".join(names), phrases_of_difference(found), facts_of_difference(found)
    told = "; ".join([*(each.words for each in legend), *(f"{fact.word} {fact.value}" for fact in columns)])
    words = Words(clean(title), clean(told), title_block(title, legend, columns, fills.legend))
    options = replace(options, direction=direction or options.direction, collapsed=())
    return drawn(found.new, highlights_of_difference(found), words, for_size(options, found.new), fills)


def drawn(
    graph: Graph, highlights: Highlights, words: Words, options: DrawingOptions, fills: Fills
) -> Drawing:
    """The drawing in the theme of its options."""
    drawing = DotWriter(graph, highlights, words, options, fills).write()
    return replace(drawing, dot=themed(drawing.dot, options.theme))
