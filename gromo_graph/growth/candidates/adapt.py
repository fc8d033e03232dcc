"""An adapter: two linear layers without biases beside a frozen one, solved like a new node with the identity between
(docs/maths.md, "Adapters").
"""

from __future__ import annotations

from collections.abc import Sequence

from gromo_graph.graph import Graph
from gromo_graph.graph.adapters import AdapterPlace, adapter_path
from gromo_graph.graph.growth_edits import AddPath
from gromo_graph.growth.candidates.new_node import tangent_around_zero
from gromo_graph.growth.candidates.paths import FirstWeights, NeuronsProspect, feasible_neurons
from gromo_graph.growth.wanted_statistics import Wanted
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Growth


def feasible_rank(graph: Graph, policy: Growth, place: AdapterPlace) -> int:
    """The largest rank that an adapter could begin with within the budgets, as `feasible_neurons`."""
    _, rank = feasible_neurons(graph, policy, place.bridge, lambda _, rank: adapter_path(graph, place, rank))
    return rank


class AdaptProspect(NeuronsProspect):
    """An adapter that could be put beside a frozen layer."""

    kind = "adapt"
    shifts = constant = False
    feasible = staticmethod(feasible_rank)

    def __init__(self, network: GrowingNetwork, policy: Growth, place: AdapterPlace) -> None:
        rank = feasible_rank(network.graph, policy, place)
        super().__init__(network, policy, place.layer, rank, place.bridge)
        self.place, self.tangent = place, tangent_around_zero("identity")

    def wanted(self) -> Wanted:
        """The moments of its source, and of the layers beside the frozen one that are trained."""
        return Wanted(bridges=(self.bridge,), projected=(self.bridge.target,), curved=self.curved())

    def completed(self, sides: tuple[FirstWeights, FirstWeights]) -> tuple[AddPath, Sequence[FirstWeights]]:
        """The layers before and behind the new features."""
        return adapter_path(self.network.graph, self.place, len(sides[0].weight)), sides
