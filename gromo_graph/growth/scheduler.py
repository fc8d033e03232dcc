"""GrowthScheduler: decides when and where a network grows, and grows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from gromo_graph.errors import GrowthError
from gromo_graph.growth.apply import apply_proposal, clear_pending, linked, set_pending
from gromo_graph.growth.candidates import Proposal
from gromo_graph.growth.observe import Loader, Loss, mean_loss
from gromo_graph.growth.planning import plan_proposals
from gromo_graph.growth.policy import RULES, why_over
from gromo_graph.growth.step_size import search
from gromo_graph.modules.group import LinkedGroup
from gromo_graph.network import GrowingNetwork
from gromo_graph.records import Candidate, Decision, GrowthEvent, Plan
from gromo_graph.spec import dump_spec
from gromo_graph.spec.settings import Growth

# Proposals that are line-searched in one step before it is given up: γ = 0 is an ordinary outcome.
_MOST_TRIES = 8


class GrowthScheduler:
    """Grows a network in place, one call of `step` an epoch, inside anyone's training loop.

    Args:
        network: what grows.
        loss: `loss(prediction, target)` -> scalar, the mean over the batch.
        optimizer: follows the growth: old weights keep their state.
        policy: when, where and how much; None takes the `growth` section of the network's spec.
        epochs: the length of your training, which `until` is a share of; None takes the spec's `train.epochs`.
        on_event: called with each GrowthEvent.
        generator: for neurons drawn at random; None uses torch's global one.

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
        optimizer: torch.optim.Optimizer | None = None,
        policy: Growth | None = None,
        epochs: int | None = None,
        on_event: Callable[[GrowthEvent], None] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.network = network
        self.loss = loss
        self.optimizer = optimizer
        self.policy = network.spec.growth if policy is None else policy
        self.epochs = network.spec.train.epochs if epochs is None else epochs
        self.on_event = on_event
        self.generator = generator
        self.reason: str | None = None
        self.applied = 0
        self.epoch = 0
        self._held_out: Loader | None = None
        self._planned_on: Loader | None = None

    def step(self, train_loader: Loader, validation_loader: Loader) -> GrowthEvent | None:
        """Count one epoch, and try a growth step where one is due.

        Args:
            train_loader: pairs (x, y); read once for the statistics and once for the slopes.
            validation_loader: held-out pairs for the step size; read once for each trial.

        Returns:
            What happened, or None where nothing was due.

        Raises:
            GrowthError: a loader is empty, the loss is no finite scalar, statistics are not finite. The network
                is then as it was.
        """
        self.epoch += 1
        if self.reason is None:
            self.reason = self._why_over()
        if self.reason is not None or self.epoch % self.policy.when.every:
            return None
        started = time.perf_counter()
        proposals = self._proposals(train_loader)
        decided = time.perf_counter()
        self._held_out = validation_loader
        event = self._try_in_order(proposals)
        seconds = {"plan": decided - started, "search": time.perf_counter() - decided}
        event = replace(event, time=seconds)
        if event.decision is None and all(proposal.reason for proposal in proposals):
            self.reason = event.reason
        if self.on_event is not None:
            self.on_event(event)
        return event

    def plan(self, loader: Loader) -> Plan:
        """All candidates with slopes measured on the loader's samples, best first. Nothing changes."""
        self._held_out = loader
        return Plan(tuple(self._proposals(loader)))

    def apply(
        self, candidate: Candidate, gamma: float | None = None, *, loader: Loader | None = None
    ) -> GrowthEvent:
        """Apply a candidate of the last plan.

        Args:
            candidate: from `plan`, of this network as it now stands.
            gamma: the step size; None searches it by the loss over `loader`.
            loader: held-out pairs; None takes the one that was planned with.

        Raises:
            GrowthError: the candidate was left out, or belongs to another state of the network.
        """
        self._held_out = loader if loader is not None else self._held_out
        if not isinstance(candidate, Proposal) or candidate.weights is None or self._held_out is None:
            raise GrowthError(
                f"`{candidate.target}` cannot be applied ({candidate.reason or 'it carries no weights'}): "
                "expected a candidate of scheduler.plan(loader) without a reason"
            )
        if candidate.group not in self.network.graph.groups:
            raise GrowthError(
                f"`{candidate.target}` was planned for another state of the network: call plan(loader) again"
            )
        before = self._loss_now()
        event = self._try(candidate, before, (candidate,), gamma)
        if event is None:
            event = self._nothing(
                f"no step size lowers the held-out loss of `{candidate.target}`", before, ()
            )
        if self.on_event is not None:
            self.on_event(event)
        return event

    def _why_over(self) -> str | None:
        return why_over(
            self.network.graph, self.policy, applied=self.applied, epoch=self.epoch, epochs=self.epochs
        )

    def _proposals(self, loader: Loader) -> list[Proposal]:
        self._planned_on = loader
        return plan_proposals(self.network, self.loss, loader, policy=self.policy, generator=self.generator)

    def _try_in_order(self, proposals: Sequence[Proposal]) -> GrowthEvent:
        before = self._loss_now()
        able = [proposal for proposal in proposals if proposal.reason is None]
        able.sort(key=lambda proposal: not proposal.rescue)
        for proposal in able[:_MOST_TRIES]:
            event = self._try(proposal, before, proposals, None)
            if event is not None:
                return event
        if able:
            tried = ", ".join(f"`{proposal.target}`" for proposal in able[:_MOST_TRIES])
            return self._nothing(
                f"γ = 0: no step size lowers the held-out loss for {tried}", before, proposals
            )
        return self._nothing(_why_none(proposals), before, proposals)

    def _try(
        self, proposal: Proposal, before: float, proposals: Sequence[Proposal], gamma: float | None
    ) -> GrowthEvent | None:
        """Find γ, apply, and say what happened; None where γ = 0, with the network as it was."""
        group = linked(self.network, proposal, self.policy)
        finite_scale = self.policy.scale == "alpha_std" and not proposal.drawn
        if proposal.drawn:  # it changes nothing yet, but for a jump: no step size changes the loss
            if group.jumps and gamma is None and self._loss_at(proposal, group, 1.0, False) > before:
                return None
            gamma = 1.0
        if gamma is None:
            gamma = search(lambda value: self._loss_at(proposal, group, value, finite_scale), before).gamma
        if gamma == 0.0:
            return None
        set_pending(proposal, group, gamma, finite_scale=finite_scale)
        if group.needs_moments and self._planned_on is not None:
            # A norm must know the new channels at their final scale.
            mean_loss(self.network, self.loss, self._planned_on, extended=True)
        apply_proposal(self.network, proposal, group, optimizer=self.optimizer)
        self.applied += 1
        return self._event(
            self._why(proposal, proposals),
            before,
            proposals,
            decision=proposal,
            gamma=gamma,
            after=self._loss_now(),
        )

    def _loss_now(self) -> float:
        assert self._held_out is not None
        return mean_loss(self.network, self.loss, self._held_out)

    def _loss_at(self, proposal: Proposal, group: LinkedGroup, gamma: float, finite_scale: bool) -> float:
        assert self._held_out is not None
        set_pending(proposal, group, gamma, finite_scale=finite_scale)
        try:
            return mean_loss(self.network, self.loss, self._held_out, extended=True)
        except GrowthError:
            return float("inf")  # a step so large that the loss overflows is simply a bad step
        finally:
            clear_pending(group)

    def _why(self, proposal: Proposal, proposals: Sequence[Proposal]) -> str:
        if proposal.rescue:
            return f"rescue: {proposal.note}"
        tried_before = []
        for other in proposals:
            if other is proposal:
                break
            if other.reason is None and not other.rescue:
                tried_before.append(f"`{other.target}`")
        how = "next" if tried_before else "first"
        skipped = f"; γ = 0 for {', '.join(tried_before)}" if tried_before else ""
        note = f"; {proposal.note}" if proposal.note else ""
        return f"{how}: {RULES[self.policy.select]}{skipped}{note}"

    def _nothing(self, reason: str, before: float, proposals: Sequence[Proposal]) -> GrowthEvent:
        return self._event(reason, before, proposals, decision=None, gamma=0.0, after=before)

    def _event(
        self,
        reason: str,
        before: float,
        proposals: Sequence[Proposal],
        *,
        decision: Proposal | None,
        gamma: float,
        after: float,
    ) -> GrowthEvent:
        graph = self.network.graph
        return GrowthEvent(
            step=self.applied,
            epoch=self.epoch,
            decision=None if decision is None else _decision(decision),
            reason=reason,
            gamma=gamma,
            slope=None if decision is None else decision.slope,
            loss_before=before,
            loss_after=after,
            parameters=graph.parameter_count,
            madds=graph.multiply_adds,
            candidates=tuple(proposal.plain() for proposal in proposals),
            spec=dump_spec(self.network.spec),
        )


def _decision(proposal: Proposal) -> Decision:
    assert proposal.group is not None
    return Decision(
        kind=proposal.kind,
        target=proposal.target,
        neurons=proposal.neurons,
        nodes=proposal.group.producers,
        delta_parameters=proposal.delta_parameters,
        delta_madds=proposal.delta_madds,
    )


def _why_none(proposals: Sequence[Proposal]) -> str:
    """The reasons of all candidates in one line."""
    if not proposals:
        return "nothing in this graph can grow: it has no layer"
    return "nothing can grow: " + "; ".join(f"`{p.target}`: {p.reason}" for p in proposals)
