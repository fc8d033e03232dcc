"""GrowthScheduler: decides when and where a network grows, and grows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from gromo_graph.amounts import size
from gromo_graph.errors import GrowthError
from gromo_graph.graph import widening_cost
from gromo_graph.growth.candidates.base import Applicable, Proposal
from gromo_graph.growth.candidates.budget import groups_at_once, within
from gromo_graph.growth.candidates.prune import Pruning
from gromo_graph.growth.candidates.widen import Widening
from gromo_graph.growth.explanations import decision_of, why_chosen
from gromo_graph.growth.given_network import growing_network
from gromo_graph.growth.input_moments import InputMoments
from gromo_graph.growth.observe import Loader, Loss, error_rate, mean_loss
from gromo_graph.growth.out_of_memory import SharedMemoryError, out_of_memory
from gromo_graph.growth.planning import Planned, expected_memory, plan_proposals
from gromo_graph.growth.plateau import PlateauWatch
from gromo_graph.growth.policy import gained_little, goal_reached, why_over
from gromo_graph.growth.process_sums import Processes
from gromo_graph.growth.statistics_pass import let_go
from gromo_graph.growth.trials import (
    ZERO,
    Tester,
    Trial,
    gain_per_parameter,
    why_none,
    why_refused,
)
from gromo_graph.modules.measured_module import MeasuredModule
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.draft import install
from gromo_graph.network.optimizers import OptimizerChoice, Optimizers, Untrained, check_coverage
from gromo_graph.network.plain_weights import check_plain_weights
from gromo_graph.network.snapshot import Snapshot as NetworkSnapshot
from gromo_graph.network.snapshot import copied_snapshot
from gromo_graph.records import Candidate, GrowthEvent, Plan
from gromo_graph.spec import dump_spec
from gromo_graph.spec.fragments import growth_of
from gromo_graph.spec.settings import Growth
from gromo_graph.statistics.saved_statistics import Snapshot

# Proposals that are line-searched in one step before it is given up: γ = 0 is an ordinary outcome; and groups in which
# it is tried to take neurons out.
_MOST_TRIES, _MOST_PRUNED = 8, 4


class GrowthScheduler:
    """Grows a network in place, one call of `step` an epoch, inside anyone's training loop.

    Args:
        network: what grows.
        loss: `loss(prediction, target)` -> scalar, the mean over the batch.
        optimizer: one or several, which follow the growth: old weights keep their state, new parameters join the
            group of their like.
        policy: when, where and how much, also as a map as under `growth` in a spec; None takes that section of the
            network's spec.
        epochs: the length of your training, which `until` is a share of; None takes the spec's `train.epochs`.
        on_event: called with each GrowthEvent.
        generator: for neurons drawn at random; None uses torch's global one.
        undoable: keep the network and the optimizer as they were before the last step, so that `undo` can bring them
            back; that takes as much memory as both.
        max_memory: bytes that the statistics of a step may take; before a step that would need more growth ends.
        processes: that grow the network together, each calling `step` with its share of the data; None takes those of
            torch.distributed where it has been initialised. What they decide is one decision.
        untrained: what the optimizers leave out on purpose: parameters, modules, or names of either or of nodes.

    Raises:
        GrowthError: a network that cannot grow, a loss that says it is no mean, a training without length, or
            optimizers that leave trainable parameters out, are for another network, or cannot follow one that grows.

    Attributes:
        reason: why growth is over, or None while it goes on.
        applied: growth steps applied so far.

    >>> import torch
    >>> from gromo_graph import compile_network, parse_spec
    >>> network = compile_network(parse_spec('''
    ... version: 1
    ... name: tiny
    ... nodes:
    ...   x: {kind: input, shape: [3]}
    ...   hidden: {kind: linear, from: x, features: 1, activation: tanh}
    ...   y: {kind: linear, from: hidden, features: 1}
    ... output: y
    ... '''), seed=0)
    >>> x = torch.linspace(-1, 1, 60).reshape(20, 3)
    >>> loader = [(x, x.square().sum(dim=1, keepdim=True))]
    >>> scheduler = GrowthScheduler(network, torch.nn.functional.mse_loss)
    >>> event = scheduler.step(loader, loader)
    >>> event.decision.target, event.loss_after < event.loss_before
    ('hidden', True)
    """

    def __init__(
        self,
        network: GrowingNetwork,
        loss: Loss,
        *,
        optimizer: OptimizerChoice = None,
        policy: Growth | Mapping[str, Any] | None = None,
        epochs: int | None = None,
        on_event: Callable[[GrowthEvent], None] | None = None,
        generator: torch.Generator | None = None,
        undoable: bool = True,
        max_memory: int | None = None,
        processes: Processes | None = None,
        untrained: Untrained = (),
    ) -> None:
        if not isinstance(policy, Growth | Mapping | None):
            raise GrowthError(
                f"policy: found a {type(policy).__name__}, expected a Growth or a map as under `growth` in a spec"
            )
        if getattr(loss, "reduction", "mean") != "mean":
            raise GrowthError(
                f"the loss has reduction={loss.reduction!r}: expected the mean over the batch, reduction='mean'"  # type: ignore[attr-defined]
            )
        if epochs is not None and not epochs > 0:
            raise GrowthError(f"epochs={epochs!r}: expected the length of the training, 1 or more")
        self.network = network = growing_network(network)
        self.loss = loss
        self.policy = network.spec.growth if policy is None else growth_of(policy)
        self.untrained = tuple(untrained)
        self.optimizer = optimizer
        self.epochs = network.spec.train.epochs if epochs is None else epochs
        self.on_event = on_event
        self.generator = generator
        self.undoable = undoable
        self.max_memory = max_memory
        self.processes = Processes.current() if processes is None else processes
        self.reason: str | None = None
        self.applied = 0
        self.epoch = 0
        self._began = time.perf_counter()
        self._plateau = PlateauWatch(self.policy.when)
        self._held_out: Loader | None = None
        self._checked: Loader | None = None
        self._planned_on: Loader | None = None
        self._memory = 0
        self._before_last: NetworkSnapshot | None = None
        self._known = InputMoments()

    @property
    def optimizer(self) -> OptimizerChoice:
        """The optimizers that follow: one, several or None.

        Raises:
            GrowthError: when they are assigned, as for the argument.
        """
        return self._optimizer

    @optimizer.setter
    def optimizer(self, given: OptimizerChoice) -> None:
        given = list(given) if isinstance(given, Iterable) else given
        optimizers = Optimizers(given)
        adds_layers = not {"new_edge", "new_node"}.isdisjoint(self.policy.actions)
        check_coverage(self.network, optimizers, self.untrained, adds_layers=adds_layers)
        self._optimizer, self._optimizers = given, optimizers

    def step(self, train_loader: Loader, validation_loader: Loader) -> GrowthEvent | None:
        """Count one epoch, and try a growth step where one is due.

        Args:
            train_loader: pairs (x, y); read once for the statistics and once for the slopes.
            validation_loader: held-out pairs for the step size; read once for each trial.

        Returns:
            What happened, or None where nothing was due. A step whose statistics do not fit into memory is left out,
            with that as its reason. Where the policy lets several groups grow in one step, each is
            an event of its own, told to `on_event`, and the last one is returned.

        Raises:
            GrowthError: a loader is empty, the loss is no finite scalar, statistics are not finite. The network
                is then as it was.
        """
        self.epoch += 1
        self._held_out = validation_loader
        if self.reason is None:
            self.reason = self._why_over()
        if self.reason is not None:
            return None
        settled = self._plateau.reached(lambda: self._watched(train_loader))
        if not settled or self.epoch % self.policy.when.every:
            return None
        self.reason = self._too_large()
        if self.reason is not None:
            return self._skipped(self.reason)
        started = time.perf_counter()
        try:
            planned = self._planned(train_loader)
        except (RuntimeError, MemoryError) as error:
            known_to_all = self.processes.count == 1 or isinstance(error, SharedMemoryError)
            if not (out_of_memory(error) and known_to_all):
                raise
            return self._skipped(f"the statistics do not fit into memory: {str(error).splitlines()[0]}")
        decided = time.perf_counter()
        event: GrowthEvent | None = None
        for event in self._try_in_order(planned):
            seconds = {"plan": decided - started, "search": time.perf_counter() - decided}
            event = replace(event, time=seconds)
            started = decided = time.perf_counter()
            if event.decision is None and not planned.applicable:
                self.reason = event.reason
            if self.on_event is not None:
                self.on_event(event)
        return event

    def _too_large(self) -> str | None:
        """Why no step can be measured any more: a network that has grown needs no less memory than before."""
        if self.max_memory is None:
            return None
        needed = expected_memory(self.network, self.policy)
        if needed <= self.max_memory:
            return None
        return f"the statistics of a growth step would take {size(needed)}, and {size(self.max_memory)} are allowed"

    def _skipped(self, reason: str) -> GrowthEvent:
        """This step is left out; whatever was gathered for it is dropped."""
        let_go(module for module in self.network.modules() if isinstance(module, MeasuredModule))
        self._memory = 0
        event = self._nothing(reason, self._loss_now(), ())
        if self.on_event is not None:
            self.on_event(event)
        return event

    def plan(self, loader: Loader) -> Plan:
        """All candidates with slopes measured on the loader's samples, best first. Nothing changes.

        Raises:
            GrowthError: as for `step`.
        """
        self._held_out = loader
        planned = self._planned(loader)
        return Plan(tuple(planned.proposals), samples=planned.samples, memory=planned.memory)

    def apply(
        self, candidate: Candidate, gamma: float | None = None, *, loader: Loader | None = None
    ) -> GrowthEvent:
        """Apply a candidate of the last plan.

        Args:
            candidate: from `plan`, of this network as it now stands.
            gamma: the step size; None searches it by the loss over `loader`. Of neurons that are taken out only 1.
            loader: held-out pairs; None takes the one that was planned with.

        Raises:
            GrowthError: the candidate was left out, or belongs to another state of the network.
        """
        self._held_out = loader if loader is not None else self._held_out
        if not isinstance(candidate, Proposal) or self._held_out is None:
            what = f"`{candidate.target}`" if isinstance(candidate, Candidate) else f"{candidate!r}"
            raise GrowthError(f"{what} cannot be applied: expected a candidate of scheduler.plan(loader)")
        if candidate.reason is None and candidate.planned_for is not self.network.graph:
            raise GrowthError(
                f"`{candidate.target}` was planned for another state of the network: call plan(loader) again"
            )
        if not isinstance(candidate, Applicable):
            raise GrowthError(f"`{candidate.target}` cannot be applied: {candidate.reason}")
        before = self._loss_now()
        trial = self._tester(before).trial(candidate, gamma)
        if trial.gamma == 0.0:
            refusal = trial.refusal
            if refusal == ZERO:
                searched = f"no step size lowers the held-out loss of `{candidate.target}`"
                refusal = searched if gamma is None else f"γ = 0 was asked for `{candidate.target}`"
            event = self._nothing(refusal or "", before, ())
        else:
            event = self._applied(trial, before, (candidate,), ())
        if self.on_event is not None:
            self.on_event(event)
        return event

    def undo(self) -> None:
        """Take the last growth step back: network and optimizer are, in place, what they were right before it.

        What was trained since then is lost too. Of a step in which several groups grew the last one is taken back. The
        epochs that were counted stay counted.

        Raises:
            GrowthError: there is no step to take back, or it has been taken back already.
        """
        if self._before_last is None:
            what = (
                "no step has been applied" if self.undoable else "the scheduler was made with undoable=False"
            )
            raise GrowthError(f"there is nothing to undo: {what} (a step is taken back once)")
        self._before_last.restore(self.network, self._optimizers)
        self._before_last = None
        self.applied -= 1
        self.reason = None

    def use(self, policy: Growth, *, epochs: int, same_data: bool = True) -> None:
        """Go on with another policy, in a training of another length; growth that was over may begin again."""
        self.policy, self.epochs, self.reason = policy, epochs, None
        if not same_data:
            self._known.forget()
        self._plateau = PlateauWatch(policy.when)

    def saved(self) -> Snapshot:
        """How far it is, to go on with later: an optimizer and a network are saved by themselves."""
        known = self._known.saved()
        plain = {
            "epoch": self.epoch,
            "applied": self.applied,
            "reason": self.reason,
            "plateau": {"values": self._plateau.values, "seen": self._plateau.seen},
            "seconds": time.perf_counter() - self._began,
            "known": known.plain,
        }
        tensors = {f"known.{name}": tensor for name, tensor in known.tensors.items()}
        if self.generator is not None:
            tensors["generator"] = self.generator.get_state()
        return Snapshot(plain, tensors)

    def restore(self, snapshot: Snapshot) -> None:
        """Go on where it was; with the same data it decides as if nothing had been between."""
        plain, tensors = snapshot.plain, snapshot.tensors
        self.epoch, self.applied, self.reason = plain["epoch"], plain["applied"], plain["reason"]
        self._plateau.values, self._plateau.seen = list(plain["plateau"]["values"]), plain["plateau"]["seen"]
        self._began = time.perf_counter() - plain["seconds"]
        known = {key.removeprefix("known."): t for key, t in tensors.items() if key.startswith("known.")}
        self._known.restore(Snapshot(plain["known"], known))
        if self.generator is not None and "generator" in tensors:
            self.generator.set_state(tensors["generator"])

    def _why_over(self) -> str | None:
        reason = why_over(
            self.network.graph,
            self.policy,
            applied=self.applied,
            epoch=self.epoch,
            epochs=self.epochs,
            seconds=self.processes.number(time.perf_counter() - self._began),
        )
        if reason is None and self.policy.stop.accuracy is not None:
            reason = goal_reached(self._error_now(), self.policy)
        if reason is not None and self._plateau.epochs is not None and not self._plateau.seen:
            reason += f"; {self.policy.when.watch} never came to a plateau of {self._plateau.epochs} epochs"
        return reason

    def _watched(self, train_loader: Loader) -> float:
        if self.policy.when.watch == "validation_error":
            return self._error_now()
        if self.policy.when.watch == "train_loss":
            return mean_loss(self.network, self.loss, train_loader, processes=self.processes)
        return self._loss_now()

    def _error_now(self) -> float:
        assert self._held_out is not None
        return error_rate(self.network, self._held_out, processes=self.processes)

    def _planned(self, loader: Loader) -> Planned:
        check_plain_weights(self.network)
        if self._planned_on is not None and loader is not self._planned_on:
            self._known.forget()
        self._planned_on = loader
        planned = plan_proposals(
            self.network,
            self.loss,
            loader,
            policy=self.policy,
            generator=self.generator,
            known=self._known,
            processes=self.processes,
        )
        self._memory = planned.memory
        return planned

    def _try_in_order(self, planned: Planned) -> Iterator[GrowthEvent]:
        """An event for each candidate that is applied, or one that says why none is."""
        before = self._loss_now()
        proposals = planned.proposals
        waiting = sorted(planned.applicable, key=lambda candidate: not candidate.rescue)
        applied: list[Applicable] = []
        at_once = groups_at_once(self.policy, self.network.graph)
        if self.policy.stop.steps is not None:
            at_once = min(at_once, self.policy.stop.steps - self.applied)
        while len(applied) < at_once and self.reason is None:
            refused: list[Trial] = []
            made = next(self._made(waiting, before, refused), None)
            if made is None:
                if not applied:
                    reason = why_refused(refused) or why_none(planned.left_out)
                    yield self._nothing(reason, before, proposals)
                return
            event = self._applied(made, before, proposals, refused)
            if made.candidate.whole is None:
                self.reason = gained_little(before, event.loss_after, self.policy)
            applied.append(made.candidate)
            yield event
            before = event.loss_after
            tried = {id(trial.candidate) for trial in (made, *refused)}
            waiting = [each for each in waiting if id(each) not in tried and self._goes_with(each, applied)]

    def _made(self, waiting: Sequence[Applicable], before: float, refused: list[Trial]) -> Iterator[Trial]:
        """The trials that nothing speaks against; the others are noted."""
        for trial in self._trials(waiting, before):
            if trial.refusal is None:
                yield trial
            else:
                refused.append(trial)

    def _goes_with(self, proposal: Applicable, applied: Sequence[Applicable]) -> bool:
        """Whether it may still be applied after those, with the same statistics: no layer in common, and affordable."""
        if not isinstance(proposal, Widening) or not all(isinstance(each, Widening) for each in applied):
            return False
        others = {layer for each in applied if isinstance(each, Widening) for layer in _layers(each)}
        graph = self.network.graph
        cost = widening_cost(graph, proposal.group, proposal.neurons)
        return not others & _layers(proposal) and within(graph, cost, self.policy.stop)

    def _trials(self, waiting: Sequence[Applicable], before: float) -> Iterator[Trial]:
        """In the order of the policy; if the realised loss decides, the best of several is the first."""
        growing = [each for each in waiting if not isinstance(each, Pruning)]
        prunings = [each for each in waiting if isinstance(each, Pruning)]
        tries = [*growing[:_MOST_TRIES], *prunings[:_MOST_PRUNED]]
        tester = self._tester(before)
        if self.policy.select == "realised" and waiting and not waiting[0].rescue:
            tried = [tester.trial(each) for each in tries[: self.policy.trials]]
            yield from sorted(tried, key=lambda trial: gain_per_parameter(trial, before), reverse=True)
            return
        yield from map(tester.trial, tries)

    def _tester(self, before: float) -> Tester:
        return Tester(self.network, self.policy, self._loss_of, before)

    def _applied(
        self, trial: Trial, before: float, proposals: Sequence[Proposal], refused: Sequence[Trial]
    ) -> GrowthEvent:
        """Install the draft that was tried, and say what happened."""
        why = why_chosen(trial.candidate, refused, self.policy)
        self._before_last = copied_snapshot(self.network, self._optimizers) if self.undoable else None
        trial.draft.measure(trial.gamma, self._see)
        state = self.policy.optimizer_state
        install(self.network, trial.draft, optimizers=self._optimizers, new_state=state)
        self.applied += 1
        self._plateau.start_again()
        return self._event(
            why, before, proposals, decision=trial.candidate, gamma=trial.gamma, after=self._loss_now()
        )

    def _see(self, network: GrowingNetwork) -> None:
        """Let norms see new channels at their final scale."""
        if self._planned_on is not None:
            mean_loss(network, self.loss, self._planned_on)

    def _loss_now(self) -> float:
        return self._loss_of(self.network)

    def _loss_of(self, network: GrowingNetwork) -> float:
        """The held-out loss."""
        assert self._held_out is not None
        checked = self._held_out is self._checked
        found = mean_loss(network, self.loss, self._held_out, checked=checked, processes=self.processes)
        self._checked = self._held_out
        return found

    def _nothing(self, reason: str, before: float, proposals: Sequence[Proposal]) -> GrowthEvent:
        return self._event(reason, before, proposals, decision=None, gamma=0.0, after=before)

    def _event(
        self,
        reason: str,
        before: float,
        proposals: Sequence[Proposal],
        *,
        decision: Applicable | None,
        gamma: float,
        after: float,
    ) -> GrowthEvent:
        graph = self.network.graph
        return GrowthEvent(
            step=self.applied,
            epoch=self.epoch,
            decision=None if decision is None else decision_of(decision),
            reason=reason,
            gamma=gamma,
            slope=None if decision is None else decision.slope,
            loss_before=before,
            loss_after=after,
            parameters=graph.parameter_count,
            madds=graph.multiply_adds,
            candidates=tuple(proposal.plain() for proposal in proposals),
            spec=dump_spec(self.network.spec),
            memory=self._memory,
        )


def _layers(proposal: Widening) -> set[str]:
    """The layers that a growth of the group changes."""
    return {*proposal.group.producers, *proposal.group.consumers}
