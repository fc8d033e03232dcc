"""Exact slopes of all candidates in one pass over the data (docs/maths.md, "Exact slopes"), and the choice by them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gromo_graph.growth.candidates.stages import Solved, Sums
from gromo_graph.growth.observe import Curvature, Loader, Loss, Observation, Watched, observe
from gromo_graph.growth.process_sums import Processes
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Neurons

CURVATURE = "curvature"
"""The name of Σ of the products of `Solved.sample_slopes`, among the sums of a candidate."""
# Slopes below this share of the steepest one are rounding, and as well negative.
_EQUAL = 1e-5  # relative difference up to which the slopes of both signs of a neuron count as equal
_ROUNDING = 1e-5


@dataclass
class SlopeSums:
    """The slopes of one candidate, added up over the samples.

    Attributes:
        solved: the candidate. totals: by the names that its `batch_slopes` gives.
    """

    solved: Solved
    totals: dict[Hashable, Tensor] = field(default_factory=dict)

    @torch.no_grad()
    def add(self, seen: Observation) -> None:
        """Count a batch."""
        for name, value in self.solved.batch_slopes(seen).items():
            self._add(name, value)
        for gradients in seen.draws if seen.probe is None else (*seen.draws, seen.probe):
            rows = self.solved.sample_slopes(replace(seen, gradients=gradients))
            if rows is not None:
                rows = rows.to(torch.float64)
                self._add(CURVATURE, rows.T @ rows)

    def _add(self, name: Hashable, value: Tensor) -> None:
        self.totals[name] = self.totals[name] + value if name in self.totals else value

    def share(self, processes: Processes) -> None:
        """Add what the other processes have counted."""
        processes.add_up(list(self.totals.values()))

    def means(self, weight: float) -> Sums:
        """Slopes of the mean loss, from what all batches count in it."""
        return {name: total / weight for name, total in self.totals.items()}


def measure(
    network: GrowingNetwork,
    loss: Loss,
    loader: Loader,
    solved: Sequence[Solved],
    *,
    processes: Processes,
    curvature: Curvature | None = None,
) -> list[Sums]:
    """The slopes of all candidates, from one pass; no weight is touched, and candidates know nothing of each other.

    Args:
        loader: all its samples count. processes: each with its share of the data.
        curvature: along the candidates, if it is wanted, and from which gradients.
    """
    sums = [SlopeSums(each) for each in solved]
    watched = Watched.union([each.watched for each in solved])
    weight = 0.0
    with processes.together():
        for seen in observe(network, loss, loader, watched, curvature=curvature):
            weight += seen.weight
            for each in sums:
                each.add(seen)
    for each in sums:
        each.share(processes)
    (weight,) = processes.totals(weight)
    return [each.means(weight) for each in sums]


def newton_step(slopes: Sums, slope: float, along: Tensor | None = None) -> float | None:
    """The γ at which a quadratic model of the loss is lowest, and the slope times it is twice its decrease.

    Args:
        slopes: with the curvature, if it was measured. slope: of the candidate.
        along: (any number,), what the candidate has of each of `Solved.sample_slopes`; None for all.

    Returns:
        None if no curvature was measured, or there is none.

    >>> newton_step({CURVATURE: torch.eye(2)}, 4.0, torch.tensor([1.0, 1.0]))
    2.0
    """
    if CURVATURE not in slopes:
        return None
    matrix = slopes[CURVATURE].to(torch.float64)
    along = matrix.new_ones(len(matrix)) if along is None else along.to(matrix)
    curvature = float(along @ matrix @ along)
    return slope / curvature if slope > 0.0 and curvature > 0.0 else None


def total(products: Tensor) -> Tensor:
    """The sum of all entries, in double precision on the CPU: batches are added up without rounding."""
    return torch.tensor(float(products.sum()), dtype=torch.float64)


def best_signs(kept: Tensor, flipped: Tensor) -> tuple[Tensor, Tensor]:
    """The better of the two slopes of each neuron, and the sign that has it.

    Slopes that differ by rounding alone are equal: behind an odd activation both signs are as good, and several
    processes that add up in another order have to take the same one.

    Args:
        kept: (neurons,), slopes with the signs that the neurons have.
        flipped: (neurons,), slopes with the opposite signs.

    >>> best_signs(torch.tensor([1.0, 1.0]), torch.tensor([1.0000001, 2.0]))
    (tensor([1., 2.]), tensor([ 1., -1.]))
    """
    margin = _EQUAL * torch.maximum(kept.abs(), flipped.abs())
    flips = flipped > kept + margin
    return torch.where(flips, flipped, kept), torch.where(flips, -1.0, 1.0).to(kept.dtype)


def enough(slopes: Tensor, most: int, wanted: Neurons) -> int:
    """The number of neurons that are taken, the steepest first.

    Args:
        slopes: (neurons,), in descending order. most: how many at the most. wanted: which are worth it.

    >>> enough(torch.tensor([4.0, 3.0, 2.0, 1.0, -1.0]), 3, Neurons())
    3
    >>> enough(torch.tensor([4.0, 3.0, 2.0, 1.0, -1.0]), 8, Neurons(reach=0.7)), enough(torch.ones(4), 2, Neurons())
    (2, 2)
    """
    slopes = slopes[slopes > _ROUNDING * slopes[:1].clamp_min(0.0)]
    if len(slopes) == 0:
        return 0
    steep = int((slopes >= wanted.least * slopes[0]).sum())
    reached = slopes.cumsum(0) < wanted.reach * slopes.sum() * (1.0 - 1e-6)
    return min(most, steep, int(reached.sum()) + 1)
