"""Writes the DOT of a drawing: a statement for each node, edge, output and frame.

Node ids in the DOT are `n0`, `n1`, ... in the order of the document: names may hold anything, so they only ever
stand in labels, escaped.
"""

from __future__ import annotations

from dataclasses import replace

import graphviz
import networkx as nx

from gromo_graph.amounts import amount
from gromo_graph.graph import Edge, Graph, obstacle
from gromo_graph.render.drawing import style
from gromo_graph.render.drawing.collapse import NodeBlock, blocks_of
from gromo_graph.render.drawing.drawing import Drawing, DrawnPart, Words
from gromo_graph.render.drawing.fills import Fills
from gromo_graph.render.drawing.frames import add_frames, frames_of, repeats_of, titles_in_frames
from gromo_graph.render.drawing.labels import Cell, Direction, Text, beside_line, table
from gromo_graph.render.drawing.node_label import NAME_EMS, NodeLabels
from gromo_graph.render.drawing.node_words import (
    details_of,
    features_added,
    growable,
    mark_of,
    output_amount,
)
from gromo_graph.render.drawing.options import DrawingOptions
from gromo_graph.render.drawing.text import clean, shortened
from gromo_graph.render.drawing.trunk import STRAIGHT, trunk_of
from gromo_graph.render.highlights import Highlights
from gromo_graph.render.numbers import shape, shape_change
from gromo_graph.spec.kinds import Layer

_DEEP = 6


def direction_of(graph: Graph) -> Direction:
    """To the right, or down if the picture would be a ribbon."""
    return "down" if nx.dag_longest_path_length(graph.digraph) > _DEEP else "right"


