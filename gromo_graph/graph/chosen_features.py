"""Layers that read some features of their source: the edit that lets a layer read fewer, and where that may pay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gromo_graph.graph.costs import Cost
from gromo_graph.graph.growability import obstacle
from gromo_graph.graph.growth_edits import free_name
from gromo_graph.graph.view import Graph
from gromo_graph.spec.kinds import Convolution, Linear, Node, is_frozen
from gromo_graph.spec.kinds.again import shared_by
from gromo_graph.spec.kinds.index_select import IndexSelect
from gromo_graph.spec.model import Spec


@dataclass(frozen=True)
class ReadFewer:
    """A layer reads fewer features, by an `index_select` before it; one that it reads alone gets other numbers.

    Attributes:
        layer: its name. features: the numbers of those that it goes on reading, among those that it reads now.
    """

    layer: str
    features: tuple[int, ...]

    def selection(self, spec: Spec) -> str:
        """The name of the `index_select` afterwards."""
        (source,) = spec.nodes[self.layer].sources
        readers = [name for name, node in spec.nodes.items() if source in node.sources]
        alone = readers == [self.layer] and source not in spec.outputs
        if alone and isinstance(spec.nodes[source], IndexSelect):
            return source
        return free_name(spec, f"{self.layer}.features")

    def spec_of(self, spec: Spec) -> Spec:
        """The spec with the `index_select` before the layer."""
        selection, layer = self.selection(spec), spec.nodes[self.layer]
        before = spec.nodes.get(selection)
        if isinstance(before, IndexSelect):
            index = [before.index[place] for place in self.features]
            return replace(spec, nodes={**spec.nodes, selection: before.renumbered(index)})
        nodes: dict[str, Node] = {}
        for name, node in spec.nodes.items():
            if name == self.layer:
                nodes[selection] = IndexSelect(sources=layer.sources, index=self.features)
                node = layer.model_copy(update={"sources": (selection,)})
            nodes[name] = node
        return replace(spec, nodes=nodes)


def reading_cost(graph: Graph, layer: str, features: int) -> Cost:
    """The cost of a layer if it read so many features, less what it costs now."""
    node, (shape,) = graph.spec.nodes[layer], graph.input_shapes(layer)
    fewer = [(features, *shape[1:])]
    parameters = node.parameter_count(fewer) - graph.parameters(layer)
    return Cost(parameters, node.multiply_adds(fewer) - graph.madds(layer))


def partial_readers(graph: Graph) -> Iterator[str]:
    """The layers that might read fewer features: without them, something is saved that no narrower group saves."""
    shared = shared_by(graph.spec.nodes)
    others = {*shared, *shared.values()}
    alone = {
        group.consumers[0]
        for group in graph.groups
        if len(group.consumers) == 1 and obstacle(graph, group) is None
    }
    for name, node in graph.spec.nodes.items():
        if isinstance(node, Linear | Convolution) and not is_frozen(node) and name not in others | alone:
            yield name
