"""Boxes filled by the kind of their node, or by the slope of its growth, and the legend that says so.

Neither depends on colour alone: the box has the kind and the slope in words too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gromo_graph.graph import Graph
from gromo_graph.records import GrowthEvent
from gromo_graph.render.drawing import style
from gromo_graph.render.drawing.options import Colour
from gromo_graph.render.drawing.title_block import Phrase
from gromo_graph.render.numbers import real
from gromo_graph.spec.kinds import Layer


@dataclass(frozen=True)
class Fill:
    """A fill and a line that goes with it."""

    fill: str
    line: str


_KINDS = {  # families of kinds in the order of the legend; blue, violet, yellow, teal and grey differ in lightness too
    "linear": Fill("#dbe8fa", "#2a64ad"),
    "convolution": Fill("#e2daf6", "#6743a8"),
    "norm": Fill("#fbf0c9", "#846000"),
    "pool": Fill("#c9eef0", "#0c6b75"),
    "other": Fill("#ebebe8", "#5c626a"),
}
_SLOPES = (  # from none to the steepest; each darker than the one before
    Fill("#f3f6fb", "#9fb3cf"),
    Fill("#d6e4f5", "#7f9fc9"),
    Fill("#b3cfee", "#5a86bd"),
    Fill("#8bb6e6", "#3a6cab"),
    Fill("#62a0e0", "#1f5493"),
)

DARK = {
    "#dbe8fa": "#1c3350",
    "#2a64ad": "#7fb0ec",
    "#e2daf6": "#33274f",
    "#6743a8": "#b79cec",
    "#fbf0c9": "#3d3212",
    "#846000": "#dcb850",
    "#c9eef0": "#10393d",
    "#0c6b75": "#62c3cc",
    "#ebebe8": "#2a2d31",
    "#5c626a": "#9aa1a9",
    "#f3f6fb": "#1a212b",
    "#9fb3cf": "#4a5a70",
    "#d6e4f5": "#1e3047",
    "#7f9fc9": "#527097",
    "#b3cfee": "#224163",
    "#5a86bd": "#5a86bd",
    "#8bb6e6": "#265482",
    "#3a6cab": "#6c9cd4",
    "#62a0e0": "#27629c",
    "#1f5493": "#86b6ea",
}


@dataclass(frozen=True)
class Fills:
    """The fills of the boxes of a drawing.

    Attributes:
        by_node: the fill of each filled box. words: shown in the boxes, by node. legend: of the fills.
    """

    by_node: Mapping[str, Fill] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    legend: tuple[Phrase, ...] = ()


def fills_of(graph: Graph, event: GrowthEvent | None, colour: Colour) -> Fills:
    """The fills of a graph. By slope: those that the event's candidates had for their whole width group."""
    match colour:
        case "kind":
            return _by_kind(graph)
        case "slope":
            return _by_slope(graph, event)
        case _:
            return Fills()


def _by_kind(graph: Graph) -> Fills:
    families = {
        name: node.family
        for name, node in graph.spec.nodes.items()
        if node.drawn_as not in ("input", "merge")
    }
    shown = [(name, fill) for name, fill in _KINDS.items() if name in families.values()]
    legend = tuple(
        phrase for name, fill in shown for phrase in (_sample(fill), Phrase(f" {name} ", fill.line))
    )
    return Fills({name: _KINDS[found] for name, found in families.items()}, legend=legend)


def _by_slope(graph: Graph, event: GrowthEvent | None) -> Fills:
    slopes: dict[str, float] = {}
    for candidate in event.candidates if event else ():
        # A layer that got a new path in this step is a sum now.
        is_layer = isinstance(graph.spec.nodes.get(candidate.target), Layer)
        if candidate.kind == "widen" and candidate.slope is not None and is_layer:
            slopes |= dict.fromkeys(graph.group_of(candidate.target).producers, candidate.slope)
    if not slopes:
        return Fills(legend=(Phrase("no slopes are known of this step", style.QUIET),))
    steepest = max(slopes.values())
    last = len(_SLOPES) - 1
    places = {
        name: round(last * max(0.0, slope) / steepest) if steepest > 0 else 0
        for name, slope in slopes.items()
    }
    legend = (
        Phrase("slope of more features:", style.QUIET),
        Phrase("0", style.QUIET),
        *map(_sample, _SLOPES),
        Phrase(f" {real(steepest)}", style.QUIET),
    )
    return Fills(
        {name: _SLOPES[place] for name, place in places.items()},
        {name: f"slope {real(slope)}" for name, slope in slopes.items()},
        legend,
    )


def _sample(fill: Fill) -> Phrase:
    """A box of the legend."""
    return Phrase("   ", fill.line, fill=fill.fill)
