"""All candidates of one moment: statistics in one pass over the data, slopes in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gromo_graph.errors import GrowthError
from gromo_graph.growth.candidates.group_neurons import SPARE_DIRECTIONS
from gromo_graph.growth.candidates.projection import project
from gromo_graph.growth.candidates.propose import Feasible, propose
from gromo_graph.growth.candidates.slope_scores import measure
from gromo_graph.growth.candidates.stages import Applicable, LeftOut, Proposal, Prospect, Solved
from gromo_graph.growth.effort.batch_progress import OnBatch, told
from gromo_graph.growth.effort.decision_cost import DecisionCost, decision_cost, size_of
from gromo_graph.growth.effort.expected_memory import expected_bytes
from gromo_graph.growth.effort.joined_batches import joined_parts
from gromo_graph.growth.effort.sample_parts import SAMPLES_FOR_NORMS, SampleParts, sample_parts, some_samples
from gromo_graph.growth.effort.spending import Allowance
from gromo_graph.growth.input_moments import InputMoments
from gromo_graph.growth.losses import mean_loss
from gromo_graph.growth.nondifferentiable import marked, watching
from gromo_graph.growth.observe import Loader, Loss
from gromo_graph.growth.out_of_memory import SharedMemoryError, out_of_memory
from gromo_graph.growth.pace import UNPACED, Pace
from gromo_graph.growth.policy import ranked, why_not_worth
from gromo_graph.growth.process_sums import ALONE, Processes
from gromo_graph.growth.statistics_pass import Gathered, gather, let_go
from gromo_graph.growth.statistics_sums import curvature_of, sums_of
from gromo_graph.growth.wanted_statistics import Wanted
from gromo_graph.memory_sizes import size
from gromo_graph.modules.growing_module import GrowingModule
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.plain_weights import check_plain_weights
from gromo_graph.spec.settings import Growth

# A curvature of one sample tells nothing of the others.
_FEWEST = 2


@dataclass(frozen=True)
class Planned:
    """All candidates of one moment.

    Attributes:
        applicable: best first. left_out: with the reasons.
        samples: that the statistics saw. memory: bytes that the statistics took.
        madds: multiply-adds that the plan took. waits: why nothing was measured, if it would have cost too much.
    """

    applicable: Sequence[Applicable]
    left_out: Sequence[LeftOut]
    samples: int = 0
    memory: int = 0
    madds: float = 0.0
    waits: str | None = None

    @property
    def proposals(self) -> list[Proposal]:
        """All of them, those left out last."""
        return [*self.applicable, *self.left_out]


def plan_proposals(
    network: GrowingNetwork,
    loss: Loss,
    loader: Loader,
    *,
    policy: Growth,
    generator: torch.Generator | None,
    known: InputMoments | None = None,
    processes: Processes = ALONE,
    pace: Pace = UNPACED,
    allowance: Allowance | None = None,
    on_batch: OnBatch | None = None,
    training_samples: int | None = None,
) -> Planned:
    """Everything that could be done: solved and measured, or with the reason why it is left out; best first.

    Args:
        known: what earlier plans on the same data have found out about it; this one adds to it.
        processes: that plan together, each with a share of the data: sums are of all, solutions are the first's.
        pace: how many neurons are due.
        allowance: multiply-adds that the plan may take; None for any number.
        on_batch: told how far each pass is, "statistics 3 of 12 batches".
        training_samples: of the training, for `select: information`; None takes those of the statistics.

    Raises:
        GrowthError: an empty loader, a loss that is no finite scalar, statistics that are not finite.
    """
    feasible = propose(network, policy, pace)
    drawn: list[Applicable] = [each.drawn(generator) for each in feasible.drawn]
    if not feasible.prospects:
        return Planned(ranked(drawn, policy, pace), feasible.left_out)
    cost = _cost(network, feasible, policy)
    samples = cost.needed if allowance is None else allowance.samples(cost)
    if not samples and allowance is not None:
        return Planned(ranked(drawn, policy, pace), feasible.left_out, waits=allowance.why_it_waits(cost))
    size_of_sample = size_of(samples, policy)
    of_each = size_of_sample.of_each(processes.count)
    parts = told(sample_parts(loader, size_of_sample, processes.count), of_each.slopes, on_batch)
    if size_of_sample.total is not None and policy.statistics.error is None:
        parts = joined_parts(parts, network, loss)
    passes = _Passes(network, loss, parts, policy, generator, processes)
    gathered = passes.statistics(feasible.prospects, InputMoments() if known is None else known)
    judged = passes.solutions(feasible.prospects, gathered)
    let_go(gathered.sums.watched().modules)
    settled = [*drawn, *passes.settled(judged)]
    evidence = gathered.samples if training_samples is None else training_samples
    worth = [_if_worth(each, policy, evidence) for each in settled if isinstance(each, Applicable)]
    applicable = [each for each in worth if isinstance(each, Applicable)]
    left_out = [each for each in (*worth, *settled, *feasible.left_out) if isinstance(each, LeftOut)]
    in_order = _in_one_order(ranked(applicable, policy, pace, evidence), processes)
    return Planned(in_order, left_out, gathered.samples, gathered.memory, cost.of(gathered.samples))


def _if_worth(candidate: Applicable, policy: Growth, samples: int) -> Applicable | LeftOut:
    """The candidate if it pays with so many samples of the training, else why it does not."""
    why = why_not_worth(candidate, policy, samples)
    if why is None:
        return candidate
    note, planned_for = candidate.note, candidate.planned_for
    return LeftOut(candidate.kind, candidate.target, reason=why, note=note, planned_for=planned_for)


def expected_memory(network: GrowingNetwork, policy: Growth, *, samples: int | None = None) -> int:
    """Bytes that the statistics of a plan would take, from the sizes of the network alone; nothing is changed.

    The activations of a batch, as large as in training, come to it.

    Args:
        samples: as many as there are for the statistics; None takes what the policy asks for.
    """
    feasible = propose(network, policy)
    if not feasible.prospects:
        return 0
    if samples is None:
        samples = size_of(_cost(network, feasible, policy).needed, policy).statistics
    sums = sums_of(network, _wanted(feasible.prospects), policy, samples)
    try:
        return expected_bytes(sums, network, samples)
    finally:
        let_go(sums.modules)


def _cost(network: GrowingNetwork, feasible: Feasible, policy: Growth) -> DecisionCost:
    tried = SPARE_DIRECTIONS + max(each.neurons for each in feasible.prospects)
    return decision_cost(network.graph, _wanted(feasible.prospects).groups, policy, tried)


def _wanted(prospects: Sequence[Prospect[Any]]) -> Wanted:
    return Wanted.union([each.wanted() for each in prospects])


class Planner:
    """Plans on the data of a training, and remembers from one plan to the next what does not change.

    Args:
        loss: the mean over a batch. generator: for weights that are drawn.
        max_memory: bytes that the statistics may take; None for any number. processes: that plan together.

    Attributes:
        known: second moments of the network's inputs.
        memory: bytes that the statistics of the last plan took.
        on_batch: told how far each pass is.
        training_samples: of the training, None while they are not known.
    """

    def __init__(
        self,
        loss: Loss,
        generator: torch.Generator | None,
        max_memory: int | None,
        processes: Processes,
    ) -> None:
        self.loss, self.generator = loss, generator
        self.max_memory, self.processes = max_memory, processes
        self.known = InputMoments()
        self.on_batch: OnBatch | None = None
        self.training_samples: int | None = None
        self.memory = 0
        self._loader: Loader | None = None
        self._shown: Loader | None = None

    def plan(
        self,
        network: GrowingNetwork,
        loader: Loader,
        policy: Growth,
        pace: Pace = UNPACED,
        allowance: Allowance | None = None,
    ) -> Planned:
        """All candidates; as for `plan_proposals`.

        Raises:
            GrowthError: as for `plan_proposals`; weights that are computed from others.
        """
        check_plain_weights(network)
        if self._loader is not None and loader is not self._loader:
            self.known.forget()
        self._loader = loader
        self._shown = (
            loader if policy.counts_epochs else some_samples(loader, SAMPLES_FOR_NORMS, self.processes.count)
        )
        planned = plan_proposals(
            network,
            self.loss,
            loader,
            policy=policy,
            generator=self.generator,
            known=self.known,
            processes=self.processes,
            pace=pace,
            allowance=allowance,
            on_batch=self.on_batch,
            training_samples=self.training_samples,
        )
        self.memory = planned.memory
        return planned

    def too_large(self, network: GrowingNetwork, policy: Growth) -> str | None:
        """Say why no step can be measured any more: a network that has grown needs no less memory."""
        if self.max_memory is None:
            return None
        needed = expected_memory(network, policy)
        if needed <= self.max_memory:
            return None
        allowed = size(self.max_memory)
        return f"the statistics of a growth step would take {size(needed)}, and {allowed} are allowed"

    def does_not_fit(self, error: Exception) -> str | None:
        """Say why a plan failed, if all processes know that memory is too small; None for other errors."""
        known_to_all = self.processes.count == 1 or isinstance(error, SharedMemoryError)
        if not (out_of_memory(error) and known_to_all):
            return None
        return f"the statistics do not fit into memory: {str(error).splitlines()[0]}"

    def drop(self, network: GrowingNetwork) -> None:
        """Drop whatever was gathered for a plan that was given up."""
        let_go(module for module in network.modules() if isinstance(module, GrowingModule))
        self.memory = 0

    def show(self, network: GrowingNetwork) -> None:
        """Let the norms of a draft see some of the data that were planned on."""
        if self._shown is not None:
            mean_loss(network, self.loss, self._shown)


@dataclass(frozen=True)
class _Passes:
    """The two passes over the data, and the solutions between them."""

    network: GrowingNetwork
    loss: Loss
    parts: SampleParts
    policy: Growth
    generator: torch.Generator | None
    processes: Processes

    def statistics(self, prospects: Sequence[Prospect[Any]], known: InputMoments) -> Gathered:
        """The first pass: everything that the prospects are solved from."""
        for each in prospects:
            each.draw(self.generator, self.processes)
        samples = self.parts.samples
        expected = None if samples is None else samples * self.processes.count
        gathered = gather(
            self.network,
            self.loss,
            self.parts.statistics,
            sums_of(
                self.network,
                _wanted(prospects),
                self.policy,
                expected,
                alone=self.processes.count == 1,
            ),
            policy=self.policy,
            known=known,
            processes=self.processes,
        )
        if self.policy.criterion == "natural" and gathered.samples < _FEWEST:
            raise GrowthError(
                f"`criterion: natural` found {gathered.samples} sample for its curvature: expected at least {_FEWEST}, "
                "and for slopes that can be trusted a few hundred"
            )
        project(self.network, self.loss, self.parts.statistics, gathered, self.policy, self.processes)
        return gathered

    def solutions(
        self, prospects: Sequence[Prospect[Any]], gathered: Gathered
    ) -> list[Solved | Applicable | LeftOut]:
        """Each prospect with its solution; if a decomposition converges in no way, it is left out.

        All processes take the solution of the first, for another machine may round otherwise.
        """
        return [self._solved(prospect, gathered) for prospect in prospects]

    def _solved(self, prospect: Prospect[Any], gathered: Gathered) -> Solved | Applicable | LeftOut:
        solution, said = None, "another process"
        try:
            solution = prospect.solve(gathered)
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
            said = str(error).splitlines()[0]
        if self.processes.any(solution is None):
            return prospect.left_out(f"its statistics cannot be decomposed: {said}")
        return prospect.judged(self.processes.shared(solution), gathered, self.generator)

    def settled(self, judged: Sequence[Solved | Applicable | LeftOut]) -> list[Applicable | LeftOut]:
        """The second pass: the slopes of what is solved, and what follows from them; the others come first."""
        settled = [each for each in judged if not isinstance(each, Solved)]
        solved = [each for each in judged if isinstance(each, Solved)]
        if not solved:
            return settled
        loader = self.parts.slopes
        with watching(self.network) as kinks:
            slopes = measure(
                self.network,
                self.loss,
                loader,
                solved,
                processes=self.processes,
                curvature=curvature_of(self.policy),
            )
        found = [each.measured(means) for each, means in zip(solved, slopes, strict=True)]
        return [*settled, *marked(self.network, found, kinks, loader, self.policy, self.processes)]


def _in_one_order(proposals: Sequence[Applicable], processes: Processes) -> Sequence[Applicable]:
    """Sort as the first process does: slopes that are equal to rounding must not give processes different orders."""
    if processes.count == 1:
        return proposals
    known = sorted(proposals, key=lambda proposal: (proposal.kind, proposal.target))
    places = {id(proposal): place for place, proposal in enumerate(known)}
    return [known[place] for place in processes.order([places[id(proposal)] for proposal in proposals])]
