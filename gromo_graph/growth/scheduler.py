"""GrowthScheduler: decides when and where a network grows, and grows it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sized
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gromo_graph.arguments import checked
from gromo_graph.errors import GrowthError
from gromo_graph.graph.growth_goals import NOTHING_BEYOND
from gromo_graph.growth.candidates.stages import Applicable, Proposal
from gromo_graph.growth.effort.sample_parts import samples_of
from gromo_graph.growth.effort.sample_size import samples_for
from gromo_graph.growth.given_network import growing_network
from gromo_graph.growth.growing import Growing
from gromo_graph.growth.means import check_loss
from gromo_graph.growth.observe import Loader, Loss
from gromo_graph.growth.policy import order_words
from gromo_graph.growth.process_sums import Processes
from gromo_graph.growth.scheduler_checks import (
    LITTLE_BEHIND,
    UNFOLLOWED,
    check_goals,
    check_lengths,
    check_stop,
    has_gradients,
)
from gromo_graph.growth.steps.trials import ZERO
from gromo_graph.growth.steps.trying import tester_of
from gromo_graph.growth.ticks.recent_batches import RecentBatches
from gromo_graph.growth.ticks.timekeeper import Timekeeper
from gromo_graph.growth.ticks.trimming import beyond_budget, leaves_little
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.optimizers import (
    OptimizerChoice,
    Untrained,
)
from gromo_graph.records import Candidate, GrowthEvent, Plan
from gromo_graph.spec.fragments import growth_of
from gromo_graph.spec.settings import Growth, Stop
from gromo_graph.spec.target_schedule import with_target_schedule

# Samples of batches just seen that are kept if the policy names no number.
_MOST_KEPT = 4096


_OF_POLICY = {
    **{key: f'policy={{"stop": {{"{key}": ...}}}}' for key in Stop.model_fields},
    **{key: f'policy={{"{key}": ...}}' for key in Growth.model_fields},
    "max_parameters": 'policy={"stop": {"parameters": ...}}',
}
"""For words that stand under `growth` in a spec how they are given here."""


@partial(checked, elsewhere=_OF_POLICY)
class GrowthScheduler(Growing):
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
            length of the loader `statistics`. Without `epochs`, here or in the spec, events do not know their epoch.
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
        latency: the times of forward passes, if the policy ends growth by them.

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
        check_lengths(epochs, training_steps)
        network = growing_network(network)
        policy = network.spec.growth if policy is None else growth_of(policy, document="policy")
        policy = with_target_schedule(policy, network.spec.nodes)
        check_stop(policy.stop)
        check_goals(network.graph, policy)
        if policy.beyond > 1.0 and policy.stop.parameters is None and policy.stop.madds is None:
            warnings.warn(NOTHING_BEYOND, stacklevel=3)
        self.statistics = statistics
        self._recent = RecentBatches(samples_for(policy).total or _MOST_KEPT)
        train = network.spec.train
        knows_epochs = training_steps is None or epochs is not None or "epochs" in train.model_fields_set
        epochs = train.epochs if epochs is None else epochs
        super().__init__(
            network,
            loss,
            policy=policy,
            time=Timekeeper(
                beyond_budget(policy),
                epochs,
                self._steps(training_steps, epochs),
                knows_epochs=knows_epochs,
            ),
            optimizer=optimizer,
            untrained=untrained,
            new=new,
            on_event=on_event,
            on_batch=on_batch,
            generator=generator,
            max_memory=max_memory,
            processes=Processes.current() if processes is None else processes,
            undoable=undoable,
        )
        if leaves_little(policy, self._time.clock):
            warnings.warn(LITTLE_BEHIND, stacklevel=3)

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

        Warns:
            UserWarning: the network has grown, and the optimizer that trains it was not given.

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
        if self._awaits_ticks and self.statistics is None:
            self._recent.add(x, y)
        trained_elsewhere = self.optimizer is None and has_gradients(self.network)
        events = self._at_this_moment(self._statistics_now) if gone_on else ()
        if trained_elsewhere and any(event.decision for event in events):
            warnings.warn(UNFOLLOWED, stacklevel=3)  # behind the check of arguments
        if not self._awaits_ticks:
            self._recent.clear()
        return events

    @property
    def _awaits_ticks(self) -> bool:
        """True while samples may be needed for statistics."""
        return self.reason is None or self._time.moment < max(self._trims, default=0)

    def _at_this_moment(self, loader: Callable[[], Loader]) -> tuple[GrowthEvent, ...]:
        """Try growth if it is due now, and prune back to the budget if that is due.

        Args:
            loader: gives the pairs for the statistics.
        """
        events = self._ticked(loader)
        if self._time.moment not in self._trims:
            return events
        self._time.done.ticks += 1
        return *events, *self._trim(loader)

    def _ticked(self, loader: Callable[[], Loader]) -> tuple[GrowthEvent, ...]:
        """Try growth if a tick is due now."""
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
        now.refused = None if not events or events[-1].decision is not None else events[-1].reason
        if now.ticks_left == 1 and self.reason is None:
            self.reason = self._why_over(ahead=1)
        return events

    def _statistics_now(self) -> Loader:
        """The samples for the statistics of this tick; of others than before nothing is known yet."""
        given = self.statistics
        if given is not None and not callable(given):
            return given
        self._planner.known.forget()
        return list(self._recent) if given is None else given(self._time.done.ticks)

    def _watched(self, loader: Callable[[], Loader]) -> float:
        return self._held_out.watched(self.network, self.policy.when, loader())

    def _steps(self, given: int | None, epochs: int) -> int | None:
        """Training steps of the whole training, as they are given or follow from the loader for statistics."""
        if given is not None or callable(self.statistics) or not isinstance(self.statistics, Sized):
            return given
        return epochs * len(self.statistics)

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
        tester = tester_of(commit, commit.losses_of(self.network))
        trial = tester.trial(candidate, gamma)
        if trial.gamma > 0.0:
            self._last_step.keep(commit)
            return self._told(commit.applied(trial, tester.before, (candidate,)).event)
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
        self.latency.known.clear()
        self.reason = None

    def use(
        self, policy: Growth, *, epochs: int, training_steps: int | None = None, same_data: bool = True
    ) -> None:
        """Go on with another policy, in a training of another length; growth that was over may begin again."""
        policy = with_target_schedule(policy, self.network.spec.nodes)
        self._written, self.policy, self._pruned = policy, beyond_budget(policy), False
        self.reason = self._why_never()
        self._recent = RecentBatches(samples_for(policy).total or _MOST_KEPT)
        if not same_data:
            self._planner.known.forget()
        self._time.use(self.policy, epochs, self._steps(training_steps, epochs))
        self.optimizer = self.optimizer  # its warm-up is a share of the training
