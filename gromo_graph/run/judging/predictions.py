"""Predictions of a network beside their targets, of all processes together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gromo_graph.errors import RunError
from gromo_graph.growth.process_sums import ALONE, Processes
from gromo_graph.network.forward import evaluation_mode, inputs_of
from gromo_graph.run.training.objective import Objective, joined_outputs
from gromo_graph.run.training.output_losses import class_rows


@dataclass(frozen=True, eq=False)
class Predictions:
    """A part of the data as a network sees it.

    Attributes:
        outputs: of the network, (samples, outputs), on the CPU; a row for each position that counts, if there are any.
        targets: class indices (samples,), or values (samples, outputs).
        loss: mean over the samples.
    """

    outputs: Tensor
    targets: Tensor
    loss: float


def predictions_of(
    network: torch.nn.Module,
    loss: Objective,
    loader: Iterable[tuple[Any, Tensor]],
    *,
    processes: Processes = ALONE,
) -> Predictions:
    """The predictions for a loader in evaluation mode; nothing changes.

    Args:
        loss: of the training. processes: each with a share of the samples; all get the predictions of all.

    Raises:
        RunError: there are no samples.
    """
    outputs, targets, total, count = [], [], 0.0, 0.0
    with torch.no_grad(), evaluation_mode(network):
        for x, y in loader:
            prediction = joined_outputs(network(*inputs_of(x)))
            share = loss.share(prediction, y)
            total += float(loss(prediction, y) * share)  # rounded as after an epoch
            count += share
            rows, wanted = class_rows(prediction.detach(), loss.targets(y))
            outputs.append(rows.cpu())
            targets.append(wanted.cpu())
    total, count = processes.totals(total, count)
    if not count:
        raise RunError("there are no samples to measure")
    return Predictions(processes.rows(torch.cat(outputs)), processes.rows(torch.cat(targets)), total / count)
