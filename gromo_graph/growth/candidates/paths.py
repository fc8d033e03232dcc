"""New paths: what new edges, nodes and heads have in common. Each leads from one node into the sum of another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gromo_graph.algebra import OptimalExtension, Tangent, optimal_extension
from gromo_graph.algebra.output_whitening import OutputWhitening
from gromo_graph.graph import Bridge, Graph, NoBridge, path_cost, with_inputs
from gromo_graph.graph.growth_edits import NewNodes, linear_name
from gromo_graph.growth.candidates.budget import neurons_at_once, within
from gromo_graph.growth.candidates.group_neurons import (
    FEW_SAMPLES,
    ROWS_PER_INPUT,
    SPARE_DIRECTIONS,
    compute_delta,
)
from gromo_graph.growth.candidates.slope_scores import best_signs, enough, newton_step
from gromo_graph.growth.candidates.stages import (
    Applicable,
    InfeasibleError,
    LeftOut,
    Prospect,
    Solution,
    Solved,
    Sums,
    joined,
)
from gromo_graph.growth.curvature import NO_CURVATURE, whitening_of_target
from gromo_graph.growth.observe import Observation, Watched
from gromo_graph.growth.source_statistics import SourceStatistics, image_of
from gromo_graph.growth.statistics_pass import Gathered
from gromo_graph.layers import ParameterChange, build_module
from gromo_graph.modules import MergeGrowingModule
from gromo_graph.modules.growing_module import GrowingModule
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.draft import Draft, drafted
from gromo_graph.spec.kinds import Layer
from gromo_graph.spec.settings import Growth
from gromo_graph.surgery.scaled_entries import Scaled
from gromo_graph.surgery.write_weights import with_step

NO_NEURON = "no new neuron would lower the loss"


@dataclass(frozen=True)
class FirstWeights:
    """The weights of a new layer: at step size γ they are γ to some power times these."""

    weight: Tensor
    bias: Tensor | None
    power: float

    def at_step(self, step: float) -> FirstWeights:
        """The weights of which γ times are `step` γ times these."""
        scale = step**self.power
        return FirstWeights(scale * self.weight, None if self.bias is None else scale * self.bias, self.power)

    def of(self, layer: torch.nn.Module) -> list[Scaled]:
        """The parameters of a new layer as they depend on γ."""
        values = {"weight": self.weight, "bias": self.bias}
        return [
            Scaled(parameter.detach(), [(self.power, value.to(parameter))])
            for name, parameter in layer.named_parameters()
            if (value := values[name]) is not None
        ]


@dataclass(frozen=True)
class NewPath(Applicable):
    """A new layer, two with new neurons between, or a head of attention, from one node into the sum of another.

    Attributes:
        bridge: from where to where. path: the edit.
        weights: of each new layer in the order of the path: −δ of an edge; of new neurons both sides.
        deltas: (out, columns), the optimal delta of each layer that enters the sum, if the policy applies it.
        changed: the nodes whose pre-activations change first.
    """

    bridge: Bridge = field(kw_only=True, compare=False, repr=False)
    path: NewNodes = field(kw_only=True, compare=False, repr=False)
    weights: tuple[FirstWeights, ...] = field(kw_only=True, compare=False, repr=False)
    deltas: Mapping[str, Tensor] = field(default_factory=dict, compare=False, repr=False)
    changed: frozenset[str] = field(kw_only=True, compare=False, repr=False)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The new nodes."""
        return tuple(name for name, _ in self.path.nodes)

    @property
    def places(self) -> frozenset[str] | None:
        """Of an adapter the sum that it enters: the names of others are their own, and their gradients the same."""
        return self.changed if self.kind == "adapt" else None

    @property
    def first_changed(self) -> frozenset[str]:
        """The target, or those who read it."""
        return self.changed

    def draft(self, network: GrowingNetwork, policy: Growth) -> Draft:
        """New layers beside those that are there; what moves with them is copied."""
        like = next(network.parameters())
        new = {
            name: build_module(node, inputs).to(like)
            for name, node, inputs in with_inputs(network.graph, self.path)
        }
        layers = [new[name] for name, node in self.path.nodes if isinstance(node, Layer)]
        entries = [e for layer, first in zip(layers, self.weights, strict=True) for e in first.of(layer)]
        changes: list[ParameterChange] = []
        for name, delta in self.deltas.items():
            layer = network.growing(name).layer
            moved = with_step(layer, delta)
            new[self._renamed(network, name)] = moved.modules[layer]
            changes += moved.changes
            entries += moved.entries
        return Draft(drafted(network, self.path, new), changes, entries=entries)

    def at_step(self, step: float | None) -> NewPath:
        """The candidate as large as at a step size, so that γ = 1 is that step; None leaves it as it is."""
        if step is None or self.slope is None:
            return self
        slope = step * self.slope
        return replace(
            self,
            weights=tuple(each.at_step(step) for each in self.weights),
            deltas={name: step * delta for name, delta in self.deltas.items()},
            slope=slope,
            predicted=slope / 2,
        )

    def _renamed(self, network: GrowingNetwork, name: str) -> str:
        """The name of a layer afterwards: a target that becomes a sum gives its own to that."""
        return linear_name(network.spec, name) if name == self.bridge.target else name


