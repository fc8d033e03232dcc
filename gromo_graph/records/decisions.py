"""Candidates and plans in plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from gromo_graph.display import Tabled, printed
from gromo_graph.records.validation import Count


@dataclass(frozen=True)
class Candidate:
    """One possible growth.

    Attributes:
        kind: what would be done.
        target: of widen and prune the group's first producer in document order; `u->v` of a new edge, `u->w->v` of a
            new node or head.
        neurons: how many would be added, or taken out; 0 for an edge, and if it was left out.
        predicted: decrease of the loss per unit of γ that the statistics promise (a ranking hint).
        slope: the measured decrease of the mean loss per unit of γ; None if it was left out.
        delta_parameters: trainable numbers it adds.
        delta_madds: multiply-adds it adds to the forward pass of one sample.
        reason: why it was left out, or None.
        inexact: why the slope may be off, or None: many old units stand exactly at the kink of their activation, where
            the loss has no slope of its own.
        solver: how its weights were solved for, cholesky, eigh or svd; None if nothing was, or in older journals.
        note: what else was out of the ordinary.
    """

    kind: Literal["widen", "new_edge", "new_node", "new_head", "deepen", "adapt", "prune"]
    target: str
    neurons: Count = 0
    predicted: float | None = None
    slope: float | None = None
    delta_parameters: int = 0
    delta_madds: int = 0
    reason: str | None = None
    inexact: str | None = None
    solver: str | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the journal."""
        return {f.name: getattr(self, f.name) for f in fields(Candidate)}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Candidate:
        """The inverse of `to_dict`; keys that a later version added are passed over."""
        names = {f.name for f in fields(Candidate)}
        return Candidate(**{name: value for name, value in values.items() if name in names})


@dataclass(frozen=True)
class Decision:
    """The chosen candidate as it was applied.

    Attributes:
        kind, target, neurons: as in Candidate.
        nodes: all layers that got wider or narrower, or are new.
        delta_parameters, delta_madds: what it cost.
        random: of the neurons, the last ones, that were due and not solved for: drawn at random with a fan-out of 0,
            so that they change nothing until they are trained; in a dead network with first weights on both sides.
    """

    kind: str
    target: str
    neurons: Count
    nodes: tuple[str, ...]
    delta_parameters: int
    delta_madds: int
    random: Count = 0

    @property
    def is_random(self) -> bool:
        """True if nothing was solved for: no candidate, slope or step size led to it."""
        return 0 < self.neurons == self.random

    @property
    def is_pruning(self) -> bool:
        """True if it takes neurons out."""
        return self.kind == "prune"

    def takes(self, candidate: Candidate) -> bool:
        """True if this is the candidate that was applied; of random neurons alone none was."""
        return not self.is_random and (self.kind, self.target) == (candidate.kind, candidate.target)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the journal."""
        return asdict(self) | {"nodes": list(self.nodes)}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Decision:
        """The inverse of `to_dict`."""
        names = {f.name for f in fields(Decision)}
        known = {name: value for name, value in values.items() if name in names}
        return Decision(**known | {"nodes": tuple(known["nodes"])})


@dataclass(frozen=True)
class Plan(Tabled):
    """All candidates of one moment.

    Attributes:
        candidates: best first, those left out last.
        samples: that the statistics saw; 0 if none were needed.
        memory: bytes that the statistics took, bounded by the squares of the widths whatever the number of samples.
        order: the rule of the order, as a reason tells it; empty if it is not known.

    >>> found = Candidate("widen", "hidden", neurons=2, slope=0.5, predicted=0.4, delta_parameters=12, delta_madds=10)
    >>> Plan((found, Candidate("widen", "y", reason="it is an output")), samples=90)
    2 candidates, measured on 90 samples
    what   target  neurons  slope  predicted  parameters  multiply-adds  left out
    widen  hidden        2    0.5        0.4         +12            +10
    widen  y                                                             it is an output
    """

    candidates: tuple[Candidate, ...]
    samples: int = 0
    memory: int = 0
    order: str = ""

    def __repr__(self) -> str:
        return printed(self, "plan_text")
