"""The trying of one step: candidates one after another on held-out data, until as many are applied as may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gromo_graph.growth.candidates.budget import groups_at_once
from gromo_graph.growth.planning import Planned
from gromo_graph.growth.steps.attempts import Attempts
from gromo_graph.growth.steps.commit import Commit
from gromo_graph.growth.steps.held_out import Losses
from gromo_graph.growth.steps.trials import Tester, why_none, why_refused
from gromo_graph.growth.steps.undo import LastStep
from gromo_graph.growth.stopping import gained_little
from gromo_graph.growth.ticks.filling import Filler
from gromo_graph.network.shrinking import Shrinking
from gromo_graph.records import GrowthEvent


@dataclass
class Trying:
    """The candidates of one step, tried in the order of the policy.

    Attributes:
        commit: makes growth real. last: keeps the state before the first change, for an undo.
        shrinking: of the old weights, which is taken back if nothing grows.
        over: why growth is over with this step, or None.
    """

    commit: Commit
    last: LastStep
    shrinking: Shrinking
    over: str | None = None

    def events(self, planned: Planned, filler: Filler) -> Iterator[GrowthEvent]:
        """An event for each candidate that is applied, or one that says why none is."""
        commit, stop = self.commit, self.commit.policy.stop
        attempts = Attempts(planned.applicable, commit.policy)
        before, applied_before = commit.losses_of(commit.network), commit.time.applied
        at_once = groups_at_once(commit.policy, commit.network.graph)
        if stop.steps is not None:
            at_once = min(at_once, stop.steps - applied_before)
        dead = self._dead_layers(planned)
        for begun in filler.everywhere_anew() if dead else ():
            if commit.time.applied == stop.steps:
                break
            self._keep_state(applied_before)
            done = commit.begun_anew(begun, before, planned.proposals, dead)
            yield done.event
            before = done.losses
        if commit.time.applied > applied_before:
            return
        while len(attempts.applied) < at_once and self.over is None:
            trial = attempts.next(tester_of(commit, before))
            if trial is None:
                break
            self._keep_state(applied_before)
            done = commit.applied(trial, before, planned.proposals, attempts.refused, filler)
            if trial.candidate.whole is None:
                self.over = gained_little(before.judged, done.losses.judged, commit.policy)
            attempts.count(trial, commit.network.graph)
            yield done.event
            before = done.losses
        for drawn in filler.whole_groups(attempts.applied, at_once - len(attempts.applied)):
            if self.over is not None or commit.time.applied == stop.steps:
                break
            self._keep_state(applied_before)
            yield commit.filled(drawn, before, planned.proposals).event
        if commit.time.applied == applied_before:
            if self.shrinking.changes:
                self.shrinking.take_back()
                before = commit.losses_of(commit.network)
            reason = why_refused(attempts.refused) or why_none(planned.left_out)
            yield commit.nothing(reason, before, planned.proposals)

    def _dead_layers(self, planned: Planned) -> list[str]:
        """The layers that a network is dead for, so that it gives one prediction for all samples; none in the clock of
        release 0.1, which revived such layers alone.
        """
        if self.commit.policy.counts_epochs:
            return []
        dead = [each.target for each in planned.applicable if each.rescue]
        return dead if dead and self.commit.held_out.is_constant(self.commit.network) else []

    def _keep_state(self, applied_before: int) -> None:
        """Keep the state before the first change of the step; all its groups are undone together."""
        if self.commit.time.applied == applied_before:
            with self.shrinking.taken_back():
                self.last.keep(self.commit)


def tester_of(commit: Commit, before: Losses) -> Tester:
    """The tester of candidates for a commit.

    Args:
        before: the held-out losses of the network as it is.
    """
    return Tester(commit.network, commit.policy, commit.by_step_size, before)
