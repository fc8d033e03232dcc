"""A new edge: one layer from a node into the sum of another, the least squares of the gradient there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from gromo_graph.algebra import best_blocks, optimal_delta
from gromo_graph.algebra.output_whitening import OutputWhitening
from gromo_graph.graph import Bridge, Graph, NoBridge, new_edge, path_cost
from gromo_graph.growth.candidates.budget import within
from gromo_graph.growth.candidates.paths import FirstWeights, NewPath, PathProspect, watched_of
from gromo_graph.growth.candidates.slope_scores import newton_step, total
from gromo_graph.growth.candidates.stages import InfeasibleError, LeftOut, Solved, Sums, joined
from gromo_graph.growth.curvature import NO_CURVATURE
from gromo_graph.growth.observe import Observation, Watched
from gromo_graph.growth.source_statistics import SourceStatistics, image_of
from gromo_graph.growth.statistics_pass import Gathered
from gromo_graph.growth.wanted_statistics import Wanted
from gromo_graph.modules import MergeGrowingModule
from gromo_graph.modules.extensions import layer_of_matrix
from gromo_graph.modules.growing_module import GrowingModule
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Growth


def feasible_edge(graph: Graph, policy: Growth, bridge: Bridge | NoBridge) -> tuple[Bridge, int]:
    """The place of an edge, and the number of features that it may read: all, or as many as the policy says.

    Raises:
        InfeasibleError: no layer fits, or it would pass the budget.
    """
    if isinstance(bridge, NoBridge):
        raise InfeasibleError(bridge.reason)
    free = [feature for feature in range(graph.features(bridge.source)) if feature not in bridge.taken]
    most = policy.edges.features
    for count in (len(free),) if most is None else range(min(most, len(free)), 0, -1):
        path = new_edge(graph, bridge, free[:count] if count < graph.features(bridge.source) else ())
        if within(graph, path_cost(graph, path), policy.stop):
            return bridge, count
    raise InfeasibleError("it would pass the budget")


@dataclass(frozen=True)
class EdgeDelta:
    """The weights of a new edge, and with them those of the layers that enter the target.

    Attributes:
        delta: (out, columns), the constant left out: the edge gets −γ δ; 0 at features that it does not read.
        deltas: (out, columns), the optimal delta of each layer that enters the target, if the policy applies it.
        note: how it was solved, if that is out of the ordinary.
        features: those of the source that the edge reads; none for all.
    """

    delta: Tensor
    deltas: Mapping[str, Tensor]
    solver: str
    note: str = ""
    features: tuple[int, ...] = ()


class EdgeProspect(PathProspect[EdgeDelta]):
    """An edge that could be added.

    Attributes:
        features: the number of features that it reads.
    """

    kind = "new_edge"
    feasible = staticmethod(feasible_edge)

    def __init__(self, network: GrowingNetwork, policy: Growth, bridge: Bridge | NoBridge) -> None:
        there, self.features = feasible_edge(network.graph, policy, bridge)
        super().__init__(network, policy, edge_target(bridge), 0, there)

    @property
    def chooses(self) -> bool:
        """True if it reads only some of the features."""
        return self.features < self.network.graph.features(self.bridge.source)

    def wanted(self) -> Wanted:
        """The moments of its source; if deltas are applied, those of the layers at its target too."""
        projected = (self.bridge.target,) if self.policy.apply_delta else ()
        return Wanted(bridges=(self.bridge,), projected=projected, curved=self.curved())

    def solve(self, gathered: Gathered) -> EdgeDelta:
        """Least squares of the gradient at the target on the source (docs/maths.md, "New edges and nodes")."""
        source, target = gathered.source(self.bridge), self.bridge.target
        layers = source.entering[target] if self.policy.apply_delta else ()
        outputs = self.outputs(gathered) if self.policy.criterion == "natural" and not layers else None
        if not layers and not self.chooses:
            return edge_delta(source, target, self.policy, outputs)
        s, m = self._least_squares(source, layers)
        own = len(source.second_moment) - 1
        features: tuple[int, ...] = ()
        columns = torch.arange(len(s), device=s.device)
        if self.chooses:
            features = self._best(s, m if outputs is None else outputs.whiten(m), own)
            columns = torch.cat((self._columns(own)[list(features)].flatten().to(columns), columns[own:]))
        solved = optimal_delta(s[columns][:, columns], m[columns], ridge=self.policy.ridge)
        delta = s.new_zeros(m.shape[1], len(s)).index_copy(1, columns, solved.delta)
        sizes = [own, *(len(layer.tensor_m()) for layer in layers)]
        first, *others = delta.split(sizes, dim=1)
        if layers:
            deltas = {layer.name: part for layer, part in zip(layers, others, strict=True)}
            return EdgeDelta(first, deltas, solved.solver, features=features)
        return replace(_by_natural_gradient(first, solved.solver, self.policy, outputs), features=features)

    def _least_squares(
        self, source: SourceStatistics, layers: Sequence[GrowingModule]
    ) -> tuple[Tensor, Tensor]:
        """S and M of the new edge, joined by the columns of the layers that enter the target if these move too."""
        s, m = source.second_moment[:-1, :-1], source.by_target[self.bridge.target][:-1]
        if not layers:
            return s, m.to(s)
        cross = torch.cat([source.cross[layer]() for layer in layers], dim=1)[:-1]
        inside = layers[0].tensor_s()
        if (
            isinstance(module := self.network.unit(self.bridge.target), MergeGrowingModule)
            and len(layers) > 1
        ):
            inside = module.previous_tensor_s
        whole = torch.cat((torch.cat((s, cross), dim=1), torch.cat((cross.T, inside), dim=1)))
        return whole, torch.cat((m, *(layer.tensor_m() for layer in layers))).to(whole)

    def _best(self, s: Tensor, m: Tensor, own: int) -> tuple[int, ...]:
        """The features that pay most (docs/maths.md, "Edges that read some features"), in their order."""
        given = torch.arange(own, len(s), device=s.device)
        blocks = self._columns(own).to(s.device)
        barred, ridge = self.bridge.taken, self.policy.ridge
        return tuple(
            sorted(best_blocks(s, m, blocks, self.features, ridge=ridge, given=given, barred=barred))
        )

    def _columns(self, own: int) -> Tensor:
        """The columns of each feature of the source, (features, taps of the kernel)."""
        return torch.arange(own).reshape(self.network.graph.features(self.bridge.source), -1)

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
    return _by_natural_gradient(solved.delta, solved.solver, policy, outputs)


def _by_natural_gradient(
    delta: Tensor, solver: str, policy: Growth, outputs: OutputWhitening | None
) -> EdgeDelta:
    if policy.criterion != "natural":
        return EdgeDelta(delta, {}, solver)
    if outputs is None:
        return EdgeDelta(0.0 * delta, {}, solver, NO_CURVATURE)
    return EdgeDelta(outputs.unwhiten(outputs.whiten(delta.T).T), {}, solver)


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

    @property
    def _note(self) -> str:
        features, graph = self.solution.features, self.prospect.network.graph
        of = graph.features(self.prospect.bridge.source)
        return joined(self.solution.note, f"reads {len(features)} of {of} features" if features else "")

    def measured(self, slopes: Sums) -> NewPath | LeftOut:
        """The edge, if the loss falls by it."""
        slope, prospect, solver = float(slopes["slope"]), self.prospect, self.solution.solver
        if not slope > 0.0:
            return prospect.left_out("it would not lower the loss", solver=solver, note=self.solution.note)
        weight, _ = self.source.weights(-self.solution.delta)
        features, graph = self.solution.features, prospect.network.graph
        found = prospect.new_path(
            new_edge(graph, prospect.bridge, features),
            (FirstWeights(weight[:, list(features)] if features else weight, None, 1.0),),
            slope=slope,
            predicted=slope,
            solver=solver,
            note=self._note,
            deltas=self.solution.deltas,
        )
        return found.at_step(newton_step(slopes, slope))
