"""The measure that a training goes by, epoch after epoch: its best value, early stopping, and plateaus."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gromo_graph.amounts import amount
from gromo_graph.spec.train_settings import LOWER_IS_BETTER, EarlyStopping, Schedule, Train

_PLATEAU_GAIN = 1e-4  # the relative one of torch.optim.lr_scheduler.ReduceLROnPlateau


@dataclass
class _State:
    """All that decides how a training goes on.

    Attributes:
        best: value since the last growth step, and best_epoch, in which it was measured; None before any.
        gained, waited: the last value that was an improvement, and the epochs since then, for early stopping.
        flat_best, flat: the same for the plateau schedule.
        reduced: the share of the learning rate that plateaus have left.
        stopped: why the training is over, or None.
    """

    best: float | None = None
    best_epoch: int = 0
    gained: float | None = None
    waited: int = 0
    flat_best: float | None = None
    flat: int = 0
    reduced: float = 1.0
    stopped: str | None = None


class EpochWatch:
    """Follows the measure `train.watch` of the validation part.

    A growth step begins anew: a network that has grown since is another one, and only the epochs of the last one can be
    kept. Epochs count for early stopping and for plateaus once growth is over.

    Args:
        train: the section of the spec.
    """

    def __init__(self, train: Train) -> None:
        self.train = train
        self._state = _State()
        self._sign = 1.0 if train.watch in LOWER_IS_BETTER else -1.0

    @property
    def reduced(self) -> float:
        """The share of the learning rate that plateaus have left."""
        return self._state.reduced

    @property
    def best_epoch(self) -> int:
        """The epoch with the best value since the last growth step; 0 before any."""
        return self._state.best_epoch

    @property
    def stopped(self) -> str | None:
        """Say why the training ended early; None if it did not."""
        return self._state.stopped

    def see(self, epoch: int, value: float | None, *, grown: bool, growing: bool) -> bool:
        """Look at the measure of an epoch.

        Args:
            epoch: from 1. value: of the measure; None if it could not be measured.
            grown: whether the network grew in this epoch. growing: whether it still may.

        Returns:
            Whether this epoch is the best one since the last growth step.
        """
        state = self._state
        if grown:
            self._state = state = _State(reduced=state.reduced)
        found = math.inf if value is None else self._sign * value
        is_best = state.best is None or found < state.best
        if is_best:
            state.best, state.best_epoch = found, epoch
        stopping, schedule = self.train.early_stopping_options, self.train.schedule_options
        if stopping is not None and (not growing or stopping.during_growth):
            self._look_for_the_end(epoch, found, stopping)
        if schedule.name == "plateau" and not growing:
            self._look_for_plateau(found, schedule)
        return is_best

    def _look_for_the_end(self, epoch: int, found: float, stopping: EarlyStopping) -> None:
        """End the training after too many epochs without an improvement."""
        state = self._state
        if state.gained is None or found < state.gained - stopping.min_delta:
            state.gained, state.waited = found, 0
            return
        state.waited += 1
        if state.waited >= stopping.patience:
            state.stopped = self._reason(epoch, stopping.patience)

    def _look_for_plateau(self, found: float, schedule: Schedule) -> None:
        """Lower the learning rate after too many epochs without a better value."""
        state = self._state
        best = state.flat_best
        if best is None or found < best - _PLATEAU_GAIN * abs(best):
            state.flat_best, state.flat = found, 0
            return
        state.flat += 1
        if state.flat > schedule.patience:
            state.reduced, state.flat = state.reduced * schedule.factor, 0

    def _reason(self, epoch: int, patience: int) -> str:
        watched, epochs = self.train.watch.replace("_", " "), self.train.epochs
        waited = amount(patience, "epoch")
        return f"epoch {epoch} of {epochs}: the validation {watched} has not improved for {waited}"

    def saved(self) -> dict[str, Any]:
        """Plain values to go on with later; infinite ones as text, as JSON has none."""
        return {name: "inf" if value == math.inf else value for name, value in asdict(self._state).items()}

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Go on where `saved` was called."""
        values: dict[str, Any] = {
            name: math.inf if value == "inf" else value for name, value in plain.items()
        }
        self._state = _State(**values)
