"""What each node and edge of a run was, state after state, and where it stands: what the inspector's page draws.

States are numbered: 0 is the network before any growth, then one for each growth step that was applied. Only what
changes is kept, so that a long run of a large network stays small.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from math import hypot
from typing import Any

from gromo_graph.graph import Graph, obstacle
from gromo_graph.graph.diff import options_of
from gromo_graph.render import style
from gromo_graph.render.dot import growable, mark_of, output_amount, sizes_of
from gromo_graph.render.labels import Direction
from gromo_graph.render.layout import Box, Layout, Wire, lay_out
from gromo_graph.render.numbers import shape
from gromo_graph.render.sketch import Key
from gromo_graph.render.spline import Point, reaching, shortened_by
from gromo_graph.render.text import clean, points, shortened

State = dict[str, Any]
States = list[tuple[int, State | None]]
"""What something was from each state on at which it changed; None: it was not there."""

_NAME_EMS = 17.0
_CIRCLE = 26.0
_PADDING = 9.0
_TITLE_ROW, _ROW, _MARGIN = 18.0, 14.0, 6.0
_LABEL_ROW = 13.0
_ARROW, _ARROW_HALF = 9.0, 4.6


class Once:
    """Values by their place in a list, each in it once.

    >>> once = Once()
    >>> once([1]), once([2]), once([1]), once.values
    (0, 1, 0, [[1], [2]])
    """

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def __call__(self, value: Any) -> int:
        place = self._places.setdefault(json.dumps(value, sort_keys=True), len(self.values))
        if place == len(self.values):
            self.values.append(value)
        return place


class Timeline:
    """The states of all nodes and edges; `add` is called with the graph of each state in turn.

    Attributes:
        states: how many there are.
        nodes, edges: what was when, by what it stands for.
        options, groups: of nodes, each once: states give their places in these lists.

    >>> from gromo_graph.spec import parse_spec
    >>> from gromo_graph.graph import build_graph
    >>> text = "nodes:\\n  x: {kind: input, shape: [2]}\\n  y: {kind: linear, from: x, features: 3}\\noutput: y"
    >>> timeline = Timeline()
    >>> for wider in (text, text.replace("3}", "5}")):
    ...     timeline.add(build_graph(parse_spec(wider)))
    >>> [(state, then["shape"]) for state, then in timeline.nodes["node", "y"]]
    [(0, [3]), (1, [5])]
    >>> len(timeline.nodes["node", "x"])
    1
    """

    def __init__(self) -> None:
        self.states = 0
        self.nodes: dict[Key, States] = {}
        self.edges: dict[Key, States] = {}
        self.ends: dict[Key, tuple[Key, Key]] = {}
        self.options, self.groups = Once(), Once()

    def add(self, graph: Graph) -> None:
        """The next state of the network."""
        _note(self.nodes, dict(self._nodes(graph)), self.states)
        edges = dict(_edges(graph, self.ends))
        _note(self.edges, edges, self.states)
        self.states += 1

    def _nodes(self, graph: Graph) -> Iterable[tuple[Key, State]]:
        limits = dict(growable(graph))
        groups = {name: group for group in graph.groups for name in group.producers}
        for name, node in graph.spec.nodes.items():
            words = [text for text in (sizes_of(graph, name), *node.details) if text]
            state: State = {
                "role": node.drawn_as,
                "kind": node.kind,
                "words": " · ".join(words),
                "shape": list(graph.shapes[name]),
                "parameters": graph.parameters(name),
                "madds": graph.madds(name),
                "options": self.options(options_of(node)),
            }
            if node.symbol:
                state["symbol"] = node.symbol
            if name in limits:
                state["mark"] = mark_of(limits[name])
            if (group := groups.get(name)) is not None:
                state["group"] = self.groups(list(group.producers))
                if name not in limits:
                    state["fixed"] = obstacle(graph, group) or "it is as wide as its max"
            yield ("node", name), state
        for name in graph.spec.outputs:
            yield (
                ("output", name),
                {
                    "role": "output",
                    "kind": "output",
                    "words": output_amount(graph, name),
                    "shape": list(graph.shapes[name]),
                    "parameters": 0,
                    "madds": 0,
                    "options": self.options({}),
                    **({"named": True} if graph.spec.named_outputs else {}),
                },
            )

    def data(self, direction: Direction) -> dict[str, Any]:
        """The union of all states, laid out, as plain values for the page; y grows downwards in it.

        Raises:
            RenderError: Graphviz refused.
        """
        layout = self._layout(direction)
        (left, low), (right, high) = layout.corners
        index = {key: place for place, key in enumerate(layout.nodes)}
        return {
            "direction": direction,
            "box": [_round(left), _round(-high), _round(right - left), _round(high - low)],
            "nodes": [
                {
                    "what": key[0],
                    "name": key[1],
                    "place": [
                        _round(place.centre[0]),
                        _round(-place.centre[1]),
                        _round(place.width),
                        _round(place.height),
                    ],
                    "states": self.nodes[key],
                }
                for key, place in layout.nodes.items()
            ],
            "edges": [self._edge(key, layout, index) for key in layout.edges],
            "options": self.options.values,
            "groups": self.groups.values,
        }

    def _layout(self, direction: Direction) -> Layout:
        boxes = {key: _box(key, states) for key, states in self.nodes.items()}
        # What is there in the end goes first: its order is the one that Graphviz sees.
        last = sorted(boxes, key=lambda key: self.nodes[key][-1][1] is None)
        wires = {key: Wire(*self.ends[key], *_label_size(states)) for key, states in self.edges.items()}
        attributes = {
            "rankdir": "LR" if direction == "right" else "TB",
            "nodesep": "0.28",
            "ranksep": "0.42" if direction == "right" else "0.3",
        }
        return lay_out({key: boxes[key] for key in last}, wires, attributes)

    def _edge(self, key: Key, layout: Layout, index: Mapping[Key, int]) -> dict[str, Any]:
        """An edge with its ways: it may have to go on to a circle that stands in a larger place."""
        route, ends = layout.edges[key], self.ends[key]
        sides = route.points[0], route.points[-1]
        ways: list[list[str]] = []
        states: list[tuple[int, State | None]] = []
        for at, then in self._with_ends(key):
            if then is None:
                if states and states[-1][1] is not None:
                    states.append((at, None))
                continue
            rims = [
                layout.nodes[end].rim(_CIRCLE, side) if _is_circle(_at(self.nodes[end], at)) else None
                for end, side in zip(ends, sides, strict=True)
            ]
            way = _drawn(reaching(route.points, *rims))
            if way not in ways:
                ways.append(way)
            then = then | {"way": ways.index(way)}
            if not states or states[-1][1] != then:
                states.append((at, then))
        return {
            "name": key[1],
            "ends": [index[end] for end in ends],
            "label": None if route.label is None else [_round(route.label[0]), _round(-route.label[1])],
            "ways": ways,
            "states": states,
        }

    def _with_ends(self, key: Key) -> Iterable[tuple[int, State | None]]:
        """The states of an edge, and those in which one of its ends has become something else."""
        own = self.edges[key]
        times = {at for at, _ in own} | {at for end in self.ends[key] for at, _ in self.nodes[end]}
        first = own[0][0]
        return [(at, _at(own, at)) for at in sorted(times) if at >= first]


def _note(known: dict[Key, States], now: Mapping[Key, State], at: int) -> None:
    """Write down what is not as it was."""
    for key in {**known, **now}:
        states = known.setdefault(key, [])
        then = now.get(key)
        if (states[-1][1] if states else None) != then:
            states.append((at, then))


def _at(states: States, at: int) -> State | None:
    return next((then for since, then in reversed(states) if since <= at), None)


def _edges(graph: Graph, ends: dict[Key, tuple[Key, Key]]) -> Iterable[tuple[Key, State]]:
    """The edges, those into the boxes of outputs too; `ends` learns what they lead from and to."""
    captions = {
        name: " · ".join((shortened(clean(name), _NAME_EMS), *node.details))
        for name, node in graph.spec.nodes.items()
        if node.drawn_as == "merge"
    }
    outputs = [(f"{name}->", name, ("output", name)) for name in graph.spec.outputs]
    inner = [(edge.id, edge.source, ("node", edge.target)) for edge in graph.edges]
    for name, source, target in (*inner, *outputs):
        ends["edge", name] = ("node", source), target
        state: State = {
            "words": shape(graph.shapes[source]),
            "thick": style.thickness(graph.features(source)),
        }
        if caption := captions.pop(source, ""):  # a merge is too small for its name
            state["caption"] = caption
        yield ("edge", name), state


def _is_circle(state: State | None) -> bool:
    return state is not None and state["role"] == "merge"


def _box(key: Key, states: States) -> Box:
    """Room for all that the node is in any state, and for what changed in it, where something does."""
    known = [state for _, state in states if state is not None]
    if all(map(_is_circle, known)):
        return Box(_CIRCLE, _CIRCLE, circle=True)
    title = shortened(clean(key[1]), _NAME_EMS)
    width = 0.0
    for state in known:
        first = points(title, style.NAME_SIZE, bold=True)
        if mark := state.get("mark"):
            first += 8 + points(mark, style.SMALL_SIZE)
        second = points(f"{state['kind']} {state['words']}", style.TEXT_SIZE)
        width = max(width, first, second)
    rows = _TITLE_ROW + _ROW * (2 if _differs(states) else 1)
    return Box(width + 2 * _PADDING, rows + 2 * _MARGIN)


def _differs(states: States) -> bool:
    """Whether something is ever told of it: that it is new or gone, wider, or something else."""
    if states[0][0] > 0:
        return True
    told = [state and [state[key] for key in ("kind", "shape", "options")] for _, state in states]
    return any(one != other for one, other in pairwise(told))


def _label_size(states: States) -> Point:
    known = [state for _, state in states if state is not None]
    width = max(
        max(points(state["words"], style.TEXT_SIZE), points(state.get("caption", ""), style.SMALL_SIZE))
        for state in known
    )
    rows = 2 if any("caption" in state for state in known) else 1
    thick = max(state["thick"] for state in known)
    return width + 8 + thick, rows * _LABEL_ROW + 4 + thick


def _drawn(spline: tuple[Point, ...]) -> list[str]:
    """The path of a line and its arrowhead, as SVG has them."""
    tip = spline[-1]
    line = shortened_by(spline, _ARROW)
    x, y = line[-1]
    length = hypot(tip[0] - x, tip[1] - y) or 1.0
    along = ((tip[0] - x) / length, (tip[1] - y) / length)
    across = (-along[1] * _ARROW_HALF, along[0] * _ARROW_HALF)
    corners = (tip, (x + across[0], y + across[1]), (x - across[0], y - across[1]))
    path = f"M{_svg(line[0])}C{' '.join(map(_svg, line[1:]))}"
    return [path, " ".join(map(_svg, corners))]


def _svg(point: Point) -> str:
    return f"{_round(point[0]):g},{_round(-point[1]):g}"


def _round(value: float) -> float:
    return round(value, 1) + 0.0
