"""GrowthEvent: what one growth step did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gromo_graph.display import Tabled, printed
from gromo_graph.records.decisions import Candidate, Decision
from gromo_graph.records.histograms import Histograms
from gromo_graph.records.validation import Count, Epochs, Loss


@dataclass(frozen=True)
class GrowthEvent(Tabled):
    """One growth step that was tried, in plain numbers.

    Attributes:
        step: growth steps applied so far, this one included where it was applied.
        epoch: training epochs done when it was tried; None if training steps were counted and nobody said how many are
            an epoch.
        decision: what was applied, or None if nothing was.
        reason: why this one, or why none.
        gamma: the step size γ = s²; 0 if nothing was applied.
        slope: exact slope of the decision (decrease of the mean loss per unit of γ); None without one.
        loss_before: mean held-out loss before.
        loss_after: mean held-out loss right after, no training between.
        parameters: trainable numbers of the network after it.
        madds: multiply-adds of a forward pass of one sample after it.
        candidates: all that were considered, best first.
        spec: the YAML text of the network after it.
        tick: times that growth has been tried, this one included.
        batch: training steps done when it was tried; 0 if they were not counted.
        memory: bytes that the statistics of the step took; 0 if it needed none, or if that is not known.
        epochs_done: as `epoch`, with the part of the epoch that was done: 2.5 in the middle of the third. None as
            there, and in older journals.
        time: everything about clocks, in seconds; the `milliseconds` of a forward pass after it, if the policy ends by
            them. Never part of a comparison.
        histograms: of the weights and outputs of each node after it, of an event that a journal told; no part of
            `to_dict`, and of no comparison.

    An event is a line, so that several of them read as a table; `print(event)` adds the reason and the candidates.

    >>> decision = Decision("widen", "hidden", 2, ("hidden",), delta_parameters=12, delta_madds=10)
    >>> GrowthEvent(1, 3, decision, "the steepest", 4.0, 0.5, loss_before=0.8, loss_after=0.6, parameters=40, madds=32)
    step 1 · epoch 3: hidden: +2 features; γ 4, held-out loss 0.8 → 0.6, 40 parameters
    """

    step: Count
    epoch: Count | None
    decision: Decision | None
    reason: str
    gamma: float
    slope: float | None
    loss_before: Loss
    loss_after: Loss
    parameters: Count
    madds: Count
    candidates: tuple[Candidate, ...] = ()
    spec: str = ""
    memory: Count = 0
    tick: Count = 0
    batch: Count = 0
    epochs_done: Epochs | None = None
    time: Mapping[str, Any] = field(default_factory=dict, compare=False)
    histograms: Histograms = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        return printed(self, "event_line")

    def __str__(self) -> str:
        return printed(self, "event_text")

    @property
    def parameters_before(self) -> int:
        """Trainable numbers before the step."""
        return self.parameters - (self.decision.delta_parameters if self.decision else 0)

    @property
    def place(self) -> float:
        """Its place on an axis of epochs: that of its training step if it is known, else the whole epoch before it."""
        return float(self.epoch or 0) if self.epochs_done is None else self.epochs_done

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in the order of the journal line."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "decision": self.decision.to_dict() if self.decision else None,
            "reason": self.reason,
            "gamma": self.gamma,
            "slope": self.slope,
            "loss_before": self.loss_before,
            "loss_after": self.loss_after,
            "parameters": self.parameters,
            "madds": self.madds,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "spec": self.spec,
            "memory": self.memory,
            "tick": self.tick,
            "batch": self.batch,
            "epochs_done": self.epochs_done,
            "time": dict(self.time),
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> GrowthEvent:
        """The inverse of `to_dict` (a journal line of type "step")."""
        decision = values["decision"]
        return GrowthEvent(
            step=values["step"],
            epoch=values["epoch"],
            decision=Decision.from_dict(decision) if decision else None,
            reason=values["reason"],
            gamma=values["gamma"],
            slope=values["slope"],
            loss_before=values["loss_before"],
            loss_after=values["loss_after"],
            parameters=values["parameters"],
            madds=values["madds"],
            candidates=tuple(Candidate.from_dict(candidate) for candidate in values["candidates"]),
            spec=values["spec"],
            memory=values.get("memory", 0),
            tick=values.get("tick", 0),
            batch=values.get("batch", 0),
            epochs_done=values.get("epochs_done"),
            time=values.get("time", {}),
        )