class PathProspect(Prospect[Solution]):
    """A path that could be added.

    Attributes:
        bridge: from where to where.
    """

    def __init__(
        self, network: GrowingNetwork, policy: Growth, target: str, neurons: int, bridge: Bridge
    ) -> None:
        super().__init__(network, policy, target, neurons)
        self.bridge = bridge

    def curved(self) -> tuple[tuple[str, ...], ...]:
        """The target, if the policy follows the natural gradient: its curvature is wanted."""
        return ((self.bridge.target,),) if self.policy.criterion == "natural" else ()

    def outputs(self, gathered: Gathered) -> OutputWhitening | None:
        """G^(−1/2) of the target by natural gradient; None if no curvature reaches it."""
        return whitening_of_target(gathered.curvature((self.bridge.target,)), self.policy.ridge)

    def new_path(
        self,
        path: NewNodes,
        weights: Sequence[FirstWeights],
        *,
        neurons: int = 0,
        deltas: Mapping[str, Tensor] | None = None,
        **facts: Any,
    ) -> NewPath:
        """The candidate with its edit, its weights and its cost."""
        known = self.facts(neurons, path_cost(self.network.graph, path), **facts)
        return NewPath(
            **known,
            bridge=self.bridge,
            path=path,
            weights=tuple(weights),
            deltas=deltas or {},
            changed=self.first_changed(),
        )

    def first_changed(self) -> frozenset[str]:
        """The nodes whose pre-activations change first: the target."""
        return frozenset((self.bridge.target,))


def watched_of(
    network: GrowingNetwork, source: SourceStatistics, target: str, layers: Sequence[GrowingModule]
) -> Watched:
    """The tensors that the slope of a path needs: its input, the gradient at its target, and some layers."""
    unit = network.unit(target)
    modules = [*layers, unit] if isinstance(unit, GrowingModule) else layers
    merges = [unit] if isinstance(unit, MergeGrowingModule) else []
    return Watched(modules, merges, source.sources, parameters=False)


def feasible_neurons(
    graph: Graph, policy: Growth, place: Bridge | NoBridge, path: Callable[[Bridge, int], NewNodes]
) -> tuple[Bridge, int]:
    """The place, and the most new neurons that a path there may have within the budgets.

    Args:
        path: gives the edit with that many new neurons.

    Raises:
        InfeasibleError: no layer fits, or one neuron would pass the budget.
    """
    if isinstance(place, NoBridge):
        raise InfeasibleError(place.reason)
    for neurons in range(neurons_at_once(policy, None), 0, -1):
        if within(graph, path_cost(graph, path(place, neurons)), policy.stop):
            return place, neurons
    raise InfeasibleError("one neuron there would pass the budget")


@dataclass(frozen=True)
class PathNeurons:
    """New neurons on a path, more than are wanted, in the order of their singular values."""

    found: OptimalExtension
    note: str


class NeuronsProspect(PathProspect[PathNeurons], ABC):
    """A path with new neurons between what is read and the sum: a node, or the value of a head.

    Attributes:
        tangent: the activation of the new neurons, around 0.
        shifts: that activation is not 0 at 0, and the layer behind takes it back by its bias.
        constant: the layer before them has a bias.
    """

    tangent: Tangent
    shifts: bool
    constant: bool = True

    @abstractmethod
    def completed(self, sides: tuple[FirstWeights, FirstWeights]) -> tuple[NewNodes, Sequence[FirstWeights]]:
        """The edit and the weights of all its layers.

        Args:
            sides: weights before and behind the new neurons.
        """

    def source(self, gathered: Gathered) -> SourceStatistics:
        """The statistics of what the new neurons read."""
        return gathered.source(self.bridge)

    def watched(self, source: SourceStatistics) -> Watched:
        """The tensors that its slopes need: the source and the gradient at the target."""
        return watched_of(self.network, source, self.bridge.target, ())

    def solve(self, gathered: Gathered) -> PathNeurons:
        """The neurons that lower the loss most (docs/maths.md, "New edges and nodes").

        The gradient at the target is projected: what the layers there could do about it is left out.
        """
        source = self.source(gathered)
        layers, target = source.entering[self.bridge.target], self.bridge.target
        s = source.second_moment
        n, note = -source.by_target[target].to(s), ""
        columns = sum(layer.adapter.columns(layer.layer) for layer in layers)
        if layers and source.rows < ROWS_PER_INPUT * columns:
            note = FEW_SAMPLES
        else:
            for layer in layers:
                delta = _delta_of(layer, self.policy.ridge)
                if delta is not None:
                    n = n + source.cross[layer]().to(s) @ delta.to(s).T
        natural = self.policy.criterion == "natural"
        outputs = self.outputs(gathered) if natural else None
        if natural and outputs is None:
            n, note = torch.zeros_like(n), joined(note, NO_CURVATURE)
        if not self.constant:
            s, n = s[:-1, :-1], n[:-1]
        found = optimal_extension(
            s,
            n,
            ridge=self.policy.ridge,
            statistical_threshold=0.0,
            maximum_neurons=2 * self.neurons + SPARE_DIRECTIONS,
            outputs=outputs,
        )
        unusual = "" if found.solver == "cholesky" else f"neurons solved by {found.solver}"
        return PathNeurons(found, joined(note, unusual))

    def judged(
        self, solution: PathNeurons, gathered: Gathered, generator: torch.Generator | None
    ) -> Solved | LeftOut:
        """The neurons are measured, if there are any."""
        if not len(solution.found.singular_values):
            return self.left_out(NO_NEURON, solver=solution.found.solver, note=solution.note)
        return SolvedNeurons(self, self.source(gathered), solution)


