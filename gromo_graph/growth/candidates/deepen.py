"""Depth: a residual branch of new neurons put behind a node, whose outputs are 0 at first.

It is solved like a new node whose target is the value of the node it reads: the gradient there tells both layers of
the branch (docs/maths.md, "Depth").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gromo_graph.graph import Bridge, Graph, NoBridge
from gromo_graph.graph.deepening import Branch, Deepen, branch_name, deepening
from gromo_graph.graph.paths import usual_activation
from gromo_graph.growth.candidates.new_node import tangent_around_zero
from gromo_graph.growth.candidates.paths import FirstWeights, NeuronsProspect, feasible_neurons
from gromo_graph.growth.observe import Watched, at_output
from gromo_graph.growth.source_statistics import SourceStatistics
from gromo_graph.growth.statistics_pass import Gathered
from gromo_graph.growth.wanted_statistics import Wanted
from gromo_graph.layers import build_module
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Growth


def branch_of(graph: Graph) -> Branch:
    """The branch that a graph gets next: a free name, and its usual activation."""
    activation = usual_activation(graph)
    return Branch(branch_name(graph), activation, tangent_around_zero(activation).value != 0.0)


def feasible_branch(
    graph: Graph, policy: Growth, place: Bridge | NoBridge, branch: Branch
) -> tuple[Bridge, int]:
    """The place of a branch, and the most neurons that it could have within the budgets, as `feasible_neurons`."""
    return feasible_neurons(graph, policy, place, lambda at, neurons: deepening(graph, at, branch, neurons))


@dataclass
class OutputStatistics(SourceStatistics):
    """The statistics of a node as a layer would read it, against the gradient at the node's own value."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Layers and sums at which gradients are needed: none."""
        return ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The node, at whose value the gradient is needed."""
        return (self.source,)


class DeepenProspect(NeuronsProspect):
    """A branch that could be put behind a node.

    Attributes:
        branch: its names and activation. statistics: of the node.
    """

    kind = "deepen"
    feasible = staticmethod(feasible_branch)

    def __init__(
        self, network: GrowingNetwork, policy: Growth, place: Bridge | NoBridge, branch: Branch
    ) -> None:
        there, neurons = feasible_branch(network.graph, policy, place, branch)
        at = Bridge(there.source, at_output(there.source), False, False, there.reader)
        super().__init__(network, policy, place.source, neurons, at)
        self.branch, self.shifts = branch, branch.shifts
        self.tangent = tangent_around_zero(branch.activation)
        self.statistics = _statistics(network, at)

    def wanted(self) -> Wanted:
        """The moments of the node's value and of the gradient there."""
        return Wanted(counters=(self.statistics,), curved=self.curved())

    def source(self, gathered: Gathered) -> SourceStatistics:
        """The statistics of its own."""
        return self.statistics

    def watched(self, source: SourceStatistics) -> Watched:
        """The value of the node, and the gradient there."""
        return Watched((), values=(source.source,), outputs=(source.source,), parameters=False)

    def first_changed(self) -> frozenset[str]:
        """Whoever reads the node."""
        return frozenset(self.network.graph.readers(self.bridge.source))

    def completed(self, sides: tuple[FirstWeights, FirstWeights]) -> tuple[Deepen, Sequence[FirstWeights]]:
        """The layers before and behind the new neurons, and the sum."""
        return deepening(self.network.graph, self.bridge, self.branch, len(sides[0].weight)), sides


def _statistics(network: GrowingNetwork, at: Bridge) -> OutputStatistics:
    """The statistics of a node, still empty."""
    shape = network.graph.shapes[at.source]
    layer = build_module(at.reader.model_copy(update={"features": 1, "bias": True}), [shape])
    layer = layer.to(next(network.parameters()))
    return OutputStatistics(at.source, layer, bridges=[at], entering={at.target: ()})
