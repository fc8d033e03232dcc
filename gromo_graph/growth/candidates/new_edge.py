"""A new edge: one layer from a node into the sum of another, the least squares of the gradient there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gromo_graph.algebra import optimal_delta
from gromo_graph.algebra.output_whitening import OutputWhitening
from gromo_graph.graph import AddPath, Bridge, Graph, NoBridge, new_edge, path_cost
from gromo_graph.growth.candidates.budget import within
from gromo_graph.growth.candidates.paths import FirstWeights, NewPath, PathProspect, watched_of
from gromo_graph.growth.candidates.slope_scores import newton_step, total
from gromo_graph.growth.candidates.stages import InfeasibleError, LeftOut, Solved, Sums
from gromo_graph.growth.curvature import NO_CURVATURE
from gromo_graph.growth.observe import Observation, Watched
from gromo_graph.growth.source_statistics import SourceStatistics, image_of
from gromo_graph.growth.statistics_pass import Gathered
from gromo_graph.growth.wanted_statistics import Wanted
from gromo_graph.modules import MergeGrowingModule
from gromo_graph.modules.extensions import layer_of_matrix
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Growth


def feasible_edge(graph: Graph, policy: Growth, bridge: Bridge | NoBridge) -> tuple[Bridge, AddPath]:
    """The edit that adds an edge.

    Raises:
        InfeasibleError: no layer fits, or it would pass the budget.
    """
    if isinstance(bridge, NoBridge):
        raise InfeasibleError(bridge.reason)
    path = new_edge(graph, bridge)
    if not within(graph, path_cost(graph, path), policy.stop):
        raise InfeasibleError("it would pass the budget")
    return bridge, path


@dataclass(frozen=True)
class EdgeDelta:
    """The weights of a new edge, and with them those of the layers that enter the target.

    Attributes:
        delta: (out, columns), the constant left out: the edge gets −γ δ.
        deltas: (out, columns), the optimal delta of each layer that enters the target, if the policy applies it.
        note: how it was solved, if that is out of the ordinary.
    """

    delta: Tensor
    deltas: Mapping[str, Tensor]
    solver: str
    note: str = ""


class EdgeProspect(PathProspect[EdgeDelta]):
    """An edge that could be added.

    Attributes:
        path: the edit.
    """

    kind = "new_edge"
    feasible = staticmethod(feasible_edge)

    def __init__(self, network: GrowingNetwork, policy: Growth, bridge: Bridge | NoBridge) -> None:
        there, self.path = feasible_edge(network.graph, policy, bridge)
        super().__init__(network, policy, edge_target(bridge), 0, there)

    def wanted(self) -> Wanted:
        """The moments of its source; if deltas are applied, those of the layers at its target too."""
        projected = (self.bridge.target,) if self.policy.apply_delta else ()
        return Wanted(bridges=(self.bridge,), projected=projected, curved=self.curved())

    def solve(self, gathered: Gathered) -> EdgeDelta:
        """Least squares of the gradient at the target on the source (docs/maths.md, "New edges and nodes")."""
        source = gathered.source(self.bridge)
        if self.policy.apply_delta and source.entering[self.bridge.target]:
            return self._joint(source)
        natural = self.policy.criterion == "natural"
        return edge_delta(
            source, self.bridge.target, self.policy, self.outputs(gathered) if natural else None
        )

    def _joint(self, source: SourceStatistics) -> EdgeDelta:
        """The columns of the new edge join the least squares of the layers that enter the target."""
        target = self.bridge.target
        layers, s = source.entering[target], source.second_moment
        cross = torch.cat([source.cross[layer]() for layer in layers], dim=1)[:-1]
        inside = layers[0].tensor_s()
        if isinstance(module := self.network.unit(target), MergeGrowingModule) and len(layers) > 1:
            inside = module.previous_tensor_s
        whole = torch.cat((torch.cat((s[:-1, :-1], cross), dim=1), torch.cat((cross.T, inside), dim=1)))
        m = torch.cat((source.by_target[target][:-1], *(layer.tensor_m() for layer in layers)))
        solved = optimal_delta(whole, m.to(whole), ridge=self.policy.ridge)
        sizes = [len(s) - 1, *(len(layer.tensor_m()) for layer in layers)]
        own, *others = solved.delta.split(sizes, dim=1)
        deltas = {layer.name: part for layer, part in zip(layers, others, strict=True)}
        return EdgeDelta(own, deltas, solved.solver)

    def judged(self, solution: EdgeDelta, gathered: Gathered, generator: torch.Generator | None) -> Solved:
        """Its slope decides."""
        return SolvedEdge(self, gathered.source(self.bridge), solution)


def edge_delta(
    source: SourceStatistics, target: str, policy: Growth, outputs: OutputWhitening | None
) -> EdgeDelta:
    """The δ of an edge alone, by natural gradient G⁻¹ δ.

    Args:
        outputs: G^(−1/2) of the target by natural gradient.
    """
    solved = source.edge(target, policy.ridge)
    if policy.criterion != "natural":
        return EdgeDelta(solved.delta, {}, solved.solver)
    if outputs is None:
        return EdgeDelta(0.0 * solved.delta, {}, solved.solver, NO_CURVATURE)
    return EdgeDelta(outputs.unwhiten(outputs.whiten(solved.delta.T).T), {}, solved.solver)


def edge_target(bridge: Bridge | NoBridge) -> str:
    """The name of a new edge as a candidate."""
    return f"{bridge.source}->{bridge.target}"


@dataclass(frozen=True)
class SolvedEdge(Solved):
    """A new edge with its weights."""

    prospect: EdgeProspect
    source: SourceStatistics
    solution: EdgeDelta

    @cached_property
    def layer(self) -> torch.nn.Module:
        """The new layer, with δ as its weights."""
        return self.source.layer_of(self.solution.delta)

    @cached_property
    def entering(self) -> Mapping[str, torch.nn.Module]:
        """Layers like those that enter the target, with their deltas as weights."""
        growing = self.prospect.network.growing
        return {name: layer_of_matrix(growing(name), d) for name, d in self.solution.deltas.items()}

    @property
    def watched(self) -> Watched:
        """The source, the gradient at the target, and the inputs of the layers that change too."""
        network, target = self.prospect.network, self.prospect.bridge.target
        return watched_of(network, self.source, target, [network.growing(n) for n in self.entering])

    def batch_slopes(self, seen: Observation) -> Sums:
        """The slope of the edge with everything that changes with it."""
        gradient = image_of(seen.gradients[self.prospect.bridge.target])
        slope = total(image_of(self.source.value(self.layer, seen)) * gradient)
        for name, layer in self.entering.items():
            slope = slope + total(image_of(layer(self.prospect.network.growing(name).input)) * gradient)
        return {"slope": slope}

    def sample_slopes(self, seen: Observation) -> Tensor:
        """The slopes of the edge with everything that changes with it, (samples, 1)."""
        gradient = image_of(seen.gradients[self.prospect.bridge.target])
        change = image_of(self.source.value(self.layer, seen))
        for name, layer in self.entering.items():
            change = change + image_of(layer(self.prospect.network.growing(name).input))
        return (change * gradient).flatten(1).sum(dim=1, keepdim=True)

    def measured(self, slopes: Sums) -> NewPath | LeftOut:
        """The edge, if the loss falls by it."""
        slope, prospect, solver = float(slopes["slope"]), self.prospect, self.solution.solver
        if not slope > 0.0:
            return prospect.left_out("it would not lower the loss", solver=solver, note=self.solution.note)
        weight, _ = self.source.weights(-self.solution.delta)
        found = prospect.new_path(
            prospect.path,
            (FirstWeights(weight, None, 1.0),),
            slope=slope,
            predicted=slope,
            solver=solver,
            deltas=self.solution.deltas,
        )
        return found.at_step(newton_step(slopes, slope))
