"""The sizes that the network of a run has had, each with its held-out loss at the end of the training at that size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, zip_longest
from math import isfinite
from typing import Any

from gromo_graph.records.events import GrowthEvent
from gromo_graph.records.journal import Epoch


@dataclass(frozen=True)
class Size:
    """A network that was trained before it grew on, or to the end.

    Attributes:
        step: growth steps applied until then; 0 is before any growth.
        epoch: training epochs done at the end of the training at this size.
        parameters: trainable numbers.
        madds: multiply-adds of a forward pass of one sample.
        loss: mean held-out loss at the end of the training at this size; None if it is not known.
        accuracy: held-out accuracy after the last epoch that ended at this size; None if none did, or without classes.
        to_the_end: whether the network was trained to the end at this size. The loss of the others is that of an
            unfinished training: trained to the end, they would have a lower one.
    """

    step: int
    epoch: int
    parameters: int
    madds: int
    loss: float | None
    accuracy: float | None
    to_the_end: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in the order of the attributes."""
        return asdict(self)


@dataclass(frozen=True)
class _Stage:
    """A size from one moment of growth to the next.

    Attributes:
        step, parameters, madds: as of a Size. begun: epochs done when it began.
        epochs: those that ended at this size.
    """

    step: int
    parameters: int
    madds: int
    begun: int
    epochs: tuple[Epoch, ...]

    def ended(self, *, epoch: int, loss: float | None, to_the_end: bool = False) -> Size:
        accuracy = self.epochs[-1].validation.get("accuracy") if self.epochs else None
        known = loss if loss is not None and isfinite(loss) else None
        return Size(self.step, epoch, self.parameters, self.madds, known, accuracy, to_the_end)


def sizes_of(epochs: Sequence[Epoch], events: Sequence[GrowthEvent], *, is_over: bool) -> tuple[Size, ...]:
    """A row for each size at which the network was trained, in the order in which it had them.

    Groups that grow at one moment make one new size: those in between are not trained.

    Args:
        epochs, events: of the run, in order.
        is_over: whether the run has come to its end.

    Returns:
        Nothing before anything was measured.
    """
    moments = list(_moments(events))
    if not moments:
        return tuple(_unchanged(epochs, is_over))
    rows = []
    stage = _first(moments[0][0], epochs)
    for moment, following in zip_longest(moments, moments[1:]):
        rows.append(stage.ended(epoch=moment[0].epoch or 0, loss=moment[0].loss_before))
        stage = _after(moment[-1], epochs, until=following[0].epoch if following else None)
    if stage.epochs:
        last = stage.epochs[-1]
        return (*rows, stage.ended(epoch=last.epoch, loss=last.validation.get("loss"), to_the_end=is_over))
    return (*rows, stage.ended(epoch=stage.begun, loss=moments[-1][-1].loss_after))


def _moments(events: Sequence[GrowthEvent]) -> Iterator[list[GrowthEvent]]:
    """The applied events, those of one moment together."""
    applied = [event for event in events if event.decision is not None]
    for _, together in groupby(applied, key=lambda event: (event.tick, event.epoch, event.batch)):
        yield list(together)


def _unchanged(epochs: Sequence[Epoch], is_over: bool) -> Iterator[Size]:
    """The one size of a network that never grew."""
    if epochs:
        last = epochs[-1]
        stage = _Stage(0, last.parameters, last.madds, 0, tuple(epochs))
        yield stage.ended(epoch=last.epoch, loss=last.validation.get("loss"), to_the_end=is_over)


def _first(event: GrowthEvent, epochs: Sequence[Epoch]) -> _Stage:
    """The size before the first event that was applied."""
    assert event.decision is not None  # `_moments` gives no other
    parameters, madds = event.parameters_before, event.madds - event.decision.delta_madds
    own = [each for each in epochs if each.epoch <= (event.epoch or 0) and each.parameters == parameters]
    return _Stage(0, parameters, madds, 0, tuple(own))


def _after(event: GrowthEvent, epochs: Sequence[Epoch], *, until: int | None) -> _Stage:
    """The size after an event, up to the epoch of the next one, or to the end.

    An epoch belongs to it if the network had this size at its end: growth may come in the middle of an epoch.
    """
    here = (event.parameters, event.madds)
    last = epochs[-1].epoch if epochs and until is None else until or 0
    own = [
        each
        for each in epochs
        if (event.epoch or 0) <= each.epoch <= last and (each.parameters, each.madds) == here
    ]
    return _Stage(event.step, *here, event.epoch or 0, tuple(own))
