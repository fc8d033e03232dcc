"""All proposals of one moment: statistics in one pass over the data, slopes in another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch

from gromo_graph.algebra import tangent_of
from gromo_graph.growth.candidates.match import Match, MatchSlopes, drawn_pairs, modules_of, solved_pairs
from gromo_graph.growth.candidates.new_head import drawn_head
from gromo_graph.growth.candidates.path_slopes import PathMeasurement
from gromo_graph.growth.candidates.paths import Found, middle_of, solved_paths
from gromo_graph.growth.candidates.proposals import NewPath, Proposal, Pruning, Widening, with_cost
from gromo_graph.growth.candidates.prune import PruneSlope
from gromo_graph.growth.candidates.prune import solved as solved_pruning
from gromo_graph.growth.candidates.slopes import Measurement, NeuronSlopes, chosen, measure, neuron_slopes
from gromo_graph.growth.candidates.widen import (
    Solution,
    compute_delta,
    is_dead,
    random_neurons,
    rescue_size,
    solve_views,
)
from gromo_graph.growth.expected_memory import expected_bytes
from gromo_graph.growth.feasibility import Able, Wide, able_ones
from gromo_graph.growth.nondifferentiable import marked, watching
from gromo_graph.growth.observe import ALONE, Loader, Loss, Watched, is_sized
from gromo_graph.growth.policy import ranked
from gromo_graph.growth.process_sums import Processes
from gromo_graph.growth.statistics_pass import Gathered, InputMoments, gather, let_go, samples_each
from gromo_graph.layers.build import activation_module
from gromo_graph.modules.group import LinkedGroup
from gromo_graph.modules.measured import MeasuredModule
from gromo_graph.modules.neurons import united
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Growth

_NO_SLOPE = "no slope behind a layer norm: judged by the loss"

Result = TypeVar("Result")


@dataclass(frozen=True)
class Planned:
    """All proposals of one moment.

    Attributes:
        proposals: best first, those left out last. samples: that the statistics saw.
        memory: bytes that the statistics took.
    """

    proposals: list[Proposal]
    samples: int = 0
    memory: int = 0


def plan_proposals(
    network: GrowingNetwork,
    loss: Loss,
    loader: Loader,
    *,
    policy: Growth,
    generator: torch.Generator | None,
    known: InputMoments | None = None,
    processes: Processes = ALONE,
) -> Planned:
    """Everything that could be done: solved and measured, or with the reason why it is left out; best first.

    Args:
        known: what earlier plans on the same data have found out about it; this one adds to it.
        processes: that plan together, each with a share of the data: sums are of all, what is solved is the first's.

    Raises:
        GrowthError: an empty loader, a loss that is no finite scalar, statistics that are not finite.
    """
    able = able_ones(network, policy)
    drawn: list[Proposal] = [
        _drawn(network, each, policy, each.proposal.neurons, generator) for each in able.drawn
    ]
    drawn += [drawn_pairs(network, each, generator) for each in able.drawn_pairs]
    if not able.need_statistics:
        return Planned(ranked([*drawn, *able.left_out], policy))
    known = InputMoments() if known is None else known
    work = _Work(network, loss, loader, policy, generator, known, processes)
    found_all = work.done(able)
    proposals = _in_one_order(ranked([*drawn, *found_all, *able.left_out], policy), processes)
    return Planned(proposals, work.samples, work.memory)


def expected_memory(network: GrowingNetwork, policy: Growth) -> int:
    """Bytes that the statistics of a plan would take, from the sizes of the network alone; nothing is changed.

    The activations of a batch, as large as in training, come to it.
    """
    able = able_ones(network, policy)
    if not able.need_statistics:
        return 0
    sums = able.sums(network, policy)
    try:
        return expected_bytes(sums, network.graph)
    finally:
        let_go(sums.modules)


def _in_one_order(proposals: list[Proposal], processes: Processes) -> list[Proposal]:
    """In the order of the first process: slopes that are equal to rounding must not part the others from it."""
    if processes.count == 1:
        return proposals
    known = sorted(proposals, key=lambda proposal: (proposal.kind, proposal.target))
    places = {id(proposal): place for place, proposal in enumerate(known)}
    return [known[place] for place in processes.order([places[id(proposal)] for proposal in proposals])]


def _of_first(solution: Solution, processes: Processes) -> Solution:
    """What the first process has solved: another machine may round otherwise."""
    neurons, deltas = processes.shared((solution.neurons, dict(solution.deltas)))
    return replace(solution, neurons=neurons, deltas=deltas)


@dataclass
class _Work:
    """The two passes over the data, and what is solved between them."""

    network: GrowingNetwork
    loss: Loss
    loader: Loader
    policy: Growth
    generator: torch.Generator | None
    known: InputMoments
    processes: Processes
    samples: int = 0
    memory: int = 0

    def done(self, able: Able) -> list[Proposal]:
        """All of them solved and measured."""
        able = replace(able, paths=[self._with_drawn(path) for path in able.paths])
        sums = able.sums(self.network, self.policy)
        gathered = gather(
            self.network,
            self.loss,
            self.loader,
            sums,
            policy=self.policy,
            known=self.known,
            processes=self.processes,
        )
        self.samples, self.memory = gathered.samples, gathered.memory
        dead = [each for each in able.wide if self.policy.rescue and all(map(is_dead, each.parts))]
        failed: list[Proposal] = []
        alive = self._solved(able.wide, dead, failed)
        found_paths = self._solved_paths(gathered, able.paths, failed)
        pruned = [(self._pruning(p, group), group) for p, group in able.narrow]
        pairs = self._solved_pairs(sums.matches, failed)
        let_go(gathered.modules)
        found = [*failed, *(_rescued(self.network, each, self.policy, self.generator) for each in dead)]
        if self.policy.criterion == "gradmax":
            found += [_as_drawn(self.network, each) for each in alive]
            alive = []
        found += [_unmeasured(self.network, each) for each in alive if each.jumps]
        steep = [each for each in alive if not each.jumps]
        return [*found, *self._measured(gathered, steep, found_paths, pruned, pairs)]

    def _with_drawn(self, path: NewPath) -> NewPath:
        """What a new head compares is drawn beforehand, by the first process for all."""
        if path.kind != "new_head":
            return path
        return replace(path, weights=self.processes.shared(drawn_head(path, self.generator).weights))

    def _solved_pairs(self, matches: Sequence[Match], failed: list[Proposal]) -> list[MatchSlopes]:
        found: list[MatchSlopes] = []
        for match in matches:
            pairs = self._or_failure(partial(solved_pairs, match, self.policy))
            if isinstance(pairs, str):
                failed.append(match.proposal.left_out(pairs))
            else:
                found.append(MatchSlopes(match, self.processes.shared(pairs)))
        return found

    def _solved(self, wide: Sequence[Wide], dead: Sequence[Wide], failed: list[Proposal]) -> list[Wide]:
        """Those that live, with their solutions; what no solver could do is put aside."""
        alive: list[Wide] = []
        for each in wide:
            if each in dead:
                continue
            solved = self._or_failure(partial(self._solutions, each))
            if isinstance(solved, str):
                failed.append(each.proposal.left_out(solved))
                continue
            each.solutions = [_of_first(solution, self.processes) for solution in solved]
            alive.append(each)
        return alive

    def _solutions(self, wide: Wide) -> list[Solution]:
        return [
            solve_views(wide.proposal, part, views, self.policy)
            for part, views in zip(wide.parts, wide.views, strict=True)
        ]

    def _or_failure(self, solver: Callable[[], Result]) -> Result | str:
        """What is solved, or the words for a decomposition that does not converge, in whichever process."""
        found: Result | None = None
        said = "another process"
        try:
            found = solver()
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
            said = str(error).splitlines()[0]
        if self.processes.any(found is None) or found is None:
            return f"its statistics cannot be decomposed: {said}"
        return found

    def _pruning(self, proposal: Pruning, group: LinkedGroup) -> Pruning:
        found = self._or_failure(lambda: solved_pruning(self.network, proposal, group, self.policy))
        if isinstance(found, str):
            return proposal.left_out(found)
        return replace(found, removal=self.processes.shared(found.removal))

    def _solved_paths(
        self, gathered: Gathered, paths: Sequence[NewPath], failed: list[Proposal]
    ) -> list[Found]:
        if any(path.kind in ("new_node", "new_head") for path in paths):
            for layer in gathered.entering:
                if layer.delta_raw is None:  # where that fails the raw gradient is followed
                    self._or_failure(partial(compute_delta, layer, self.policy.ridge))
        found: list[Found] = []
        for reading in gathered.readings:
            own = reading.own(paths)
            solved = self._or_failure(partial(solved_paths, self.network, reading, own, self.policy))
            if isinstance(solved, str):
                failed += [path.left_out(solved) for path in own]
            else:
                found += solved
        return [self._path_of_first(each) for each in found]

    def _path_of_first(self, found: Found) -> Found:
        parts = (found.delta, found.neurons, dict(found.proposal.deltas))
        delta, neurons, deltas = self.processes.shared(parts)
        return replace(found, delta=delta, neurons=neurons, proposal=replace(found.proposal, deltas=deltas))

    def _measured(
        self,
        gathered: Gathered,
        wide: Sequence[Wide],
        paths: Sequence[Found],
        pruned: Sequence[tuple[Pruning, LinkedGroup]],
        pairs: Sequence[MatchSlopes],
    ) -> list[Proposal]:
        neurons = [[neuron_slopes(s, self.policy) for s in each.solutions] for each in wide]
        middle = middle_of(self.network.graph)
        tangent = tangent_of(activation_module(middle.activation))
        on_paths = [
            PathMeasurement(self.network, path, *path.reading.between(middle, tangent)) for path in paths
        ]
        prunes = [PruneSlope(group, p) for p, group in pruned if p.reason is None]
        items: list[Measurement] = [*(m for each in neurons for m in each), *on_paths, *prunes, *pairs]
        found: list[Proposal] = [p for p, _ in pruned if p.reason is not None]
        if not items:
            return found
        members = [m for each in wide for m in (*each.group.producers, *each.group.consumers)]
        members += [m for prune in prunes for m in prune.group.consumers]
        members += modules_of([each.match for each in pairs])
        watched = _watched(members, gathered, bool(paths))
        watched = replace(watched, sums=[*watched.sums, *(each.match.attention for each in pairs)])
        limit = None if is_sized(self.loader) else samples_each(self.policy, self.processes)
        with watching(self.network) as kinks:
            samples = measure(
                self.network,
                self.loss,
                self.loader,
                watched,
                items,
                samples=limit,
                processes=self.processes,
            )
        for each, measured in zip(wide, neurons, strict=True):
            found.append(self._chosen(each, measured, samples))
        found += [path.proposal(samples, self.policy) for path in on_paths]
        found += [prune.measured(samples) for prune in prunes]
        found += [each.proposal(self.network, samples, self.policy) for each in pairs]
        return marked(self.network, found, kinks, self.loader, self.policy, self.processes)

    def _chosen(self, wide: Wide, measured: Sequence[NeuronSlopes], samples: int) -> Widening:
        solved = replace(wide.proposal, solver=_solver_of(wide))
        proposal = chosen(solved, wide.group, measured, samples, self.policy)
        return with_cost(self.network.graph, proposal) if proposal.reason is None else proposal


def _watched(members: Iterable[MeasuredModule], gathered: Gathered, paths: bool) -> Watched:
    """What the second pass looks at."""
    if not paths:
        return Watched(list(dict.fromkeys(members)), parameters=False)
    modules = list(dict.fromkeys([*members, *gathered.targets, *gathered.entering]))
    sources = list(dict.fromkeys(source for reading in gathered.readings for source in reading.sources))
    return Watched(modules, gathered.sums, sources, parameters=False)


def _rescued(
    network: GrowingNetwork, wide: Wide, policy: Growth, generator: torch.Generator | None
) -> Widening:
    drawn = _drawn(network, wide, policy, rescue_size(wide.proposal), generator)
    note = _joined(f"every unit of `{drawn.target}` is dead", drawn.note)
    return replace(drawn, revives=True, note=note)


def _drawn(
    network: GrowingNetwork,
    wide: Wide,
    policy: Growth,
    neurons: int,
    generator: torch.Generator | None,
) -> Widening:
    """Units that change nothing yet: training finds their use."""
    found = [random_neurons(part, policy, neurons, generator) for part in wide.parts]
    weights = found[0] if len(found) == 1 else united(wide.group, wide.parts, found)
    return _without_effect(network, replace(wide.proposal, neurons=neurons, weights=weights), wide)


def _as_drawn(network: GrowingNetwork, wide: Wide) -> Widening:
    """GradMax's units: solved for, but with a fan-in of zero, so that they change nothing yet."""
    found = _first_neurons(wide)
    return (
        _without_effect(network, found, wide)
        if found is not None
        else wide.proposal.left_out("no gradient reaches it")
    )