class DotWriter:
    """One drawing while it is written."""

    def __init__(
        self, graph: Graph, highlights: Highlights, words: Words, options: DrawingOptions, fills: Fills
    ) -> None:
        self.direction: Direction = options.direction or direction_of(graph)
        self.graph = graph
        self.highlights = highlights
        self.words = words
        self.fills = fills
        self.blocks = blocks_of(graph, options.collapsed or ())
        names = [name for name in graph.spec.nodes if name not in self.blocks]
        self.dense = bool(options.dense)
        self.labels = NodeLabels(graph, highlights, fills, self.dense)
        self.frames = () if options.compact else frames_of(names)
        self.titles = {name: name for name in names} if options.compact else titles_in_frames(names)
        self.ids = {name: f"n{index}" for index, name in enumerate(graph.spec.nodes)}
        self.ids |= {name: self.ids[block.nodes[0]] for name, block in self.blocks.items()}
        self.trunk = trunk_of(graph)
        self.parts: dict[str, DrawnPart] = {}
        self.limits = dict(growable(graph))
        # A merge is too small for its name: it stands on the first edge that leaves it.
        self.captions = {
            name: " · ".join((shortened(clean(self.titles[name]), NAME_EMS), *details_of(node)))
            for name, node in graph.spec.nodes.items()
            if node.drawn_as == "merge" and name not in self.blocks
        }

    def write(self) -> Drawing:
        """The drawing."""
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
            edge_attr={"fontname": style.FONTS, "arrowsize": "0.65", "color": style.WIRE},
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
        add_frames(self.out, self.frames, self.ids)
        words = self.words
        return Drawing(
            self.out.source, words.title, words.description, self.direction, self.parts, self.frames
        )

    def gone(self) -> None:
        """The nodes and edges of the old network that the new one does not have."""
        old = self.highlights.old
        if old is None:
            return
        for index, name in enumerate(self.highlights.removed):
            node = old.spec.nodes[name]
            title = Text(f"− {shortened(clean(name), NAME_EMS)}", style.TEXT_SIZE, style.REMOVED)
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
        """A node of the network."""
        role = self.graph.spec.nodes[name].drawn_as
        grown, may_grow = name in self.highlights.nodes, name in self.limits
        narrower = name in self.highlights.narrower
        look = self.filled(name, style.box_style(role, growable=may_grow, grown=grown, narrower=narrower))
        attributes = {
            "id": self.ids[name],
            "class": " ".join([role, *(["growable"] if may_grow else []), *_change(grown, narrower)]),
            "color": look.line,
            "fillcolor": look.fill,
            "penwidth": f"{look.penwidth:g}",
            "style": look.style,
        }
        if name in self.trunk.nodes:
            attributes["group"] = "trunk"
        if role == "merge":
            attributes |= self.merge(name)
        else:
            mark = mark_of(self.limits[name]) if may_grow else ""
            attributes["label"] = self.labels.box(name, self.titles[name], mark)
        self.out.node(self.ids[name], **attributes)
        self.parts[self.ids[name]] = DrawnPart(name, self.tooltip(name))

    def filled(self, name: str, look: style.BoxStyle) -> style.BoxStyle:
        """The style with the node's fill; what grew keeps its thick line."""
        fill = self.fills.by_node.get(name)
        if fill is None:
            return look
        return replace(look, fill=fill.fill, line=look.line if name in self.highlights.nodes else fill.line)

    def block(self, block: NodeBlock) -> None:
        """Several nodes as one box with a double frame."""
        names = block.nodes
        repeats = repeats_of(block.name, names)
        parameters = sum(self.graph.parameters(name) for name in names)
        words = f"{amount(len(names), 'node')} · {amount(parameters, 'parameter')}"
        title = [Text(shortened(clean(block.name), NAME_EMS), style.NAME_SIZE, bold=True)]
        if repeats > 1:
            title.append(Text(f" ×{repeats}", style.NAME_SIZE, style.QUIET))
        rows = [[Cell(tuple(title))], [Cell((Text(words, style.TEXT_SIZE, style.QUIET),))]]
        changed = [name for name in names if name in self.highlights.nodes]
        narrower = bool(changed) and self.highlights.narrower.issuperset(changed)
        added = sum(self.highlights.added.get(name, 0) for name in names)
        if changed:
            told = features_added(added) if added else "changed"
            ink = style.ink_of_change(narrower=narrower)
            rows.append([Cell((Text(told, style.TEXT_SIZE, ink, bold=True),))])
        growable = any(name in self.limits for name in names)
        look = style.box_style("layer", growable=growable, grown=bool(changed), narrower=narrower)
        self.out.node(
            self.ids[names[0]],
            id=self.ids[names[0]],
            label=table(rows),
            peripheries="2",
            color=look.line,
            fillcolor=look.fill,
            penwidth=f"{look.penwidth:g}",
            style=look.style,
            **({"group": "trunk"} if not self.trunk.nodes.isdisjoint(names) else {}),
            **{"class": " ".join(["block", *_change(bool(changed), narrower)])},
        )
        listed = ", ".join(names)
        self.parts[self.ids[names[0]]] = DrawnPart(block.name, clean(f"{block.name}: {words}: {listed}"))

    def merge(self, name: str) -> dict[str, str]:
        """A circle with the sign of the merge; in a dense drawing a small box that also has its name."""
        if self.dense:
            return {"label": self.labels.named_sign(name, self.titles[name]), "margin": "0.06,0.02"}
        return {
            "shape": "circle",
            "style": "filled",
            "width": "0.34",
            "height": "0.34",
            "margin": "0",
            "fixedsize": "true",
            "label": self.labels.sign(name),
        }

    def tooltip(self, name: str) -> str:
        """The words shown on hovering over a node."""
        node = self.graph.spec.nodes[name]
        words = [f"{name}: {node.kind}", *details_of(node), f"output {shape(self.graph.shapes[name])}"]
        if isinstance(node, Layer):
            words.append(amount(self.graph.parameters(name), "parameter"))
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
        """An edge of the network."""
        after = self.graph.shapes[edge.source]
        before = self.highlights.before.get(edge.source)
        words = shape(after) if before is None else shape_change(before, after)
        words = " ".join((*self.graph.role(edge), words))
        touched = {edge.source, edge.target}
        new = edge.id in self.highlights.new_edges or bool(touched & self.highlights.new)
        straight = (edge.source, edge.target) in self.trunk.edges
        self.wire(part, edge.source, self.ids[edge.target], words, new=new, straight=straight)
        self.parts[part] = DrawnPart(edge.id, clean(f"{edge.id}: {words}"))

    def wire(
        self, part: str, source: str, target: str, words: str, *, new: bool = False, straight: bool = False
    ) -> None:
        """An edge from the node `source` to the id `target`.

        Args:
            part: its id. source, target: its ends. words: of its label.
            new: it was not there before. straight: it belongs to the trunk.
        """
        narrower = not new and source in self.highlights.narrower
        (change,) = _change(new or source in self.highlights.before, narrower) or ("",)
        color = style.ink_of_change(narrower=narrower) if change else ""
        penwidth = style.thickness(self.graph.features(source))
        attributes = {"class": change, "color": color} if change else {}
        if straight:
            attributes["weight"] = STRAIGHT
        if not self.dense:
            label = [Text(words, style.TEXT_SIZE, color or style.QUIET)]
            if caption := self.captions.pop(source, ""):
                label.insert(0, Text(caption, style.SMALL_SIZE, style.INK))
            attributes["label"] = beside_line(label, penwidth, self.direction)
        self.out.edge(self.ids[source], target, id=part, penwidth=f"{penwidth:g}", **attributes)

    def output(self, part: str, name: str) -> None:
        """The box of an output, with the edge that leads to it."""
        named = self.graph.spec.named_outputs
        title = shortened(clean(name), NAME_EMS) if named else "output"
        amount = output_amount(self.graph, name)
        words = ("output", f" {amount}") if named else (amount,)
        rows = [
            [Cell((Text(title, style.NAME_SIZE, bold=True),))],
            [Cell(tuple(Text(word, style.TEXT_SIZE, style.QUIET) for word in words))],
        ]
        look = style.box_style("output", growable=False, grown=False)
        on_trunk = name in self.trunk.nodes and self.graph.spec.outputs[0] == name
        self.out.node(
            part,
            label=table(rows),
            id=part,
            color=look.line,
            fillcolor=look.fill,
            style=look.style,
            **({"group": "trunk"} if on_trunk else {}),
            **{"class": "output"},
        )
        self.parts[part] = DrawnPart(name, clean(f"output: {name}, {amount}"))
        self.wire(f"{part}w", name, part, shape(self.graph.shapes[name]), straight=on_trunk)
        self.parts[f"{part}w"] = DrawnPart(f"{name}->", clean(f"output of {name}"))


def _change(changed: bool, narrower: bool) -> tuple[str, ...]:
    """The class of a part by its change in the step, if it has any."""
    if not changed:
        return ()
    return ("narrower",) if narrower else ("grown",)
