"""The costs of another width of a group, as exact integers from shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gromo_graph.graph.growth_edits import apply, narrowing, widening
from gromo_graph.graph.view import Graph
from gromo_graph.graph.widths import WidthGroup
from gromo_graph.spec.kinds import Shape, WidthRule


@dataclass(frozen=True)
class Cost:
    """Trainable numbers and multiply-adds (forward, one sample) that a change adds."""

    parameters: int
    madds: int


def widening_cost(graph: Graph, group: WidthGroup, neurons: int) -> Cost:
    """Cost of `neurons` more features in a group, or of fewer if the number is negative.

    Shapes are inferred again from the producers down to the consumers, so that every kind counts by its own rule.
    """
    touched = _touched(graph, group)
    edit = widening(group, neurons) if neurons > 0 else narrowing(group, -neurons)
    nodes = apply(graph.spec, edit).nodes
    shapes = dict(graph.shapes)
    parameters = madds = 0
    for name in touched:
        inputs = [shapes[source] for source in graph.sources(name)]
        parameters += nodes[name].parameter_count(inputs) - graph.parameters(name)
        madds += nodes[name].multiply_adds(inputs) - graph.madds(name)
        shapes[name] = nodes[name].output_shape(inputs)
    return Cost(parameters, madds)


def _touched(graph: Graph, group: WidthGroup) -> list[str]:
    """Producers, consumers and the nodes between, in topological order."""
    seen = set(group.producers)
    stack = list(group.producers)
    while stack:
        for reader in graph.readers(stack.pop()):
            rule = graph.spec.nodes[reader].width_rule
            if reader not in seen and rule is not WidthRule.CHOSEN:  # it takes as many features as before
                seen.add(reader)
                if rule is not WidthRule.OWNED:
                    stack.append(reader)
    return sorted(seen, key=graph.place.__getitem__)


def cost_at_widths(graph: Graph, features: Mapping[WidthGroup, int]) -> Cost:
    """Parameters and multiply-adds of the whole network if each of these groups had so many features.

    Args:
        graph: the network as it is.
        features: the wanted width of each group, at least its present one; other groups keep theirs.
    """
    spec = graph.spec
    for group, wanted in features.items():
        if wanted > group.features:
            spec = apply(spec, widening(group, wanted - group.features))
    shapes: dict[str, Shape] = {}
    parameters = madds = 0
    for name in graph.order:
        inputs = [shapes[source] for source in graph.sources(name)]
        node = spec.nodes[name]
        parameters += node.parameter_count(inputs)
        madds += node.multiply_adds(inputs)
        shapes[name] = node.output_shape(inputs)
    return Cost(parameters, madds)
