"""The growth of a network: what is known of it so far, and one step of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch

from gromo_graph.graph.growth_goals import over_budget, used_budgets
from gromo_graph.growth.effort.latency import MILLISECONDS, Latency
from gromo_graph.growth.effort.spending import Allowance, Spending
from gromo_graph.growth.observe import Loader, Loss
from gromo_graph.growth.pace import UNPACED, Pace, growing_groups, tick_pace
from gromo_graph.growth.planning import Planned, Planner
from gromo_graph.growth.process_sums import Processes
from gromo_graph.growth.scheduler_checks import check_trains_something
from gromo_graph.growth.steps.attempts import Attempts
from gromo_graph.growth.steps.commit import Commit
from gromo_graph.growth.steps.held_out import HeldOut
from gromo_graph.growth.steps.trials import reasons_of, why_refused
from gromo_graph.growth.steps.trying import Trying, tester_of
from gromo_graph.growth.steps.undo import LastStep
from gromo_graph.growth.stopping import goal_reached, too_slow
from gromo_graph.growth.ticks.filling import Filler
from gromo_graph.growth.ticks.timekeeper import Timekeeper
from gromo_graph.growth.ticks.trimming import Excess, trims
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.optimizers import (
    OptimizerChoice,
    Optimizers,
    Untrained,
    check_coverage,
    parameters_of,
)
from gromo_graph.network.shrinking import Shrinking
from gromo_graph.records import GrowthEvent
from gromo_graph.spec.settings import Growth
from gromo_graph.statistics.saved_statistics import Snapshot


class Growing:
    """A network that grows, with the state of its growth.

    Args:
        time: the clock of the training. The others are those of `GrowthScheduler`.

    Attributes:
        policy: that growth goes by; its budgets are `beyond` times those that are written.
        reason: why growth is over, or None while it goes on.
        latency: the times of forward passes, if the policy ends growth by them.
        recorded_steps: growth steps that an earlier run has made within its seconds, which count again.
    """

    def __init__(
        self,
        network: GrowingNetwork,
        loss: Loss,
        *,
        policy: Growth,
        time: Timekeeper,
        optimizer: OptimizerChoice,
        untrained: Untrained,
        new: Untrained,
        on_event: Callable[[GrowthEvent], None] | None,
        on_batch: Callable[[str], None] | None,
        generator: torch.Generator | None,
        max_memory: int | None,
        processes: Processes,
        undoable: bool,
    ) -> None:
        self.network, self.loss, self._written, self._time = network, loss, policy, time
        self.policy = time.policy
        self.untrained, self._new = tuple(untrained), parameters_of(network, new, "new")
        self.on_event, self.generator, self.processes = on_event, generator, processes
        self.optimizer = optimizer
        self.reason = self._why_never()
        check_trains_something(network.graph, policy, self._optimizers, self.reason)
        self._first_widths = {group.target: group.features for group in network.graph.groups}
        self._held_out = HeldOut(loss, processes)
        self._planner = Planner(loss, generator, max_memory, processes)
        self._planner.on_batch = on_batch
        self._spending = Spending()
        self.latency = Latency()
        self.recorded_steps = 0
        self._last_step = LastStep(undoable=undoable)
        self._pruned = False  # on the way back to the budget

    @property
    def epoch(self) -> int | None:
        """Epochs that are over; None if training steps are counted and nobody said how many are an epoch."""
        return self._time.epoch

    @property
    def epochs(self) -> int:
        """The length of the training, in epochs."""
        return self._time.epochs

    @property
    def applied(self) -> int:
        """Growth steps applied so far."""
        return self._time.applied

    @property
    def is_over(self) -> bool:
        """True if the network does not grow any more."""
        now = self._time
        over = self.reason is not None or now.clock.over(now.moment) is not None
        return over and now.moment >= max(self._trims, default=0)

    @property
    def _trims(self) -> tuple[int, ...]:
        """The moments at which the network is pruned back to its budget."""
        return trims(self._written, self._time.clock)

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
        optimizers = Optimizers(given, warm_up=self._time.warm_up)
        adds_layers = not {"new_edge", "new_node", "deepen", "adapt"}.isdisjoint(self.policy.actions)
        check_coverage(self.network, optimizers, self.untrained, adds_layers=adds_layers)
        if self.policy.freeze is None:
            optimizers.thaw()
        else:
            optimizers.freeze_old(getattr(self, "_optimizers", Optimizers()), self._new)
        self._optimizer, self._optimizers = given, optimizers

    def _grow(self, loader: Callable[[], Loader], filler: Filler) -> Iterator[GrowthEvent]:
        """One growth step; an event for each candidate that is applied."""
        groups = growing_groups(self.network.graph, self.policy)
        if self.policy.actions == ("widen",) and filler.pace.is_kept(groups):
            return
        self.reason = self._planner.too_large(self.network, self.policy)
        if self.reason is not None:
            yield self._skipped(self.reason)
            return
        started = time.perf_counter()
        self._spending.settle(self.network.graph.multiply_adds)
        self._planner.training_samples = self._training_samples()
        shrinking = Shrinking(self.network, self.policy.shrink)
        with shrinking.taken_back_by_errors():
            planned = self._planned(loader, self.policy, filler.pace, self._allowance())
        if isinstance(planned, str):
            shrinking.take_back()
            yield self._skipped(planned)
            return
        if planned.waits is not None and not filler.is_last:
            shrinking.take_back()
            yield self._skipped(planned.waits)
            return
        decided = time.perf_counter()
        trying = Trying(self._commit(), self._last_step, shrinking)
        for event in trying.events(planned, filler):
            self.reason = trying.over
            seconds = {"plan": decided - started, "search": time.perf_counter() - decided}
            if self.policy.stop.milliseconds is not None and event.decision is not None:
                seconds[MILLISECONDS] = self._milliseconds()
            yield self._told(replace(event, time=seconds))
            started = decided = time.perf_counter()
            # The samples of another tick may find what these did not, if there is anything that could grow.
            final = self.policy.counts_epochs or not groups
            if final and event.decision is None and not planned.applicable and not filler.due():
                self.reason = event.reason

    def _trim(self, loader: Callable[[], Loader]) -> Iterator[GrowthEvent]:
        """Take neurons out until the network is as small as it should be at this moment; an event for each group."""
        now = self._time
        left = sum(moment >= now.moment for moment in self._trims)
        excess = Excess.at(self.network.graph, self._written.stop, left)
        self._spending.settle(self.network.graph.multiply_adds)
        commit, before, failed, losses = self._commit(), now.applied, None, None
        while excess.is_over(self.network.graph):
            started = time.perf_counter()
            policy = excess.pruning(self.network.graph)
            planned = self._planner.too_large(self.network, policy) or self._planned(loader, policy)
            if isinstance(planned, str):
                failed = planned
                break
            losses = commit.losses_of(self.network) if losses is None else losses
            attempts = Attempts(excess.in_order(self.network.graph, planned.applicable), policy)
            trial = attempts.next(tester_of(replace(commit, policy=policy), losses))
            if trial is None:
                failed = why_refused(attempts.refused) or reasons_of(planned.left_out)
                break
            if now.applied == before:
                self._last_step.keep(commit)
            done = commit.applied(trial, losses, planned.proposals)
            losses = done.losses
            yield self._told(replace(done.event, time={"plan": time.perf_counter() - started}))
        if failed is not None:
            yield self._skipped(failed)
        self._pruned = self._pruned or now.applied > before
        if left == 1 and failed is not None:
            self.reason = f"over budget: {self._used}, and no more can be taken out: {failed}"
        elif left == 1 and self._pruned:
            self.reason = f"pruned back to the budget: {self._used}"

    @property
    def outcome(self) -> str | None:
        """Why growth is over, at the end of a training that may have ended too early for it."""
        waiting = self._time.moment < max(self._trims, default=0)
        if waiting and Excess.at(self.network.graph, self._written.stop, 1).is_over(self.network.graph):
            return f"over budget: {self._used}: the training ended before the network was pruned back to it"
        return self.reason

    @property
    def _used(self) -> str:
        """The used part of the budgets that are written."""
        return ", ".join(used_budgets(self.network.graph, self._written.stop))

    def _planned(
        self,
        loader: Callable[[], Loader],
        policy: Growth,
        pace: Pace = UNPACED,
        allowance: Allowance | None = None,
    ) -> Planned | str:
        """A plan, whose cost is counted; why there is none if its statistics do not fit into memory."""
        try:
            planned = self._planner.plan(self.network, loader(), policy, pace, allowance)
        except (RuntimeError, MemoryError) as error:
            reason = self._planner.does_not_fit(error)
            if reason is None:
                raise
            return reason
        self._spending.decided += planned.madds
        return planned

    def _allowance(self) -> Allowance | None:
        """The multiply-adds that deciding may still take, in all processes; None for any number."""
        trained = self.processes.number(self._spending.trained) * self.processes.count
        return Spending(trained, self._spending.decided).allowance(self.policy)

    def _training_samples(self) -> int | None:
        """Samples of an epoch in all processes, from those that were trained on so far, if the policy goes by them."""
        if self.policy.select != "information":
            return None
        epochs = self._time.fraction_of_epochs
        seen = self.processes.number(self._spending.settled) * self.processes.count
        return round(seen / epochs) if seen and epochs else None

    def _filler(self) -> Filler:
        """The neurons that are due at this tick."""
        graph, left, first = self.network.graph, self._time.ticks_left, self._first_widths
        first.update({group.target: group.features for group in graph.groups if group.target not in first})
        # How much pays `information` says itself; and ranks of adapters keep no proportions.
        unpaced = self.policy.select == "information" or "adapt" in self.policy.actions
        pace = UNPACED if left is None or unpaced else tick_pace(graph, self.policy, first, left)
        return Filler(self.network, self.policy, self.generator, pace, left == 1)

    def _why_never(self) -> str | None:
        """Say why nothing can grow, if it is known before the training."""
        return None if self.policy.counts_epochs else over_budget(self.network.graph, self.policy)

    def _told(self, event: GrowthEvent) -> GrowthEvent:
        if self.on_event is not None:
            self.on_event(event)
        return event

    def _skipped(self, reason: str) -> GrowthEvent:
        """This step is left out; whatever was gathered for it is dropped."""
        self._planner.drop(self.network)
        commit = self._commit()
        return self._told(commit.nothing(reason, commit.losses_of(self.network), ()))

    def saved(self) -> Snapshot:
        """The state of growth, to go on with later: an optimizer and a network are saved by themselves."""
        known = self._planner.known.saved()
        plain = {**self._time.saved(), "reason": self.reason, "known": known.plain}
        plain["widths"], plain["spending"] = dict(self._first_widths), self._spending.saved()
        plain["pruned"] = self._pruned
        plain["milliseconds"] = {str(step): time for step, time in self.latency.known.items()}
        tensors = {f"known.{name}": tensor for name, tensor in known.tensors.items()}
        if self.generator is not None:
            tensors["generator"] = self.generator.get_state()
        return Snapshot(plain, tensors)

    def restore(self, snapshot: Snapshot) -> None:
        """Go on where it was; with the same data it decides as if nothing had been between."""
        plain, tensors = snapshot.plain, snapshot.tensors
        self._time.restore(plain)
        self._first_widths = dict(plain.get("widths", self._first_widths))
        self._spending = Spending(**plain.get("spending", {}))
        self.latency.known = {int(step): time for step, time in plain.get("milliseconds", {}).items()}
        self.reason, self._pruned = plain["reason"], plain.get("pruned", False)
        known = {key.removeprefix("known."): t for key, t in tensors.items() if key.startswith("known.")}
        self._planner.known.restore(Snapshot(plain["known"], known))
        if self.generator is not None and "generator" in tensors:
            self.generator.set_state(tensors["generator"])

    def _why_over(self, *, ahead: int = 0) -> str | None:
        again = self._time.applied < self.recorded_steps
        reason = self._time.why_over(self.network.graph, self.processes, ahead=ahead, in_time=again)
        if reason is None and self.policy.stop.accuracy is not None:
            reason = goal_reached(self._held_out.error_of(self.network), self.policy)
        if reason is None and self.policy.stop.milliseconds is not None:
            reason = too_slow(self._milliseconds(), self.policy)
        return None if reason is None else reason + self._time.never_flat()

    def _milliseconds(self) -> float:
        return self.latency.of(self.network, self.applied, self.processes)

    def _commit(self) -> Commit:
        return Commit(
            network=self.network,
            policy=self.policy,
            optimizers=self._optimizers,
            planner=self._planner,
            held_out=self._held_out,
            time=self._time,
        )
