"""The states of each node and edge of a run, for the inspector's page.

States are numbered: 0 is the network before any growth, then one for each growth step that was applied. Only what
changes is kept, so that a long run of a large network stays small.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gromo_graph.graph import Graph, obstacle
from gromo_graph.graph.diff import options_of
from gromo_graph.render.drawing import style
from gromo_graph.render.drawing.node_words import details_of, growable, kind_words, mark_of, output_amount
from gromo_graph.render.drawing.text import clean, shortened
from gromo_graph.render.drawing.trunk import Trunk, trunk_of
from gromo_graph.render.numbers import shape
from gromo_graph.render.placing.parsed_drawing import PartKey

State = dict[str, Any]
States = list[tuple[int, State | None]]
"""The values of a node or edge, each with the number of the state from which it holds; None: it does not exist."""

NAME_EMS = 17.0
"""The greatest length of a name in a drawing."""


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
        nodes, edges: the states of each.
        options, groups: of nodes, each once: states give their places in these lists.
        trunk: of the last state.

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
        self.nodes: dict[PartKey, States] = {}
        self.edges: dict[PartKey, States] = {}
        self.ends: dict[PartKey, tuple[PartKey, PartKey]] = {}
        self.options, self.groups = Once(), Once()
        self.trunk = Trunk(frozenset(), frozenset())

    def add(self, graph: Graph) -> None:
        """The next state of the network."""
        self.trunk = trunk_of(graph)
        _note(self.nodes, dict(self._nodes(graph)), self.states)
        edges = dict(_edges(graph, self.ends))
        _note(self.edges, edges, self.states)
        self.states += 1

    def _nodes(self, graph: Graph) -> Iterable[tuple[PartKey, State]]:
        limits = dict(growable(graph))
        groups = {name: group for group in graph.groups for name in group.producers}
        for name, node in graph.spec.nodes.items():
            state: State = {
                "role": node.drawn_as,
                "kind": node.kind,
                "words": kind_words(graph, name),
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


def _note(known: dict[PartKey, States], now: Mapping[PartKey, State], at: int) -> None:
    """Record the values that differ from the state before."""
    for key in {**known, **now}:
        states = known.setdefault(key, [])
        then = now.get(key)
        if (states[-1][1] if states else None) != then:
            states.append((at, then))


def _edges(graph: Graph, ends: dict[PartKey, tuple[PartKey, PartKey]]) -> Iterable[tuple[PartKey, State]]:
    """The edges, those into the boxes of outputs too; `ends` learns what they lead from and to."""
    captions = {
        name: " · ".join((shortened(clean(name), NAME_EMS), *details_of(node)))
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
