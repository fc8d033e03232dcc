"""Statistics of all processes together: sums and counts are added up, so that the means are those of all samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gromo_graph.growth.process_sums import Processes
from gromo_graph.modules.statistic import TensorStatistic


def sum_up(statistics: Sequence[TensorStatistic], processes: Processes) -> None:
    """Add what the other processes have counted to each statistic; all processes give the same ones, in one order.

    Those that nobody has counted stay empty.
    """
    statistics = [statistic for statistic in statistics if statistic.samples]
    if processes.count == 1 or not statistics:
        return
    counts = torch.tensor([[s.samples, s.updates] for s in statistics], dtype=torch.int64)
    parts = [statistic.counted() for statistic in statistics]
    spreads = torch.tensor([[part.squares, part.parts] for part in parts], dtype=torch.float64)
    packed = [_packed(part.total, upper=part.upper) for part in parts]
    processes.add_up([counts, spreads, *packed])
    for statistic, part, values, (samples, updates), (squares, number) in zip(
        statistics, parts, packed, counts.tolist(), spreads.tolist(), strict=True
    ):
        _unpack(values, part.total, upper=part.upper)
        statistic.recount(samples, updates, squares=squares, parts=round(number))


def _packed(total: Tensor, *, upper: bool) -> Tensor:
    """A copy in one row; of a symmetric sum what is on and above the diagonal, about half of it."""
    if not upper:
        return total.reshape(-1).clone()
    return total[_above(total)]


def _unpack(values: Tensor, total: Tensor, *, upper: bool) -> None:
    if upper:
        total[_above(total)] = values
    else:
        total.copy_(values.reshape(total.shape))


def _above(total: Tensor) -> Tensor:
    return torch.ones_like(total, dtype=torch.bool).triu()
