"""Widening a width group: new neurons from the statistics of its layers, chosen by their exact slopes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gromo_graph.algebra.neuron_weights import GroupNeurons
from gromo_graph.algebra.output_whitening import OutputWhitening
from gromo_graph.errors import GrowthError
from gromo_graph.graph import Graph, WidthGroup, widening_cost
from gromo_graph.growth.bias_compensation import cannot_be_taken_back, compensations, moves_all_positions
from gromo_graph.growth.candidates.group_neurons import (
    PartSolution,
    is_dead,
    random_neurons,
    rescue_size,
    solve_views,
)
from gromo_graph.growth.candidates.neuron_slopes import NeuronSlopes
from gromo_graph.growth.candidates.slope_scores import enough, newton_step
from gromo_graph.growth.candidates.stages import (
    Applicable,
    InfeasibleError,
    LeftOut,
    OfGroup,
    Prospect,
    Solved,
    Sums,
    joined,
)
from gromo_graph.growth.candidates.widening_size import affordable_neurons, neurons_wanted
from gromo_graph.growth.curvature import curved, whitening_of_group
from gromo_graph.growth.observe import Observation, Watched
from gromo_graph.growth.pace import UNPACED, Pace
from gromo_graph.growth.statistics_pass import Gathered
from gromo_graph.growth.wanted_statistics import Wanted
from gromo_graph.modules.growing_module import LinkedGroup
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.draft import Draft, widened_draft
from gromo_graph.network.linked_groups import linked_group, linked_parts
from gromo_graph.spec.settings import Growth
from gromo_graph.statistics.head_views import head_views
from gromo_graph.statistics.neuron_parts import united
from gromo_graph.statistics.solve_neurons import first_neurons
from gromo_graph.surgery.write_weights import Step

SOLVED = ("tiny", "natural", "gradmax")
"""Criteria that need statistics."""
_ALIKE = 0.5
"""The default of `growth.neurons.alike` in layers with several positions."""
_NO_SLOPE = "no slope behind a layer or RMS norm: judged by the loss"


@dataclass(frozen=True)
class Widening(OfGroup):
    """New neurons in a width group.

    Attributes:
        weights: the new neurons, best first.
        deltas: (out, columns), the optimal delta of each consumer, if the policy applies it.
        shifts: (out,), what the bias of each consumer takes back per unit of √γ, if its new inputs are not 0 at 0.
        fan_out_alone: γ scales the fan-out alone, and the fan-in is what it is; else both sides are scaled by √γ.
        drawn: the neurons change nothing yet (random ones, or those of GradMax): there is no step size to search.
        revives: they revive a dead layer.
    """

    weights: GroupNeurons = field(kw_only=True, compare=False, repr=False)
    deltas: Mapping[str, Tensor] = field(default_factory=dict, compare=False, repr=False)
    shifts: Mapping[str, Tensor] = field(default_factory=dict, compare=False, repr=False)
    fan_out_alone: bool = False
    drawn: bool = False
    revives: bool = False

    @property
    def places(self) -> frozenset[str]:
        """The layers of the group."""
        return self.group.layers

    @property
    def rescue(self) -> bool:
        """True if it revives a dead layer."""
        return self.revives

    @property
    def whole(self) -> str | None:
        """Units that change nothing yet have no step size."""
        return f"`{self.target}` gets units as they are" if self.drawn else None

    @property
    def harmless(self) -> bool:
        """True if its units change nothing yet; behind a layer norm they do."""
        return self.drawn and not self.group.jumps

    def draft(self, network: GrowingNetwork, policy: Growth) -> Draft:
        """Wider layers and norms."""
        finite_scale = self.fan_out_alone and not self.drawn
        step = Step(self.deltas, {} if finite_scale else self.shifts, finite_scale)
        return widened_draft(network, self.group, self.weights, step)


class WideningProspect(Prospect[tuple[PartSolution, ...]]):
    """A width group that may grow.

    Attributes:
        group: which one. linked: its modules. parts: the modules of each part, if the author has tied several.
        views: of each part, those of the heads behind it.
    """

    kind = "widen"

    def __init__(
        self, network: GrowingNetwork, policy: Growth, group: WidthGroup, pace: Pace = UNPACED
    ) -> None:
        policy = _settled(policy, network.graph, group)
        wanted = neurons_wanted(network.graph, group, policy, pace)
        neurons = affordable_neurons(network.graph, group, wanted, policy)
        super().__init__(network, policy, group.target, neurons)
        self.group = group
        self.linked = linked_group(network, group, kernel=policy.kernel)
        parts = linked_parts(network, group, kernel=policy.kernel)
        self.parts = (self.linked,) if len(parts) == 1 else parts
        for part in self.parts if policy.criterion in SOLVED else ():
            _check_effect(network.graph, part, policy)
        self.views = tuple(head_views(part) for part in self.parts)

    def wanted(self) -> Wanted:
        """All moments of the growth of each view, and by natural gradient the curvature at its consumers."""
        views = tuple(view for views in self.views for view in views)
        natural = self.policy.criterion == "natural"
        names = [curved(self.network, view) for view in views] if natural else []
        return Wanted(groups=views, curved=tuple(each for found in names for each in found))

    def solve(self, gathered: Gathered) -> tuple[PartSolution, ...]:
        """The neurons of each part; of a dead group none."""
        if self.policy.rescue and all(is_dead(part) for part in self.parts):
            return ()
        return tuple(
            solve_views(
                views,
                self.neurons,
                self.policy,
                [self._outputs(view, gathered) for view in views],
                unit=self.group.unit,
            )
            for views in self.views
        )

    def _outputs(self, view: LinkedGroup, gathered: Gathered) -> OutputWhitening | None:
        """G^(−1/2) of its consumers by natural gradient, else None."""
        if self.policy.criterion != "natural":
            return None
        return whitening_of_group(self.network, view, gathered.curvatures, self.policy.ridge)

    def judged(
        self, solution: tuple[PartSolution, ...], gathered: Gathered, generator: torch.Generator | None
    ) -> Solved | Applicable | LeftOut:
        """A dead group is rescued; neurons without an effect or a slope need no measuring."""
        if not solution:
            return self.rescued(generator)
        if self.policy.criterion == "gradmax":
            return self._without_measuring(solution, "no gradient reaches it", drawn=True)
        if self.linked.jumps:
            return self._without_measuring(solution, "no new neuron would lower the loss", drawn=False)
        return SolvedWidening(self, solution)

    def drawn(self, generator: torch.Generator | None) -> Widening:
        """Units that change nothing yet: training finds their use."""
        return self._of_drawn(self.neurons, generator)

    def rescued(self, generator: torch.Generator | None) -> Widening:
        """A few drawn units for a group whose own units are all dead."""
        found = self._of_drawn(rescue_size(self.neurons, self.group.unit), generator)
        return replace(found, revives=True, note=joined(f"every unit of `{self.target}` is dead", found.note))

    def begun_anew(self, generator: torch.Generator | None) -> Widening:
        """Units with first weights on both sides, for a network whose function is not worth keeping."""
        found = [first_neurons(part, self.neurons, generator) for part in self.parts]
        return replace(self._without_slope(self.united(found), drawn=True), shifts={})

    def _of_drawn(self, neurons: int, generator: torch.Generator | None) -> Widening:
        found = [random_neurons(part, self.policy, neurons, generator) for part in self.parts]
        return self._without_slope(self.united(found), drawn=True)

    def _without_measuring(
        self, solution: Sequence[PartSolution], none: str, *, drawn: bool
    ) -> Widening | LeftOut:
        """The wanted number of neurons, in the order of their singular values.

        Args:
            none: the reason if there are none. drawn: they change nothing yet, for their fan-in is 0.
        """
        size = min(*(part.neurons.size for part in solution), self.neurons)
        size -= size % self.group.unit
        if size == 0:
            return self.left_out(none)
        found = self.united(
            [part.neurons.selected(torch.arange(size, device=part.neurons.device)) for part in solution]
        )
        if not drawn and found.values is None:
            return self.left_out(none)
        note = joined(*(part.note for part in solution))
        return self._without_slope(found, drawn=drawn, note=note, solver=solver_of(solution))

    def _without_slope(
        self, neurons: GroupNeurons, *, drawn: bool, note: str = "", solver: str | None = None
    ) -> Widening:
        """Of units that change nothing yet the slope is 0; behind a layer norm they do change something."""
        jumps = bool(self.linked.jumps)
        predicted = 0.0 if drawn else promised(self.linked, neurons)
        note = joined(note, _NO_SLOPE) if jumps else note
        slope = None if jumps else 0.0
        found = self.widening(neurons, {}, predicted=predicted, slope=slope, note=note, solver=solver)
        return replace(found, drawn=drawn)

    def widening(self, neurons: GroupNeurons, deltas: Mapping[str, Tensor], **facts: Any) -> Widening:
        """The candidate with its neurons, and their cost."""
        cost = widening_cost(self.network.graph, self.group, neurons.size)
        return Widening(
            **self.facts(neurons.size, cost, **facts),
            group=self.group,
            weights=neurons,
            deltas=deltas,
            shifts=compensations(self.linked, neurons),
            fan_out_alone=self.policy.scale == "alpha_std",
        )

    def at_newton_step(self, found: Widening, slopes: Sums, along: Tensor) -> Widening:
        """The candidate as large as the curvature along it allows, if that was measured: γ = 1 is then the best γ of
        a quadratic model, by which the loss falls by half of the slope.

        Args:
            along: what it has of each of the slopes that were measured.
        """
        step = newton_step(slopes, found.slope or 0.0, along)
        if step is None:
            return found
        scales = (1.0, step) if found.fan_out_alone else (step**0.5, step**0.5)
        weights = found.weights.scaled(*scales)
        slope = step * (found.slope or 0.0)
        return replace(
            found,
            weights=weights,
            deltas={name: step * delta for name, delta in found.deltas.items()},
            shifts=compensations(self.linked, weights),
            slope=slope,
            predicted=slope / 2,
        )

    def united(self, neurons: Sequence[GroupNeurons]) -> GroupNeurons:
        """The neurons of all parts as those of the group."""
        return neurons[0] if len(neurons) == 1 else united(self.linked, self.parts, neurons)


def _settled(policy: Growth, graph: Graph, group: WidthGroup) -> Growth:
    """The policy with `scale` and `neurons.alike`, whose defaults depend on whether the group has several positions.

    S sums over positions, and so the closed form makes the fan-in smaller, and the fan-out larger, the more there are.
    """
    positions = graph.has_several_positions(group)
    scale, alike = policy.scale, policy.neurons.alike
    if policy.criterion == "gradmax":  # its fan-in is 0: there is nothing to bring to a scale
        scale = "sqrt"
    elif scale == "auto":
        scale = "alpha_std" if positions else "sqrt"
    if alike is None:
        alike = _ALIKE if positions else 1.0
    return policy.model_copy(
        update={"scale": scale, "neurons": policy.neurons.model_copy(update={"alike": alike})}
    )


def _check_effect(graph: Graph, linked: LinkedGroup, policy: Growth) -> None:
    """Refuse new units whose constant share no bias could take back, or whose way cannot be followed."""
    try:
        reason = moves_all_positions(graph, linked)
        if reason is None and policy.scale == "sqrt":
            reason = cannot_be_taken_back(graph, linked, frozen=policy.freeze is not None)
    except GrowthError as error:
        raise InfeasibleError(str(error)) from error
    if reason is not None:
        raise InfeasibleError(reason)


@dataclass(frozen=True)
class SolvedWidening(Solved):
    """A width group with more neurons than are wanted: their exact slopes choose among them."""

    prospect: WideningProspect
    solution: tuple[PartSolution, ...]

    @cached_property
    def parts(self) -> list[NeuronSlopes]:
        """The measures of the neurons of each part."""
        return [
            NeuronSlopes(part, linked, self.prospect.policy)
            for part, linked in zip(self.solution, self.prospect.parts, strict=True)
        ]

    @property
    def watched(self) -> Watched:
        """The layers of the group."""
        linked = self.prospect.linked
        return Watched([*linked.producers, *linked.consumers], parameters=False)

    def batch_slopes(self, seen: Observation) -> Sums:
        """The slopes of each neuron of each part with both signs, and of the delta of each consumer."""
        return {
            name if name[0] == "delta" else (index, *name): value
            for index, part in enumerate(self.parts)
            for name, value in part.of_batch(seen).items()
        }

    def sample_slopes(self, seen: Observation) -> Tensor:
        """The slopes of each neuron of each part with both signs, and of the deltas."""
        return torch.cat([part.of_samples(seen) for part in self.parts], dim=1)

    def measured(self, slopes: Sums) -> Widening | LeftOut:
        """Best sign of each neuron, those of positive slope, the steepest first, as many as wanted.

        If channels come in groups (group norm), a group is chosen and turned as a whole. Of groups that the author has
        tied, the first neuron of each is one neuron, the second is, and so on: their slopes add up.
        """
        prospect, unit = self.prospect, self.prospect.group.unit
        found = [part.in_order(slopes, index, unit) for index, part in enumerate(self.parts)]
        size = min(len(each.slopes) for each in found)
        totals = torch.stack([each.slopes[:size] for each in found]).sum(dim=0)
        count = enough(totals, prospect.neurons // unit, prospect.policy.neurons)
        solver = solver_of(self.solution)
        if count == 0:
            note = joined(*(part.note for part in self.solution))
            return prospect.left_out("no new neuron would lower the loss", solver=solver, note=note)
        neurons = [each.chosen(part.neurons, count) for each, part in zip(found, self.solution, strict=True)]
        notes = [part.note for part in self.solution]
        if count * unit < prospect.neurons:
            few = f"{count * unit} of {prospect.neurons} neurons"
            notes.append(f"{few}: more would not lower the loss enough")
        # A consumer of several parts has one delta; without one these are empty.
        deltas = {name: delta for part in self.solution for name, delta in part.deltas.items()}
        of_deltas = sum(float(slopes["delta", name]) for name in deltas if ("delta", name) in slopes)
        promises = (promised(part, each) for part, each in zip(prospect.parts, neurons, strict=True))
        found_now = prospect.widening(
            prospect.united(neurons),
            deltas if prospect.policy.apply_delta else {},
            predicted=sum(promises) + of_deltas,
            slope=float(totals[:count].sum()) + of_deltas,
            note=joined(*notes),
            solver=solver,
        )
        along = [part.along(each, count) for part, each in zip(self.parts, found, strict=True)]
        return prospect.at_newton_step(found_now, slopes, torch.cat(along))


def promised(linked: LinkedGroup, neurons: GroupNeurons) -> float:
    """σ'(0⁺) Σ λ²: the decrease per unit of γ that the statistics promise (docs/maths.md, "Optimal new neurons")."""
    assert neurons.values is not None  # neurons that were solved for have singular values
    return linked.linear_paths.gain * float(neurons.values.square().sum())


def solver_of(solution: Sequence[PartSolution]) -> str | None:
    """The solvers of all parts."""
    return ", ".join(dict.fromkeys(p.neurons.solver for p in solution if p.neurons.solver != "none")) or None
