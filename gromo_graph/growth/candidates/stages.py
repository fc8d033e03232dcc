"""The stations of a candidate, which every kind goes through: prospect, solved, applicable or left out.

A kind proposes a `Prospect` for each place at which it is feasible. The prospect says which statistics it wants and is
solved from them; what it becomes is `Solved`, whose slope a second pass over the data measures. From the slope follows
the candidate of the plan: `Applicable`, with everything that it takes to apply it, or `LeftOut`, with the reason.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Generic, Literal, Protocol, TypeVar

import torch
from torch import Tensor

from gromo_graph.errors import GrowthError
from gromo_graph.graph import Cost, Graph, WidthGroup
from gromo_graph.growth.observe import Observation, Watched
from gromo_graph.growth.process_sums import Processes
from gromo_graph.growth.statistics_pass import Gathered
from gromo_graph.growth.wanted_statistics import Wanted
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.draft import Draft
from gromo_graph.records import Candidate
from gromo_graph.spec.settings import Growth

Kind = Literal["widen", "new_edge", "new_node", "new_head", "deepen", "adapt", "prune"]
Solution = TypeVar("Solution")
Sums = Mapping[Hashable, Tensor]
"""Sums over samples, or their means, by a name of the kind's own."""


class InfeasibleError(GrowthError):
    """Nothing can be done at a place; the message is the reason, in a candidate's words."""


@dataclass(frozen=True)
class Proposal(Candidate):
    """A candidate of a plan.

    Attributes:
        planned_for: the graph that it was planned for.
    """

    planned_for: Graph = field(kw_only=True, compare=False, repr=False)

    def plain(self) -> Candidate:
        """The numbers alone."""
        return Candidate(**{f.name: getattr(self, f.name) for f in fields(Candidate)})


@dataclass(frozen=True)
class LeftOut(Proposal):
    """A candidate that cannot be applied; its `reason` says why."""


@dataclass(frozen=True)
class Applicable(Proposal, ABC):
    """A candidate with what is needed to apply it."""

    @property
    @abstractmethod
    def nodes(self) -> tuple[str, ...]:
        """The nodes that get wider or narrower, or are new."""

    @property
    @abstractmethod
    def first_changed(self) -> frozenset[str]:
        """The nodes whose pre-activations change first."""

    @property
    def places(self) -> frozenset[str] | None:
        """The layers and sums that it changes: it goes with others that change none of them; None if it goes alone."""
        return None

    @property
    def rescue(self) -> bool:
        """True if it revives a dead layer and goes first."""
        return False

    @property
    def whole(self) -> str | None:
        """Say why it is applied as a whole or not at all; None if a step size is searched."""
        return None

    @property
    def harmless(self) -> bool:
        """True if it cannot change the loss yet."""
        return False

    @abstractmethod
    def draft(self, network: GrowingNetwork, policy: Growth) -> Draft:
        """The network with it, to be tried and installed."""

    def smaller(self) -> Applicable | None:
        """A candidate of the same kind that does less, or None."""
        return None


@dataclass(frozen=True)
class OfGroup(Applicable):
    """A candidate that makes one width group wider or narrower.

    Attributes:
        group: which one.
    """

    group: WidthGroup = field(kw_only=True, compare=False, repr=False)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The producers of the group."""
        return self.group.producers

    @property
    def first_changed(self) -> frozenset[str]:
        """The consumers of the group."""
        return frozenset(self.group.consumers)


class Solved(ABC):
    """A candidate with its weights, before its slope has been measured."""

    @property
    @abstractmethod
    def watched(self) -> Watched:
        """The tensors of each batch that have to be observed."""

    @abstractmethod
    def batch_slopes(self, seen: Observation) -> Sums:
        """Slopes of the summed loss of a batch: its decrease per unit of γ. Weights are not touched."""

    def sample_slopes(self, seen: Observation) -> Tensor | None:
        """The slopes of each sample apart, (samples, any number): their products give the curvature along them.

        None if the kind has no such slopes: then its slope is not brought into units of the loss.
        """
        return None

    @abstractmethod
    def measured(self, slopes: Sums) -> Applicable | LeftOut:
        """The candidate as it would be applied.

        Args:
            slopes: of the mean loss over all samples, by the names that `batch_slopes` gives.
        """


class Prospect(ABC, Generic[Solution]):
    """A candidate that is feasible, before anything has been measured.

    Attributes:
        network, policy: of the scheduler. target: the name of the place. neurons: as many as are wanted.

    Raises:
        InfeasibleError: as soon as it is made, by all that can be decided without data.
    """

    kind: Kind

    def __init__(self, network: GrowingNetwork, policy: Growth, target: str, neurons: int) -> None:
        self.network, self.policy = network, policy
        self.target, self.neurons = target, neurons

    def left_out(self, reason: str, *, solver: str | None = None, note: str = "") -> LeftOut:
        """The candidate with the reason why it cannot be applied."""
        graph = self.network.graph
        return LeftOut(self.kind, self.target, reason=reason, solver=solver, note=note, planned_for=graph)

    def facts(
        self,
        neurons: int,
        cost: Cost,
        *,
        slope: float | None,
        predicted: float,
        solver: str | None = None,
        note: str = "",
    ) -> dict[str, Any]:
        """The fields of the candidate that all kinds have, by name."""
        return {
            "kind": self.kind,
            "target": self.target,
            "neurons": neurons,
            "predicted": predicted,
            "slope": slope,
            "delta_parameters": cost.parameters,
            "delta_madds": cost.madds,
            "solver": solver,
            "note": note,
            "planned_for": self.network.graph,
        }

    def draw(self, generator: torch.Generator | None, processes: Processes) -> None:
        """Draw what has to be known before the statistics are gathered: by default nothing."""
        return

    @abstractmethod
    def wanted(self) -> Wanted:
        """The statistics that it is solved from."""

    @abstractmethod
    def solve(self, gathered: Gathered) -> Solution:
        """Its weights, in tuples, maps and dataclasses: processes share the tensors in them.

        Raises:
            torch.linalg.LinAlgError: a decomposition does not converge.
            GrowthError: statistics that are missing or not finite.
        """

    @abstractmethod
    def judged(
        self, solution: Solution, gathered: Gathered, generator: torch.Generator | None
    ) -> Solved | Applicable | LeftOut:
        """The candidate with this solution, which all processes have alike: to be measured, or settled already.

        Args:
            generator: for what has to be drawn after all.
        """


class Drawn(Protocol):
    """A candidate whose weights are drawn, so that it needs no statistics."""

    def drawn(self, generator: torch.Generator | None) -> Applicable:
        """The candidate with its weights."""


def joined(*notes: str) -> str:
    """Notes in one line; empty ones are passed over."""
    return "; ".join(dict.fromkeys(filter(None, notes)))
