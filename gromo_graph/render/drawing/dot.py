"""A graph, and what an event changed in it, as DOT text. Pure: nothing is laid out or drawn here.

Node ids in the DOT are `n0`, `n1`, ... in the order of the document: names may hold anything, so they only ever
stand in labels, escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import graphviz
import networkx as nx

from gromo_graph.errors import RenderError
from gromo_graph.graph import Edge, Graph, obstacle
from gromo_graph.graph.diff import Difference
from gromo_graph.records import GrowthEvent
from gromo_graph.render.drawing import style
from gromo_graph.render.drawing.collapse import NodeBlock, blocks_of
from gromo_graph.render.drawing.difference import (
    facts_of_difference,
    highlights_of_difference,
    phrases_of_difference,
)
from gromo_graph.render.drawing.fills import Fills, fills_of
from gromo_graph.render.drawing.labels import Cell, Direction, Text, beside_line, table
from gromo_graph.render.drawing.node_words import features_added, growable, mark_of, output_amount, sizes_of
from gromo_graph.render.drawing.options import DrawingOptions
from gromo_graph.render.drawing.text import clean, shortened
from gromo_graph.render.drawing.theme import themed
from gromo_graph.render.drawing.title_block import facts, sentence, step_phrases, title_block
from gromo_graph.render.highlights import Highlights, highlights_of
from gromo_graph.render.numbers import count, shape, shape_change
from gromo_graph.spec.kinds import Layer

_NAME_EMS = 17.0
_VALUE_EMS = 34.0
_DEEP = 6


@dataclass(frozen=True)
class DrawnPart:
    """A node or edge of the drawing as other tools find it: its name and the words shown on hovering."""

    name: str
    tooltip: str


@dataclass(frozen=True)
class Drawing:
    """DOT source with what the picture says in words.

    Attributes:
        dot: the source.
        title, description: of the whole picture.
        direction: where the data flow.
        parts: by the id that nodes and edges have in the DOT (`n0`, `e0`, `o0`).
        engine: of Graphviz: `dot` lays the picture out, `nop2` takes the positions in the DOT.
    """

    dot: str
    title: str
    description: str
    direction: Direction
    parts: Mapping[str, DrawnPart]
    engine: str = "dot"


def to_dot(
    graph: Graph,
    event: GrowthEvent | None = None,
    *,
    direction: Direction | None = None,
    options: DrawingOptions | None = None,
) -> Drawing:
    """The drawing of a graph; with an event, what it changed is highlighted.

    Args:
        graph, event: what is drawn. options: how. direction: where the data flow, above what the options says.

    Raises:
        RenderError: a block is to be collapsed that is none.

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
    label = title_block(title, step_phrases(event), facts(graph, event), fills.legend)
    words = Words(clean(title), clean(sentence(graph, event)), label)
    return drawn(
        graph,
        highlights_of(graph, event),
        words,
        replace(options, direction=direction or options.direction),
        fills,
    )


