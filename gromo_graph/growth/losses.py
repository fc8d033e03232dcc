"""Mean losses and errors over a loader, in all processes together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gromo_graph.errors import GrowthError
from gromo_graph.growth.means import check_mean, few, share_of
from gromo_graph.growth.observe import Loader, Loss, batches, finite, same_draws, scalar
from gromo_graph.growth.process_sums import ALONE, Processes
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.forward import evaluation_mode


@dataclass(frozen=True)
class LossSum:
    """Losses of samples, summed with their weights in the mean."""

    total: float
    weights: float

    @property
    def mean(self) -> float:
        """The mean loss; no number if there are no samples."""
        return self.total / self.weights if self.weights else math.nan

    def __add__(self, other: LossSum) -> LossSum:
        return LossSum(self.total + other.total, self.weights + other.weights)


def mean_loss(
    network: torch.nn.Module,
    loss: Loss,
    loader: Loader,
    *,
    checked: bool = True,
    processes: Processes = ALONE,
) -> float:
    """Mean loss over a loader in evaluation mode.

    Raises:
        GrowthError: as for `loss_sum`; the loader is empty, or the mean is not finite.
    """
    return finite(loss_sum(network, loss, loader, checked=checked, processes=processes).mean)


def loss_sum(
    network: torch.nn.Module,
    loss: Loss,
    loader: Loader,
    *,
    checked: bool = True,
    processes: Processes = ALONE,
) -> LossSum:
    """The sum of the losses over a loader in evaluation mode.

    Args:
        checked: whether it is known already that the mean does not depend on how the samples are cut into batches.
        processes: each with a share of the samples.

    Raises:
        GrowthError: it does depend on it (`check_mean`), or the loss is no scalar.
    """
    total, count = 0.0, 0.0
    looked_at: list[tuple[Any, Tensor]] = []
    share = share_of(loss)
    with processes.together(), evaluation_mode(network), same_draws(network), torch.no_grad():
        for inputs, target in batches(loader, network):
            prediction = network(*inputs)
            weight = share(prediction, target)
            if weight:  # the mean over nothing is no number
                total += float(scalar(loss(prediction, target))) * weight
            count += weight
            if not checked:
                looked_at.append(few(prediction, target))
            if not math.isfinite(total):
                break
        check_mean(loss, looked_at)
    return LossSum(*processes.totals(total, count))


def error_rate(
    network: GrowingNetwork, loader: Loader, *, loss: object = None, processes: Processes = ALONE
) -> float:
    """Share of the samples whose largest output is not at the index of their class, in evaluation mode.

    Args:
        loss: one with a method `targets` says which class indices its targets hold, as one that weighs samples.

    Raises:
        GrowthError: the targets are no class indices for the output.
    """
    wrong, count = 0, 0
    read = getattr(loss, "targets", None)
    with processes.together(), evaluation_mode(network), same_draws(network), torch.no_grad():
        for inputs, given in batches(loader, network):
            prediction, target = network(*inputs), given if read is None else read(given)
            if isinstance(prediction, dict):
                (prediction,) = prediction.values()
            if target.is_floating_point() or prediction.dim() != 2 or target.shape != prediction.shape[:1]:
                raise GrowthError(
                    f"the targets have shape {tuple(target.shape)} and dtype {target.dtype}: expected class indices "
                    "(samples,) for outputs (samples, classes), where the policy goes by errors"
                )
            wrong += int((prediction.argmax(dim=1) != target).sum())
            count += len(target)
    errors, samples = processes.totals(wrong, count)
    return errors / samples
