"""A width group with the statistics of all its modules, and with what these need to know of its functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from gromo_graph.algebra import PaddedRows
from gromo_graph.layers.layer_group import LayerGroup
from gromo_graph.statistics.capture import ObservedLayer
from gromo_graph.statistics.linearised_paths import LinearPaths, linear_paths_of, plain_gain
from gromo_graph.statistics.running_mean import SharedMoment

Layer_co = TypeVar("Layer_co", bound=ObservedLayer, covariant=True)


@dataclass(frozen=True)
class SideBySide:
    """The rows of several producers beside each other, and how they arrive.

    Attributes:
        rows: (n, columns of all producers).
        gains: (columns, read places), the factor of each column in each place.
        passes: the forward passes of the producers that they are of.
    """

    rows: PaddedRows
    gains: Tensor
    passes: tuple[object, ...]

    @property
    def by_pair(self) -> Tensor:
        """The factor of the product of two columns, summed over the places, (columns, columns)."""
        return self.gains @ self.gains.T


@dataclass(eq=False)
class MeasuredGroup(LayerGroup[Layer_co]):
    """A width group whose modules gather statistics.

    Attributes:
        together: the stored batch of all producers side by side, as last made (`side_by_side`).
        known_paths: the linearised paths; None measures them when they are first asked for.
        second_moment: S of everything that the producers read, summed over the places (docs/maths.md, "Width groups").
    """

    together: SideBySide | None = None
    known_paths: LinearPaths | None = None
    second_moment: SharedMoment = field(default_factory=lambda: SharedMoment("S of the growth"))

    @property
    def linear_paths(self) -> LinearPaths:
        """The linearised paths from producers to places; measured once."""
        if self.known_paths is None:
            self.known_paths = linear_paths_of(self)
        return self.known_paths

    @cached_property
    def gains(self) -> Tensor | None:
        """The factor of each producer at each place that is read, (producers, read places), 0 if it does not reach it.

        None if some operation on the way mixes positions.
        """
        rows = [
            [plain_gain(self.linear_paths.to(producer, place)) for place in self.read_places()]
            for producer in self.producers
        ]
        if any(gain is None for row in rows for gain in row):
            return None
        return torch.tensor(rows, dtype=torch.float64)


ObservedGroup = MeasuredGroup[ObservedLayer]