def _delta_of(layer: GrowingModule, ridge: float) -> Tensor | None:
    """The optimal delta of a layer, (out, columns); None if it cannot be solved for: its raw gradient is followed."""
    if layer.delta_raw is None:
        try:
            compute_delta(layer, ridge)
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            return None
    return layer.delta_raw


@dataclass(frozen=True)
class SolvedNeurons(Solved):
    """New neurons on a path: their exact slopes choose among them."""

    prospect: NeuronsProspect
    source: SourceStatistics
    solution: PathNeurons

    @cached_property
    def layer(self) -> torch.nn.Module:
        """The layer before the new neurons."""
        return self.source.layer_of(self.solution.found.alpha)

    @property
    def watched(self) -> Watched:
        """The source and the gradient at the target."""
        return self.prospect.watched(self.source)

    def batch_slopes(self, seen: Observation) -> Sums:
        """The slopes of each neuron, as it is and with the opposite sign on both sides."""
        gradient = image_of(seen.gradients[self.prospect.bridge.target])
        t = image_of(self.source.value(self.layer, seen))
        pull = torch.einsum("nohw,ok->nkhw", gradient, self.solution.found.omega.to(gradient))
        tangent = self.prospect.tangent
        return {
            "kept": -(pull * tangent.apply(t)).sum(dim=(0, 2, 3)),
            "flipped": (pull * tangent.apply(-t)).sum(dim=(0, 2, 3)),
        }

    def sample_slopes(self, seen: Observation) -> Tensor:
        """The slopes of each neuron as it is, then with the opposite sign, (samples, 2 · neurons)."""
        gradient = image_of(seen.gradients[self.prospect.bridge.target])
        t = image_of(self.source.value(self.layer, seen))
        pull = torch.einsum("nohw,ok->nkhw", gradient, self.solution.found.omega.to(gradient))
        tangent = self.prospect.tangent
        both = torch.cat((-(pull * tangent.apply(t)), pull * tangent.apply(-t)), dim=1)
        return both.sum(dim=(2, 3))

    def measured(self, slopes: Sums) -> NewPath | LeftOut:
        """The neurons of positive slope, the steepest first, as many as wanted."""
        prospect, found = self.prospect, self.solution.found
        best, sign = best_signs(slopes["kept"], slopes["flipped"])
        order = torch.argsort(best, descending=True, stable=True)
        order = order[: enough(best[order], prospect.neurons, prospect.policy.neurons)]
        if not len(order):
            return prospect.left_out(NO_NEURON, solver=found.solver, note=self.solution.note)
        path, weights = prospect.completed(self._sides(order, sign[order]))
        slope = float(best[order].sum())
        new = prospect.new_path(
            path,
            weights,
            neurons=len(order),
            slope=slope,
            predicted=prospect.tangent.right * float(found.singular_values[order].square().sum()),
            solver=found.solver,
            note=self.solution.note,
        )
        along = best.new_zeros(2 * len(best))
        along[order + len(best) * (sign[order] < 0)] = 1.0
        return new.at_step(newton_step(slopes, slope, along))

    def _sides(self, order: Tensor, sign: Tensor) -> tuple[FirstWeights, FirstWeights]:
        """α and ω of some neurons, each times a sign on both sides; behind them a bias that takes σ(0) back."""
        found = self.solution.found
        alpha = found.alpha[order] * sign.to(found.alpha)[:, None]
        omega = found.omega[:, order] * sign.to(found.omega)
        fan_in, bias = self.source.weights(alpha)
        fan_out = omega.reshape(*omega.shape, *(1,) * (fan_in.dim() - 2))
        shift = -self.prospect.tangent.value * omega.sum(dim=1) if self.prospect.shifts else None
        return FirstWeights(fan_in, bias, 0.5), FirstWeights(fan_out, shift, 0.5)