def _without_effect(network: GrowingNetwork, proposal: Widening, wide: Wide) -> Widening:
    """Of units that change nothing yet the slope is 0; behind a layer norm they do change something."""
    slope, note = (None, _joined(proposal.note, _NO_SLOPE)) if wide.jumps else (0.0, proposal.note)
    return with_cost(network.graph, replace(proposal, predicted=0.0, slope=slope, note=note, drawn=True))


def _unmeasured(network: GrowingNetwork, wide: Wide) -> Widening:
    """Behind a layer norm there is no slope; the realised loss decides."""
    found = _first_neurons(wide)
    if found is None or found.weights is None or found.weights.values is None:
        return wide.proposal.left_out("no new neuron would lower the loss")
    predicted = wide.group.ways.gain * float(found.weights.values.square().sum())
    note = _joined(found.note, _NO_SLOPE)
    return with_cost(network.graph, replace(found, predicted=predicted, slope=None, note=note))


def _first_neurons(wide: Wide) -> Widening | None:
    """As many solved neurons as are wanted, in the order of their singular values; None where there are none."""
    size = min(*(s.neurons.size for s in wide.solutions), wide.proposal.neurons)
    size -= size % wide.proposal.widened.unit
    if size == 0:
        return None
    found = [s.neurons.selected(torch.arange(size, device=s.neurons.device)) for s in wide.solutions]
    weights = found[0] if len(found) == 1 else united(wide.group, wide.parts, found)
    note = _joined(*dict.fromkeys(s.note for s in wide.solutions))
    return replace(wide.proposal, neurons=size, weights=weights, note=note, solver=_solver_of(wide))


def _solver_of(wide: Wide) -> str | None:
    """What its neurons were found by, in all of its parts."""
    found = dict.fromkeys(s.neurons.solver for s in wide.solutions if s.neurons.solver != "none")
    return ", ".join(found) or None


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