def difference_to_dot(
    found: Difference, *, direction: Direction | None = None, options: DrawingOptions | None = None
) -> Drawing:
    """The drawing of two networks in one.

    Raises:
        RenderError: boxes are to be filled by slope, which a difference has not, or a block that is none collapsed.
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
    options = replace(options, direction=direction or options.direction)
    return drawn(found.new, highlights_of_difference(found), words, options, fills)


def drawn(
    graph: Graph, highlights: Highlights, words: Words, options: DrawingOptions, fills: Fills
) -> Drawing:
    """The drawing as it is asked for."""
    drawing = _Writer(graph, highlights, words, options, fills).write()
    return replace(drawing, dot=themed(drawing.dot, options.theme))


def direction_of(graph: Graph) -> Direction:
    """To the right, or down where the picture would be a ribbon."""
    return "down" if nx.dag_longest_path_length(graph.digraph) > _DEEP else "right"


@dataclass(frozen=True)
class Words:
    """What stands above the picture, and what it says to those who hear it."""

    title: str
    description: str
    label: str


class _Writer:
    def __init__(
        self, graph: Graph, highlights: Highlights, words: Words, options: DrawingOptions, fills: Fills
    ) -> None:
        self.direction: Direction = options.direction or direction_of(graph)
        self.graph = graph
        self.highlights = highlights
        self.words = words
        self.fills = fills
        self.blocks = blocks_of(graph, options.collapsed)
        self.ids = {name: f"n{index}" for index, name in enumerate(graph.spec.nodes)}
        self.ids |= {name: self.ids[block.nodes[0]] for name, block in self.blocks.items()}
        self.parts: dict[str, DrawnPart] = {}
        self.limits = dict(growable(graph))
        # A merge is too small for its name: it stands on the first edge that leaves it.
        self.captions = {
            name: " · ".join((shortened(clean(name), _NAME_EMS), *node.details))
            for name, node in graph.spec.nodes.items()
            if node.drawn_as == "merge" and name not in self.blocks
        }

    def write(self) -> Drawing:
        self.out = graphviz.Digraph(
            graph_attr={
                "rankdir": "LR" if self.direction == "right" else "TB",
                "bgcolor": style.PAPER,
                "pad": "0.25",
                "nodesep": "0.28",
                "ranksep": "0.42" if self.direction == "right" else "0.3",
                "label": self.words.label,
                "labelloc": "t",
                "labeljust": "l",
            },
            node_attr={"shape": "box", "fontname": style.FONTS, "margin": "0.11,0.07", "height": "0.3"},
            edge_attr={
                "fontname": style.FONTS,
                "arrowsize": "0.65",
                "color": style.WIRE,
            },
        )
        self.out.attr("graph", fontname=style.FONTS)
        for name in self.graph.spec.nodes:
            if name not in self.blocks:
                self.node(name)
            elif name == self.blocks[name].nodes[0]:
                self.block(self.blocks[name])
        joined: set[tuple[str, str]] = set()
        for index, edge in enumerate(self.graph.edges):
            ends = edge.source, self.ids[edge.target]  # one line for all that read the same inside a block
            if self.ids[edge.source] != self.ids[edge.target] and ends not in joined:
                self.edge(f"e{index}", edge)
            joined.add(ends)
        for index, name in enumerate(self.graph.spec.outputs):
            self.output(f"o{index}", name)
        self.gone()
        return Drawing(self.out.source, self.words.title, self.words.description, self.direction, self.parts)

    def gone(self) -> None:
        """What the old network had and the new one has not."""
        old = self.highlights.old
        if old is None:
            return
        for index, name in enumerate(self.highlights.removed):
            node = old.spec.nodes[name]
            title = Text(f"− {shortened(clean(name), _NAME_EMS)}", style.TEXT_SIZE, style.REMOVED)
            sizes = Text(f"{node.kind} {shape(old.shapes[name])}", style.SMALL_SIZE, style.REMOVED)
            self.ids[name] = f"g{index}"
            self.out.node(
                self.ids[name],
                id=self.ids[name],
                label=table([[Cell((title,))], [Cell((sizes,))]]),
                color=style.REMOVED,
                fillcolor=style.REMOVED_FILL,
                style="rounded,filled,dashed",
                **{"class": "removed"},
            )
            self.parts[self.ids[name]] = DrawnPart(name, clean(f"{name}: {node.kind}, removed"))
        edges = {edge.id: edge for edge in old.edges}
        for index, edge_id in enumerate(self.highlights.removed_edges):
            edge = edges[edge_id]
            self.out.edge(
                self.ids[edge.source],
                self.ids[edge.target],
                id=f"r{index}",
                color=style.REMOVED,
                style="dashed",
                **{"class": "removed"},
            )
            self.parts[f"r{index}"] = DrawnPart(edge.id, clean(f"{edge.id}: removed"))

    def node(self, name: str) -> None:
        node = self.graph.spec.nodes[name]
        role = node.drawn_as
        grown = name in self.highlights.nodes
        growable = name in self.limits
        lost = self.highlights.added.get(name, 0) < 0
        options = self.filled(name, style.box_style(role, growable=growable, grown=grown, lost=lost))
        classes = ["node", role, *(["growable"] if growable else []), *(["grown"] if grown else [])]
        attributes = {
            "id": self.ids[name],
            "class": " ".join(classes[1:]),
            "color": options.line,
            "fillcolor": options.fill,
            "penwidth": f"{options.penwidth:g}",
            "style": options.style,
        }
        if role == "merge":
            attributes |= self.merge(name)
        else:
            attributes["label"] = self.label(name)
        self.out.node(self.ids[name], **attributes)
        self.parts[self.ids[name]] = DrawnPart(name, self.tooltip(name))

    def filled(self, name: str, options: style.BoxStyle) -> style.BoxStyle:
        """Filled by its fill; what grew keeps its thick line."""
        fill = self.fills.by_node.get(name)
        if fill is None:
            return options
        return replace(
            options, fill=fill.fill, line=options.line if name in self.highlights.nodes else fill.line
        )

    def block(self, block: NodeBlock) -> None:
        """Several nodes as one box with a double frame."""
        names = block.nodes
        parameters = sum(self.graph.parameters(name) for name in names)
        words = f"{len(names)} nodes · {count(parameters)} parameters"
        rows = [
            [Cell((Text(shortened(clean(block.name), _NAME_EMS), style.NAME_SIZE, bold=True),))],
            [Cell((Text(words, style.TEXT_SIZE, style.QUIET),))],
        ]
        changed = [name for name in names if name in self.highlights.nodes]
        added = sum(self.highlights.added.get(name, 0) for name in names)
        if changed:
            told = features_added(added) if added else "changed"
            rows.append([Cell((Text(told, style.TEXT_SIZE, style.GROWN, bold=True),))])
        options = style.box_style(
            "layer", growable=any(name in self.limits for name in names), grown=bool(changed)
        )
        self.out.node(
            self.ids[names[0]],
            id=self.ids[names[0]],
            label=table(rows),
            peripheries="2",
            color=options.line,
            fillcolor=options.fill,
            penwidth=f"{options.penwidth:g}",
            style=options.style,
            **{"class": " ".join(["block", *(["grown"] if changed else [])])},
        )
        listed = ", ".join(names)
        self.parts[self.ids[names[0]]] = DrawnPart(block.name, clean(f"{block.name}: {words}: {listed}"))

    def merge(self, name: str) -> dict[str, str]:
        node = self.graph.spec.nodes[name]
        ink = style.GROWN if name in self.highlights.nodes else style.INK
        return {
            "shape": "circle",
            "style": "filled",
            "width": "0.34",
            "height": "0.34",
            "margin": "0",
            "fixedsize": "true",
            "label": f"<{Text(node.symbol or '', 15, ink, bold=True).html}>",
        }

    def label(self, name: str) -> str:
        node = self.graph.spec.nodes[name]
        operation = node.drawn_as == "operation"
        title = Text(
            shortened(clean(name), _NAME_EMS),
            style.TEXT_SIZE if operation else style.NAME_SIZE,
            bold=not operation,
        )
        mark = self.mark(name)
        changed = name in self.highlights.added or name in self.highlights.new
        filled = name in self.fills.by_node
        ink = style.INK if filled else style.GROWN if changed else style.LAYER_WORD
        first = [Cell((title,)), Cell((Text(mark, style.SMALL_SIZE, ink),), "RIGHT")]
        rows = [first if mark else [Cell((title,), span=2)], [Cell(self.kind_texts(name), span=2)]]
        if changed:
            rows.append([Cell(self.added_texts(name), span=2)])
        if name in self.fills.words:
            rows.append([Cell((Text(self.fills.words[name], style.SMALL_SIZE, self.quiet(name)),), span=2)])
        if name in self.highlights.values:
            words = shortened(self.highlights.values[name], _VALUE_EMS)
            rows.append([Cell((Text(words, style.SMALL_SIZE, style.GROWN),), span=2)])
        return table(rows)

    def kind_texts(self, name: str) -> tuple[Text, ...]:
        node = self.graph.spec.nodes[name]
        quiet = self.quiet(name)
        word = style.LAYER_WORD if isinstance(node, Layer) and quiet == style.QUIET else quiet
        rest = " · ".join(text for text in (sizes_of(self.graph, name), *node.details) if text)
        return (
            Text(node.kind, style.TEXT_SIZE, word),
            *((Text(f" {rest}", style.TEXT_SIZE, quiet),) if rest else ()),
        )

    def quiet(self, name: str) -> str:
        """The ink of what is less important; on a fill of any fill all text is dark."""
        return style.INK if name in self.fills.by_node else style.QUIET

    def added_texts(self, name: str) -> tuple[Text, ...]:
        if name in self.highlights.new:
            return (Text("new", style.TEXT_SIZE, style.GROWN, bold=True),)
        added = self.highlights.added[name]
        ink = style.INK if name in self.fills.by_node else style.GROWN if added > 0 else style.REMOVED
        return (Text(features_added(added), style.TEXT_SIZE, ink, bold=True),)

    def mark(self, name: str) -> str:
        return mark_of(self.limits[name]) if name in self.limits else ""

    def tooltip(self, name: str) -> str:
        node = self.graph.spec.nodes[name]
        words = [f"{name}: {node.kind}", *node.details, f"output {shape(self.graph.shapes[name])}"]
        if isinstance(node, Layer):
            words.append(f"{count(self.graph.parameters(name))} parameters")
            group = self.graph.group_of(name)
            words.append(
                "may grow"
                if name in self.limits
                else f"does not grow: {obstacle(self.graph, group) or 'at its max'}"
            )
        if name in self.highlights.values:
            words.append(self.highlights.values[name])
        if name in self.highlights.before:
            words.append(f"was {shape(self.highlights.before[name])} before this step")
        return clean(", ".join(words))

    def edge(self, part: str, edge: Edge) -> None:
        after = self.graph.shapes[edge.source]
        before = self.highlights.before.get(edge.source)
        words = shape(after) if before is None else shape_change(before, after)
        words = " ".join((*self.graph.role(edge), words))
        touched = {edge.source, edge.target}
        new = edge.id in self.highlights.new_edges or bool(touched & self.highlights.new)
        self.wire(part, edge.source, self.ids[edge.target], words, new=new)
        self.parts[part] = DrawnPart(edge.id, clean(f"{edge.id}: {words}"))

    def wire(self, part: str, source: str, target: str, words: str, *, new: bool = False) -> None:
        """An edge from the node `source` to the id `target`; new: it was not there before."""
        features = self.graph.features(source)
        color = style.GROWN if new or source in self.highlights.before else ""
        penwidth = style.thickness(features)
        label = [Text(words, style.TEXT_SIZE, color or style.QUIET)]
        if caption := self.captions.pop(source, ""):
            label.insert(0, Text(caption, style.SMALL_SIZE, style.INK))
        self.out.edge(
            self.ids[source],
            target,
            id=part,
            label=beside_line(label, penwidth, self.direction),
            penwidth=f"{penwidth:g}",
            **({"class": "grown", "color": color} if color else {}),
        )

    def output(self, part: str, name: str) -> None:
        named = self.graph.spec.named_outputs
        title = shortened(clean(name), _NAME_EMS) if named else "output"
        amount = output_amount(self.graph, name)
        words = ("output", f" {amount}") if named else (amount,)
        rows = [
            [Cell((Text(title, style.NAME_SIZE, bold=True),))],
            [Cell(tuple(Text(word, style.TEXT_SIZE, style.QUIET) for word in words))],
        ]
        options = style.box_style("output", growable=False, grown=False)
        self.out.node(
            part,
            label=table(rows),
            id=part,
            color=options.line,
            fillcolor=options.fill,
            style=options.style,
            **{"class": "output"},
        )
        self.parts[part] = DrawnPart(name, clean(f"output: {name}, {amount}"))
        self.wire(f"{part}w", name, part, shape(self.graph.shapes[name]))
        self.parts[f"{part}w"] = DrawnPart(f"{name}->", clean(f"output of {name}"))
