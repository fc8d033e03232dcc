"""The states of each node and edge of a run, for the inspector's page.

States are numbered: 0 is the network before any growth, then one for each growth step that was applied. Only what
changes is kept, so that a long run of a large network stays small.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gromo_graph.render.drawing.trunk import Trunk
from gromo_graph.render.pages.parts import Parts
from gromo_graph.render.placing.parsed_drawing import PartKey

State = dict[str, Any]
States = list[tuple[int, State | None]]
"""The values of a node or edge, each with the number of the state from which it holds; None: it does not exist."""


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
    """The states of all nodes and edges; `add` is called with each state in turn.

    Attributes:
        states: how many there are.
        nodes, edges: the states of each.
        options, groups: of nodes, each once: states give their places in these lists.
        trunk: of the last state.

    >>> from gromo_graph.spec import parse_spec
    >>> from gromo_graph.graph import build_graph
    >>> from gromo_graph.render.pages.parts import parts_of
    >>> text = "nodes:\\n  x: {kind: input, shape: [2]}\\n  y: {kind: linear, from: x, features: 3}\\noutput: y"
    >>> timeline = Timeline()
    >>> for wider in (text, text.replace("3}", "5}")):
    ...     timeline.add(parts_of(build_graph(parse_spec(wider))))
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

    def add(self, parts: Parts) -> None:
        """The next state of the network."""
        self.trunk = parts.trunk
        self.ends |= parts.ends
        _note(self.nodes, {key: self._shared(values) for key, values in parts.nodes.items()}, self.states)
        _note(self.edges, parts.edges, self.states)
        self.states += 1

    def _shared(self, values: State) -> State:
        """The values with places in the lists of options and groups instead of these themselves."""
        found = values | {"options": self.options(values["options"])}
        return found | {"group": self.groups(values["group"])} if "group" in values else found


def _note(known: dict[PartKey, States], now: Mapping[PartKey, State], at: int) -> None:
    """Record the values that differ from the state before."""
    for key in {**known, **now}:
        states = known.setdefault(key, [])
        then = now.get(key)
        if (states[-1][1] if states else None) != then:
            states.append((at, then))
