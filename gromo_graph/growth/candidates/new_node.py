"""A new node: a layer of new neurons that reads one node, and a layer from there into the sum of another."""

from __future__ import annotations

from functools import cache

from gromo_graph.algebra import Tangent, tangent_of
from gromo_graph.graph import AddPath, Bridge, Graph, Middle, NoBridge, new_node
from gromo_graph.graph.paths import middle_name, usual_activation
from gromo_graph.growth.candidates.paths import FirstWeights, NeuronsProspect, feasible_neurons
from gromo_graph.growth.wanted_statistics import Wanted
from gromo_graph.layers.activation import activation_module
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.kinds.activation import Activation
from gromo_graph.spec.settings import Growth


@cache
def tangent_around_zero(activation: Activation) -> Tangent:
    """An activation around 0; it is measured, and many nodes have the same."""
    return tangent_of(activation_module(activation))


def middle_of(graph: Graph) -> Middle:
    """The layer that new nodes of a graph get: its next free name, and its usual activation."""
    activation = usual_activation(graph)
    shifts = tangent_around_zero(activation).value != 0.0
    return Middle(middle_name(graph), activation, shifts)


def node_target(bridge: Bridge | NoBridge, middle: Middle) -> str:
    """The name of a new node as a candidate."""
    return "->".join((bridge.source, middle.name, bridge.target))


def feasible_node(
    graph: Graph, policy: Growth, bridge: Bridge | NoBridge, middle: Middle
) -> tuple[Bridge, int]:
    """The place of a new node, and the most neurons that it could have within the budgets, as `feasible_neurons`."""
    return feasible_neurons(graph, policy, bridge, lambda at, neurons: new_node(graph, at, middle, neurons))


class NodeProspect(NeuronsProspect):
    """A node that could be added."""

    kind = "new_node"
    feasible = staticmethod(feasible_node)

    def __init__(
        self, network: GrowingNetwork, policy: Growth, bridge: Bridge | NoBridge, middle: Middle
    ) -> None:
        there, neurons = feasible_node(network.graph, policy, bridge, middle)
        super().__init__(network, policy, node_target(bridge, middle), neurons, there)
        self.middle, self.shifts = middle, middle.shifts
        self.tangent = tangent_around_zero(middle.activation)

    def wanted(self) -> Wanted:
        """The moments of its source, and of the layers at its target."""
        return Wanted(bridges=(self.bridge,), projected=(self.bridge.target,), curved=self.curved())

    def completed(self, sides: tuple[FirstWeights, FirstWeights]) -> tuple[AddPath, tuple[FirstWeights, ...]]:
        """The layers before and behind the new neurons."""
        path = new_node(self.network.graph, self.bridge, self.middle, len(sides[0].weight))
        return path, sides
