"""The state before the last growth step, to go back to."""

from __future__ import annotations

from gromo_graph.errors import GrowthError
from gromo_graph.growth.steps.commit import Commit
from gromo_graph.network.snapshot import Snapshot, copied_snapshot


class LastStep:
    """Network and optimizers as they were before the last step that was applied.

    Args:
        undoable: whether they are kept; they take as much memory as both.
    """

    def __init__(self, *, undoable: bool) -> None:
        self.undoable = undoable
        self._before: tuple[Snapshot, int] | None = None  # and the steps applied until then

    def keep(self, commit: Commit) -> None:
        """Keep the state of now, right before a step."""
        if self.undoable:
            self._before = copied_snapshot(commit.network, commit.optimizers), commit.time.applied

    def undo(self, commit: Commit) -> None:
        """Bring the kept state back, in place.

        Raises:
            GrowthError: there is no step to take back, or it has been taken back already.
        """
        if self._before is None:
            raise GrowthError(f"there is nothing to undo: {self._why_none(commit.time.applied)}")
        snapshot, commit.time.applied = self._before
        snapshot.restore(commit.network, commit.optimizers)
        self._before = None

    def _why_none(self, applied: int) -> str:
        if not self.undoable:
            return "the scheduler was made with undoable=False"
        return f"no step has been applied{' since the last one was taken back' if applied else ''}"
