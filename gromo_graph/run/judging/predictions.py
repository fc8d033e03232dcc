"""Predictions of a network beside their targets, of all processes together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gromo_graph.errors import RunError
from gromo_graph.growth.means import share_of
from gromo_graph.growth.process_sums import ALONE, Processes
from gromo_graph.network.forward import evaluation_mode
from gromo_graph.run.trainer import single_output


@dataclass(frozen=True, eq=False)
class Predictions:
    """A part of the data as a network sees it.

    Attributes:
        outputs: of the network, (samples, outputs), on the CPU.
        targets: class indices (samples,), or values (samples, outputs).
        loss: mean over the samples.
    """

    outputs: Tensor
    targets: Tensor
    loss: float


def predictions_of(
    network: torch.nn.Module,
    loss: Callable[[Any, Tensor], Tensor],
    loader: Iterable[tuple[Tensor, Tensor]],
    *,
    processes: Processes = ALONE,
) -> Predictions:
    """The predictions for a loader in evaluation mode; nothing changes.

    Args:
        loss: the mean over a batch. processes: each with a share of the samples; all get the predictions of all.

    Raises:
        RunError: there are no samples.
    """
    outputs, targets, total, count = [], [], 0.0, 0.0
    share = share_of(loss)
    with torch.no_grad(), evaluation_mode(network):
        for x, y in loader:
            prediction = single_output(network(x))
            weight = share(prediction, y)
            total += float(loss(prediction, y)) * weight if weight else 0.0
            count += weight
            outputs.append(prediction.detach().cpu())
            targets.append(y.cpu())
    total, count = processes.totals(total, count)
    if not count:
        raise RunError("there are no samples to measure")
    return Predictions(processes.rows(torch.cat(outputs)), processes.rows(torch.cat(targets)), total / count)
