"""GrowthScheduler: decides when and where a network grows, and grows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import replace
from functools import partial
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from gromo_graph.errors import GraphError, GrowthError
from gromo_graph.graph.growth_goals import check_goals
from gromo_graph.growth.candidates.stages import Applicable, Proposal
from gromo_graph.growth.effort.sample_parts import samples_of
from gromo_graph.growth.effort.sample_size import samples_for
from gromo_graph.growth.effort.spending import Allowance, Spending
from gromo_graph.growth.given_network import growing_network
from gromo_graph.growth.losses import HeldOut
from gromo_graph.growth.means import check_loss
from gromo_graph.growth.observe import Loader, Loss
from gromo_graph.growth.pace import UNPACED, growing_groups, tick_pace
from gromo_graph.growth.planning import Planner
from gromo_graph.growth.policy import order_words
from gromo_graph.growth.process_sums import Processes
from gromo_graph.growth.steps.commit import Commit
from gromo_graph.growth.steps.trials import ZERO
from gromo_graph.growth.steps.trying import Trying, tester_of
from gromo_graph.growth.steps.undo import LastStep
from gromo_graph.growth.stopping import can_grow, goal_reached, over_budget
from gromo_graph.growth.ticks.filling import Filler
from gromo_graph.growth.ticks.recent_batches import RecentBatches
from gromo_graph.growth.ticks.timekeeper import Timekeeper
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.optimizers import (
    OptimizerChoice,
    Optimizers,
    Untrained,
    check_coverage,
    parameters_of,
)
from gromo_graph.network.shrinking import Shrinking
from gromo_graph.records import Candidate, GrowthEvent, Plan
from gromo_graph.spec.fragments import growth_of
from gromo_graph.spec.settings import Growth, Stop
from gromo_graph.statistics.saved_statistics import Snapshot

# Samples of batches just seen that are kept if the policy names no number.
_MOST_KEPT = 4096


class GrowthScheduler:
    """Grows a network in place, inside anyone's training loop: by a call of `after_batch` after each training step, or
    of `step` after each epoch.

    Args:
        network: what grows.
        loss: `loss(prediction, target)` -> scalar, the mean over the batch.
        optimizer: one or several, which follow the growth: old weights keep their state, new parameters join the
            group of their like.
        policy: when, where and how much, also as a map as under `growth` in a spec; None takes that section of the
            network's spec.
        epochs: the length of your training, which `until` is a share of; None takes the spec's `train.epochs`.
        training_steps: the same in steps of the optimizer, which `after_batch` counts; None takes `epochs` times the
            length of the loader `statistics`.
        statistics: pairs (x, y) that `after_batch` gathers statistics from, or a function that gives them for the
            number of a tick; never the loader that is being trained on, whose epoch would end. None takes the batches
            that `after_batch` has just been given.
        on_event: called with each GrowthEvent.
        on_batch: called before each batch of a plan with the place in it, "statistics 3 of 12 batches".
        generator: for neurons drawn at random; None uses torch's global one.
        undoable: keep the network and the optimizer as they were before the last step, so that `undo` can bring them
            back; that takes as much memory as both.
        max_memory: bytes that the statistics of a step may take; before a step that would need more growth ends.
        processes: that grow the network together, each calling `step` with its share of the data; None takes those of
            torch.distributed where it has been initialised. What they decide is one decision.
        untrained: what the optimizers leave out on purpose: parameters, modules, or names of either or of nodes.
        new: with `freeze: old` in the policy, what is trained although it is there already, such as outputs for new
            classes, given as for `untrained`. All else that is there is old.

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
        new: Untrained = (),
        training_steps: int | None = None,
        statistics: Loader | Callable[[int], Loader] | None = None,
        on_batch: Callable[[str], None] | None = None,
    ) -> None:
        if not isinstance(policy, Growth | Mapping | None):
            raise GrowthError(
                f"policy: found a {type(policy).__name__}, expected a Growth or a map as under `growth` in a spec"
            )
        check_loss(loss)
        if epochs is not None and not (isinstance(epochs, Real) and epochs > 0):
            raise GrowthError(f"epochs={epochs!r}: expected the length of the training, 1 or more")
        if training_steps is not None and not training_steps > 0:
            raise GrowthError(
                f"training_steps={training_steps!r}: expected the steps of the optimizer in the whole training, 1 or "
                "more"
            )
        self.network = network = growing_network(network)
        self.loss = loss
        self.policy = network.spec.growth if policy is None else growth_of(policy)
        _check_stop(self.policy.stop)
        _check_goals(network, self.policy)
        self.untrained = tuple(untrained)
        self.on_event = on_event
        self.generator = generator
        self.processes = Processes.current() if processes is None else processes
        self.statistics = statistics
        self.epochs = network.spec.train.epochs if epochs is None else epochs
        self._time = Timekeeper(self.policy, self.epochs, self._steps(training_steps))
        self._new = parameters_of(network, new, "new")
        self.optimizer = optimizer
        self.reason = self._why_never()
        self._check_trains_something()
        self._first_widths = {group.target: group.features for group in network.graph.groups}
        self._recent = RecentBatches(samples_for(self.policy).total or _MOST_KEPT)
        self._held_out = HeldOut(loss, self.processes)
        self._planner = Planner(loss, generator, max_memory, self.processes)
        self._planner.on_batch = on_batch
        self._spending = Spending()
        self._last_step = LastStep(undoable=undoable)

    @property
    def epoch(self) -> int:
        """Epochs that are over."""
        return self._time.done.epochs

    @property
    def applied(self) -> int:
        """Growth steps applied so far."""
        return self._time.applied

    @property
    def is_over(self) -> bool:
        """True if the network does not grow any more."""
        now = self._time
        return self.reason is not None or now.clock.over(now.moment) is not None

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

    def step(self, train_loader: Loader, validation_loader: Loader) -> GrowthEvent | None:
        """Count one epoch, and try a growth step if one is due.

        Args:
            train_loader: pairs (x, y); read once for the statistics and once for the slopes.
            validation_loader: held-out pairs for the step size; read once for each trial.

        Returns:
            What happened, or None if nothing was due. A step whose statistics do not fit into memory is left out,
            with that as its reason. Where the policy lets several groups grow in one step, each is
            an event of its own, told to `on_event`, and the last one is returned.

        Raises:
            GrowthError: a loader is empty, the loss is no finite scalar, statistics are not finite. The network
                is then as it was.
        """
        self._time.count_epoch()
        self._spending.samples += samples_of(train_loader) or 0
        self._held_out.loader = validation_loader
        events = self._at_this_moment(lambda: train_loader)
        return events[-1] if events else None

    def after_batch(self, x: Any, y: Tensor, validation_loader: Loader) -> tuple[GrowthEvent, ...]:
        """Count one training step, and try growth if a tick is due; call it after the optimizer's step.

        The loader that is being trained on is not touched: statistics come from the batches that were given here, or
        from `statistics`.

        Args:
            x, y: the batch that was just trained on; several inputs are a tuple.
            validation_loader: held-out pairs for the step size; read once for each trial.

        Returns:
            What happened, an event for each group that grew; empty if no tick was due.

        Raises:
            GrowthError: as for `step`; or the length of the training is not known.

        >>> import torch
        >>> from gromo_graph import GrowthScheduler, compile_network, parse_spec
        >>> network = compile_network(parse_spec('''
        ... nodes:
        ...   x: {kind: input, shape: [3]}
        ...   hidden: {kind: linear, from: x, features: 1, activation: tanh}
        ...   y: {kind: linear, from: hidden, features: 1}
        ... output: y
        ... growth: {when: {until: 0.5, steps: 2}, stop: {parameters: 26}}
        ... '''), seed=0)
        >>> x = torch.linspace(-1, 1, 60).reshape(20, 3)
        >>> batches = [(part, part.square().sum(dim=1, keepdim=True)) for part in x.split(5)]
        >>> optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        >>> loss = torch.nn.functional.mse_loss
        >>> scheduler = GrowthScheduler(network, loss, optimizer=optimizer, training_steps=2 * len(batches))
        >>> for epoch in range(2):
        ...     for x, y in batches:
        ...         optimizer.zero_grad()
        ...         loss(network(x), y).backward()
        ...         optimizer.step()
        ...         for event in scheduler.after_batch(x, y, batches):
        ...             print(event.batch, event.decision.target, event.parameters)
        2 hidden 16
        4 hidden 26
        """
        gone_on = self._time.count_step()
        self._spending.samples += len(y)
        self._held_out.loader = validation_loader
        if self.reason is None and self.statistics is None:
            self._recent.add(x, y)
        events = self._at_this_moment(self._statistics_now) if gone_on else ()
        if self.reason is not None:
            self._recent.clear()
        return events

    def _at_this_moment(self, loader: Callable[[], Loader]) -> tuple[GrowthEvent, ...]:
        """Try growth if it is due now.

        Args:
            loader: gives the pairs for the statistics.
        """
        now = self._time
        if not now.clock.looks(now.moment):
            return ()
        if self.reason is None:
            self.reason = self._why_over()
        if self.reason is not None:
            return ()
        watched = partial(self._watched, loader)
        if not now.is_due(watched):
            return ()
        now.done.ticks += 1
        events = tuple(self._grow(loader, self._filler()))
        if now.ticks_left == 1 and self.reason is None:
            self.reason = self._why_over(ahead=1)
        return events

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
        try:
            with shrinking.taken_back_by_errors():
                planned = self._planner.plan(
                    self.network, loader(), self.policy, filler.pace, self._allowance()
                )
        except (RuntimeError, MemoryError) as error:
            reason = self._planner.does_not_fit(error)
            if reason is None:
                raise
            yield self._skipped(reason)
            return
        self._spending.decided += planned.madds
        if planned.waits is not None and not filler.is_last:
            shrinking.take_back()
            yield self._skipped(planned.waits)
            return
        decided = time.perf_counter()
        trying = Trying(self._commit(), self._last_step, shrinking)
        for event in trying.events(planned, filler):
            self.reason = trying.over
            seconds = {"plan": decided - started, "search": time.perf_counter() - decided}
            yield self._told(replace(event, time=seconds))
            started = decided = time.perf_counter()
            # The samples of another tick may find what these did not, if there is anything that could grow.
            final = self.policy.counts_epochs or not groups
            if final and event.decision is None and not planned.applicable and not filler.due():
                self.reason = event.reason

    def _allowance(self) -> Allowance | None:
        """The multiply-adds that deciding may still take, in all processes; None for any number."""
        trained = self.processes.number(self._spending.trained) * self.processes.count
        return Spending(trained, self._spending.decided).allowance(self.policy)

    def _training_samples(self) -> int | None:
        """Samples of an epoch in all processes, from those that were trained on so far, if the policy goes by them."""
        if self.policy.select != "information":
            return None
        done, length = self._time.done, self._time.training_steps
        epochs = done.steps * self.epochs / length if length and done.steps else float(done.epochs)
        seen = self.processes.number(self._spending.settled) * self.processes.count
        return round(seen / epochs) if seen and epochs else None

    def _statistics_now(self) -> Loader:
        """The samples for the statistics of this tick; of others than before nothing is known yet."""
        given = self.statistics
        if given is not None and not callable(given):
            return given
        self._planner.known.forget()
        return list(self._recent) if given is None else given(self._time.done.ticks)

    def _watched(self, loader: Callable[[], Loader]) -> float:
        return self._held_out.watched(self.network, self.policy.when, loader())

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

    def _check_trains_something(self) -> None:
        """Refuse old weights that stay as they are if nothing new is there or may come.

        Raises:
            GrowthError: says what to do.
        """
        if self.policy.freeze is None:
            return
        if not self._optimizers:
            raise GrowthError(
                "`growth.freeze: old` keeps the optimizer off old weights: expected optimizer=... to keep off"
            )
        marks = self._optimizers.marks
        trained = any(p.requires_grad and any(marks.get(p, [[1]])) for p in self._optimizers.parameters())
        grows = (
            self.reason is None and self.policy.stop.steps != 0 and can_grow(self.network.graph, self.policy)
        )
        if not (trained or grows):
            raise GrowthError(
                "nothing would be trained: `growth.freeze: old` keeps all weights, and nothing can grow: "
                f"{self.reason or 'no layer may be widened and no path added'}. Let something grow, give the network "
                "new outputs, or leave `freeze` out"
            )

    def _steps(self, given: int | None) -> int | None:
        """Training steps of the whole training, as they are given or follow from the loader for statistics."""
        if given is not None or callable(self.statistics) or not isinstance(self.statistics, Sized):
            return given
        return self.epochs * len(self.statistics)

    def _told(self, event: GrowthEvent) -> GrowthEvent:
        if self.on_event is not None:
            self.on_event(event)
        return event

    def _skipped(self, reason: str) -> GrowthEvent:
        """This step is left out; whatever was gathered for it is dropped."""
        self._planner.drop(self.network)
        commit = self._commit()
        return self._told(commit.nothing(reason, commit.loss_of(self.network), ()))

    def plan(self, loader: Loader) -> Plan:
        """All candidates with slopes measured on the loader's samples, best first. Nothing changes.

        Raises:
            GrowthError: as for `step`.
        """
        self._held_out.loader = loader
        planned = self._planner.plan(self.network, loader, self.policy)
        order = order_words(self.policy)
        return Plan(tuple(planned.proposals), samples=planned.samples, memory=planned.memory, order=order)

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
        if loader is not None:
            self._held_out.loader = loader
        if not isinstance(candidate, Proposal) or self._held_out.loader is None:
            what = f"`{candidate.target}`" if isinstance(candidate, Candidate) else f"{candidate!r}"
            raise GrowthError(f"{what} cannot be applied: expected a candidate of scheduler.plan(loader)")
        if candidate.reason is None and candidate.planned_for is not self.network.graph:
            raise GrowthError(
                f"`{candidate.target}` was planned for another state of the network: call plan(loader) again"
            )
        if not isinstance(candidate, Applicable):
            raise GrowthError(f"`{candidate.target}` cannot be applied: {candidate.reason}")
        commit = self._commit()
        tester = tester_of(commit, commit.loss_of(self.network))
        trial = tester.trial(candidate, gamma)
        if trial.gamma > 0.0:
            self._last_step.keep(commit)
            return self._told(commit.applied(trial, tester.before, (candidate,)))
        refusal = trial.refusal or ""
        if refusal == ZERO:
            searched = f"no step size lowers the held-out loss of `{candidate.target}`"
            refusal = searched if gamma is None else f"γ = 0 was asked for `{candidate.target}`"
        return self._told(commit.nothing(refusal, tester.before, ()))

    def undo(self) -> None:
        """Take the last growth step back, all groups that grew in it: network and optimizer are, in place, what they
        were right before it.

        What was trained since then is lost too. The epochs that were counted stay counted.

        Raises:
            GrowthError: there is no step to take back, or it has been taken back already.
        """
        self._last_step.undo(self._commit())
        self.reason = None

    def use(
        self, policy: Growth, *, epochs: int, training_steps: int | None = None, same_data: bool = True
    ) -> None:
        """Go on with another policy, in a training of another length; growth that was over may begin again."""
        self.policy, self.epochs = policy, epochs
        self.reason = self._why_never()
        self._recent = RecentBatches(samples_for(policy).total or _MOST_KEPT)
        if not same_data:
            self._planner.known.forget()
        self._time.use(policy, epochs, self._steps(training_steps))
        self.optimizer = self.optimizer  # its warm-up is a share of the training

    def saved(self) -> Snapshot:
        """The state of growth, to go on with later: an optimizer and a network are saved by themselves."""
        known = self._planner.known.saved()
        plain = {**self._time.saved(), "reason": self.reason, "known": known.plain}
        plain["widths"], plain["spending"] = dict(self._first_widths), self._spending.saved()
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
        self.reason = plain["reason"]
        known = {key.removeprefix("known."): t for key, t in tensors.items() if key.startswith("known.")}
        self._planner.known.restore(Snapshot(plain["known"], known))
        if self.generator is not None and "generator" in tensors:
            self.generator.set_state(tensors["generator"])

    def _why_over(self, *, ahead: int = 0) -> str | None:
        reason = self._time.why_over(self.network.graph, self.processes, ahead=ahead)
        if reason is None and self.policy.stop.accuracy is not None:
            reason = goal_reached(self._held_out.error_of(self.network), self.policy)
        return None if reason is None else reason + self._time.never_flat()

    def _commit(self) -> Commit:
        return Commit(
            network=self.network,
            policy=self.policy,
            optimizers=self._optimizers,
            planner=self._planner,
            held_out=self._held_out,
            time=self._time,
        )


def _check_stop(stop: Stop) -> None:
    """
    Raises:
        GrowthError: a budget that follows the number of training samples, which nobody has told.
    """
    if stop.parameters_per_sample is not None and stop.parameters is None:
        raise GrowthError(
            "policy: `stop.parameters_per_sample` is a budget of `grow`; a scheduler does not know how many training "
            "samples there are: give `policy.stop.for_samples(n)`, or write `stop.parameters`"
        )


def _check_goals(network: GrowingNetwork, policy: Growth) -> None:
    """
    Raises:
        GrowthError: target widths that cannot be reached.
    """
    try:
        check_goals(network.graph, policy)
    except GraphError as error:
        raise GrowthError(str(error)) from error
