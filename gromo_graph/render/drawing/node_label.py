"""The label of a node's box, as rows of text: its name, its kind and sizes, and its changes in a step."""

from __future__ import annotations

from dataclasses import dataclass

from gromo_graph.graph import Graph
from gromo_graph.render.drawing import style
from gromo_graph.render.drawing.fills import Fills
from gromo_graph.render.drawing.labels import Cell, Text, table
from gromo_graph.render.drawing.node_words import features_added, kind_words
from gromo_graph.render.drawing.text import clean, shortened
from gromo_graph.render.highlights import Highlights
from gromo_graph.render.numbers import shape
from gromo_graph.spec.kinds import Layer

NAME_EMS = 17.0
"""The greatest length of a name in a drawing."""

_VALUE_EMS = 34.0


@dataclass(frozen=True)
class NodeLabels:
    """Writes the labels of one drawing.

    Attributes:
        graph, highlights, fills: of the drawing.
        dense: boxes say the whole shape of the output, because edges do not.
    """

    graph: Graph
    highlights: Highlights
    fills: Fills
    dense: bool

    def box(self, name: str, title: str, mark: str) -> str:
        """The label of a node that is drawn as a box.

        Args:
            name: of the node. title: its name as it is shown. mark: says that it may grow; may be empty.
        """
        operation = self.graph.spec.nodes[name].drawn_as == "operation"
        words = Text(
            shortened(clean(title), NAME_EMS),
            style.TEXT_SIZE if operation else style.NAME_SIZE,
            bold=not operation,
        )
        changed = self._is_new(name) or name in self.highlights.added
        filled = name in self.fills.by_node
        ink = style.INK if filled else self._ink_of_change(name) if changed else style.LAYER_WORD
        first = [Cell((words,)), Cell((Text(mark, style.SMALL_SIZE, ink),), "RIGHT")]
        rows = [first if mark else [Cell((words,), span=2)], [Cell(self._kind(name), span=2)]]
        if changed:
            rows.append([Cell((self._change(name),), span=2)])
        if name in self.fills.words:
            rows.append([Cell((Text(self.fills.words[name], style.SMALL_SIZE, self._quiet(name)),), span=2)])
        if name in self.highlights.values:
            value = shortened(self.highlights.values[name], _VALUE_EMS)
            rows.append([Cell((Text(value, style.SMALL_SIZE, self._ink_of_change(name)),), span=2)])
        return table(rows)

    def sign(self, name: str) -> str:
        """The sign of a merge, which is too small for its name."""
        return f"<{self._sign(name).html}>"

    def named_sign(self, name: str, title: str) -> str:
        """The sign of a merge with its name and shape, for drawings whose edges have no labels."""
        words = Text(shortened(clean(title), NAME_EMS), style.TEXT_SIZE)
        sizes = Text(f" {shape(self.graph.shapes[name])}", style.TEXT_SIZE, self._quiet(name))
        return table([[Cell((self._sign(name), words, sizes))]])

    def _sign(self, name: str) -> Text:
        ink = self._ink_of_change(name) if name in self.highlights.nodes else style.INK
        return Text(self.graph.spec.nodes[name].symbol or "", 15, ink, bold=True)

    def _kind(self, name: str) -> tuple[Text, ...]:
        node = self.graph.spec.nodes[name]
        quiet = self._quiet(name)
        ink = style.LAYER_WORD if isinstance(node, Layer) and quiet == style.QUIET else quiet
        rest = kind_words(self.graph, name, whole=self.dense)
        kind = Text(node.kind, style.TEXT_SIZE, ink)
        return (kind, Text(f" {rest}", style.TEXT_SIZE, quiet)) if rest else (kind,)

    def _quiet(self, name: str) -> str:
        """The colour of less important text; on a filled box all text is dark."""
        return style.INK if name in self.fills.by_node else style.QUIET

    def _ink_of_change(self, name: str) -> str:
        return style.ink_of_change(narrower=name in self.highlights.narrower)

    def _is_new(self, name: str) -> bool:
        return name in self.highlights.new

    def _change(self, name: str) -> Text:
        if self._is_new(name):
            return Text("new", style.TEXT_SIZE, style.GROWN, bold=True)
        added = self.highlights.added[name]
        ink = style.INK if name in self.fills.by_node else self._ink_of_change(name)
        return Text(features_added(added), style.TEXT_SIZE, ink, bold=True)
