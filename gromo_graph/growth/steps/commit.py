"""Growth steps made real: a draft is installed, the optimizers follow, and an event says what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gromo_graph.growth.candidates.stages import Proposal
from gromo_graph.growth.candidates.widen import Widening
from gromo_graph.growth.explanations import decision_of, why_chosen
from gromo_graph.growth.planning import Planner
from gromo_graph.growth.steps.held_out import HeldOut, Losses, LossesByStepSize
from gromo_graph.growth.steps.trials import Trial
from gromo_graph.growth.ticks.filling import Filler, all_random, begun_anew, told_as_one
from gromo_graph.growth.ticks.timekeeper import Timekeeper
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.draft import Draft, install
from gromo_graph.network.optimizers import Optimizers
from gromo_graph.records import Decision, GrowthEvent
from gromo_graph.spec import dump_spec
from gromo_graph.spec.settings import Growth


@dataclass(frozen=True)
class Done:
    """A step that has just been applied: what is told of it, and the held-out losses afterwards."""

    event: GrowthEvent
    losses: Losses


@dataclass(frozen=True)
class Commit:
    """Makes growth real in a network, and writes the event of it.

    Attributes:
        network: what grows. policy, optimizers: that are in force.
        planner, held_out, time: of the scheduler; the time counts the step.
    """

    network: GrowingNetwork
    policy: Growth
    optimizers: Optimizers
    planner: Planner
    held_out: HeldOut
    time: Timekeeper

    def applied(
        self,
        trial: Trial,
        before: Losses,
        proposals: Sequence[Proposal],
        refused: Sequence[Trial] = (),
        filler: Filler | None = None,
    ) -> Done:
        """Install the draft that was tried and what else is due of its group, and say what happened."""
        why, decision = why_chosen(trial.candidate, refused, self.policy), decision_of(trial.candidate)
        self._install(trial.draft, trial.gamma)
        drawn = None if filler is None else filler.rest_of(trial.candidate)
        if drawn is not None:
            self._install(drawn.draft(self.network, self.policy), 1.0)
            decision, note = told_as_one(decision, drawn)
            why = f"{why}; {note}"
        # Random neurons change nothing; norms have seen what the trial could not.
        after = None if trial.draft.asks_for_moments else trial.losses
        return self._done(why, (before, after), proposals, decision, (trial.gamma, trial.candidate.slope))

    def filled(self, drawn: Widening, before: Losses, proposals: Sequence[Proposal]) -> Done:
        """Install random neurons alone, and say so."""
        self._install(drawn.draft(self.network, self.policy), 1.0)
        decision, why = all_random(decision_of(drawn))
        return self._done(why, (before, before), proposals, decision, (1.0, drawn.slope))

    def begun_anew(
        self, begun: Widening, before: Losses, proposals: Sequence[Proposal], dead: Sequence[str]
    ) -> Done:
        """Install neurons with first weights in a network that gives one prediction for all samples."""
        self._install(begun.draft(self.network, self.policy), 1.0)
        decision, why = begun_anew(decision_of(begun), dead)
        return self._done(why, (before, None), proposals, decision, (1.0, begun.slope))

    def losses_of(self, network: GrowingNetwork) -> Losses:
        """The held-out losses that decide; in the clock of release 0.1 those of all samples."""
        return self.held_out.losses_of(network, all_samples=self.policy.counts_epochs)

    def by_step_size(self, draft: Draft) -> LossesByStepSize:
        """The same of a draft, by its step size."""
        return self.held_out.by_step_size(draft, all_samples=self.policy.counts_epochs)

    def _install(self, draft: Draft, gamma: float) -> None:
        draft.measure(gamma, self.planner.show)
        state = self.policy.optimizer_state
        install(self.network, draft, optimizers=self.optimizers, new_state=state)

    def _done(
        self,
        why: str,
        losses: tuple[Losses, Losses | None],
        proposals: Sequence[Proposal],
        decision: Decision,
        rise: tuple[float, float | None],
    ) -> Done:
        """A step that has just been applied.

        Args:
            losses: held-out, before and after; None if that has to be measured.
            rise: γ and the slope.
        """
        self.time.grown()
        before, after = losses
        event = self.nothing(why, before, proposals)
        gamma, slope = rise
        if after is None:
            after = self.losses_of(self.network)
        event = replace(event, decision=decision, gamma=gamma, slope=slope, loss_after=after.judged)
        return Done(event, after)

    def nothing(self, reason: str, before: Losses, proposals: Sequence[Proposal]) -> GrowthEvent:
        """The event of a step in which nothing is applied."""
        graph = self.network.graph
        return GrowthEvent(
            step=self.time.applied,
            epoch=self.time.epoch,
            decision=None,
            reason=reason,
            gamma=0.0,
            slope=None,
            loss_before=before.judged,
            loss_after=before.judged,
            parameters=graph.parameter_count,
            madds=graph.multiply_adds,
            candidates=tuple(proposal.plain() for proposal in proposals),
            spec=dump_spec(self.network.spec),
            memory=self.planner.memory,
            tick=self.time.done.ticks,
            batch=self.time.done.steps,
            epochs_done=self.time.epochs_done,
        )
