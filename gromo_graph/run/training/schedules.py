"""The learning rate as a function of the share of the training that is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from gromo_graph.spec.train_settings import Schedule, Train

_FIRST = 0.01  # of a warm-up: a rate of 0 would waste a step
_CYCLE_START, _CYCLE_END = 1 / 25, 1 / 250_000  # those of torch.optim.lr_scheduler.OneCycleLR


def learning_rate(train: Train, progress: float) -> float:
    """The learning rate after a share of the training: a function of nothing else, so growth cannot disturb it.

    What `schedule: plateau` has taken off by then comes on top of it.

    >>> learning_rate(Train(), 0.5)
    0.0015
    >>> learning_rate(Train(schedule="constant", warmup=0.1), 0.05)
    0.001515
    """
    if progress < train.warmup:
        begun = progress / train.warmup
        return train.optimizer.lr * (_FIRST + (1.0 - _FIRST) * begun)
    done = (progress - train.warmup) / (1.0 - train.warmup)
    schedule = train.schedule_options
    return train.optimizer.lr * _SHARES[schedule.name](done, schedule, train)


def _cosine(done: float, schedule: Schedule, train: Train) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * done))


def _step(done: float, schedule: Schedule, train: Train) -> float:
    epochs = (1.0 - train.warmup) * train.epochs
    length = train.epochs / 3 if schedule.step_size is None else schedule.step_size
    return float(schedule.gamma ** math.floor(done * epochs / length + 1e-9))


def _one_cycle(done: float, schedule: Schedule, train: Train) -> float:
    if done < schedule.pct_start:
        return _between(_CYCLE_START, 1.0, done / schedule.pct_start)
    return _between(1.0, _CYCLE_END, (done - schedule.pct_start) / (1.0 - schedule.pct_start))


def _between(first: float, last: float, done: float) -> float:
    """From the first value to the last one along half a cosine."""
    return last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * done))


_SHARES: Mapping[str, Callable[[float, Schedule, Train], float]] = {
    "constant": lambda done, schedule, train: 1.0,
    "plateau": lambda done, schedule, train: 1.0,
    "cosine": _cosine,
    "linear": lambda done, schedule, train: 1.0 - done,
    "step": _step,
    "one_cycle": _one_cycle,
}
"""The share of the learning rate after a share of the training behind the warm-up."""
