"""The parts of a drawing that a growth event or a difference highlights, and a decision in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gromo_graph.amounts import amount
from gromo_graph.errors import GraphError
from gromo_graph.graph import Graph, build_graph
from gromo_graph.records import Decision, GrowthEvent
from gromo_graph.render.drawing.text import clean, isolated, shortened
from gromo_graph.spec.kinds import Layer, Shape

_CHANGES_WIDTH = frozenset({"widen", "prune"})
_NAME_EMS = 16.0
_NAMES_LISTED = 4


@dataclass(frozen=True)
class Highlights:
    """The changed parts of a graph.

    Attributes:
        added: the number of features that each layer gained; negative if it lost some.
        new: layers that did not exist before.
        before: the previous output shape of every node whose output has another width now.
        narrower: nodes whose output has fewer features than before.
        values: other changes of a node, in words.
        new_edges: ids of edges that did not exist before.
        old: the graph before, if nodes or edges are gone; removed, removed_edges: their names and ids.
    """

    added: Mapping[str, int] = field(default_factory=dict)
    new: frozenset[str] = frozenset()
    before: Mapping[str, Shape] = field(default_factory=dict)
    narrower: frozenset[str] = frozenset()
    values: Mapping[str, str] = field(default_factory=dict)
    new_edges: frozenset[str] = frozenset()
    old: Graph | None = None
    removed: Sequence[str] = ()
    removed_edges: Sequence[str] = ()

    @property
    def nodes(self) -> frozenset[str]:
        """Every node of the drawing that changed."""
        return frozenset(self.added) | frozenset(self.before) | frozenset(self.values) | self.new


def narrower_nodes(
    added: Mapping[str, int], before: Mapping[str, Shape], after: Mapping[str, Shape]
) -> frozenset[str]:
    """The nodes whose output has fewer features than before: layers that lost some, and all that read them in turn.

    Args:
        added: features that each layer gained. before, after: output shapes, features first.

    >>> sorted(narrower_nodes({"stem": -2}, {"stem": (6, 5), "join": (8, 5)}, {"stem": (4, 5), "join": (6, 5)}))
    ['join', 'stem']
    """
    lost = {name for name, change in added.items() if change < 0}
    return frozenset(lost | {name for name, old in before.items() if after[name][0] < old[0]})


def highlights_of(graph: Graph, event: GrowthEvent | None) -> Highlights:
    """The changes of `event`, derived from the graph after it.

    Every other width follows from those of the layers that grew: the graph is built once more with
    their old widths, so that what a concat or a flatten makes of them is right too.
    """
    if event is None or event.decision is None:
        return Highlights()
    decision = event.decision
    grown = [name for name in decision.nodes if name in graph.spec.nodes]
    if decision.kind not in _CHANGES_WIDTH:
        return Highlights(new=frozenset(grown))
    change = -decision.neurons if decision.is_pruning else decision.neurons
    nodes = dict(graph.spec.nodes)
    for name in grown:
        node = nodes[name]
        if isinstance(node, Layer) and node.features > change:
            nodes[name] = node.model_copy(update={"features": node.features - change})
    added = dict.fromkeys(grown, change)
    try:
        old = build_graph(replace(graph.spec, nodes=nodes)).shapes
    except GraphError:  # the event is of another graph: its names are all there is to show
        return Highlights(added=added, narrower=narrower_nodes(added, {}, {}))
    before = {name: old[name] for name in graph.order if old[name] != graph.shapes[name]}
    return Highlights(added, before=before, narrower=narrower_nodes(added, before, graph.shapes))


def decision_words(decision: Decision) -> str:
    """The decision in a few words.

    >>> decision_words(Decision("widen", "stem", 4, ("stem", "mix"), 468, 460))
    'stem, mix: +4 features'
    >>> decision_words(Decision("widen", "stem", 4, ("stem",), 468, 460, random=3))
    'stem: +4 features, 3 of them random'
    """
    names = [isolated(shortened(clean(name), _NAME_EMS)) for name in decision.nodes]
    listed = ", ".join(names[:_NAMES_LISTED])
    if len(names) > _NAMES_LISTED:
        listed += f" and {len(names) - _NAMES_LISTED} more"
    target = isolated(shortened(clean(decision.target), 2 * _NAME_EMS))
    features = amount(decision.neurons, "feature")
    match decision.kind:
        case "widen":
            return f"{listed or target}: +{features}{_at_random(decision)}"
        case "prune":
            return f"{listed or target}: −{features}"
        case "new_edge":
            return f"new edge {target}"
        case "new_node":
            return f"new node {target}: {features}"
        case "deepen":
            return f"deeper behind {target}: {features}" if decision.neurons else f"another block of {target}"
        case "adapt":
            return f"adapter of {target}: rank {decision.neurons}"
        case "new_head":
            return f"new head {target}: {features}"
        case _:
            return f"{decision.kind} {target}: {decision.neurons}"


def _at_random(decision: Decision) -> str:
    if not decision.random:
        return ""
    return ", all random" if decision.random == decision.neurons else f", {decision.random} of them random"
