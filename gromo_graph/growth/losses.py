"""Losses and errors over a loader, in all processes together; those on held-out data decide about growth."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gromo_graph.errors import GrowthError
from gromo_graph.growth.effort.held_out_parts import held_out_part
from gromo_graph.growth.effort.sample_parts import samples_of
from gromo_graph.growth.means import check_mean, few, share_of
from gromo_graph.growth.observe import Loader, Loss, batches, finite, same_draws, scalar
from gromo_graph.growth.process_sums import ALONE, Processes
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.draft import Draft
from gromo_graph.network.forward import evaluation_mode
from gromo_graph.network.tail import Tail
from gromo_graph.spec.settings import When

# Relative differences below this are no differences.
_ROUNDING = 1e-5
# What enters the tail of a draft is kept for at most so many times the samples that were asked for.
_KEPT = 4


class HeldOut:
    """Held-out data with the loss.

    Args:
        loss: the mean over a batch. processes: each with a share of the data.

    Attributes:
        loader: the held-out pairs, None until some are given.
    """

    def __init__(self, loss: Loss, processes: Processes) -> None:
        self.loss, self.processes = loss, processes
        self.loader: Loader | None = None
        self._checked: Loader | None = None
        self._parts: dict[int, tuple[Loader, Loader]] = {}

    def loss_of(self, network: GrowingNetwork, about: int | None = None) -> float:
        """The held-out loss; with data that are new it is checked that it is a mean over samples.

        Args:
            about: goes by so many samples from all over the data (`held_out_part`); None takes all.

        Raises:
            GrowthError: as for `mean_loss`.
        """
        assert self.loader is not None  # every way to a trial gives data first
        if self.loader is not self._checked:
            mean_loss(network, self.loss, self.loader, checked=False, processes=self.processes)
            self._checked = self.loader
        part = self.loader if about is None else self._part(network, about)
        return mean_loss(network, self.loss, part, processes=self.processes)

    def by_step_size(self, draft: Draft, about: int) -> Callable[[float], float]:
        """The held-out loss of a draft at a step size γ; nothing is computed again that γ leaves alone.

        Args:
            about: goes by so many samples (`loss_of`).
        """
        part, network = self._part(draft.network, about), draft.network
        samples = samples_of(part)
        if samples is None or samples > _KEPT * about:
            return lambda gamma: mean_loss(draft.at(gamma), self.loss, part, processes=self.processes)
        tail = Tail(draft)
        with same_draws(network):
            entered = tail.entered(batches(part, network))

        def loss_at(gamma: float) -> float:
            draft.at(gamma)
            with evaluation_mode(network):  # `again` calls modules that stand before the tail
                return mean_loss(tail, self.loss, entered, processes=self.processes)

        return loss_at

    def _part(self, network: GrowingNetwork, about: int) -> Loader:
        """The same samples each time for the same data."""
        assert self.loader is not None
        whole, part = self._parts.get(about, (None, None))
        if part is None or whole is not self.loader:
            with same_draws(network):
                part = held_out_part(self.loader, network, self.processes, about)
            self._parts[about] = self.loader, part
        return part

    def error_of(self, network: GrowingNetwork) -> float:
        """The share of the held-out samples that get a wrong class."""
        assert self.loader is not None
        return error_rate(network, self.loader, loss=self.loss, processes=self.processes)

    def is_constant(self, network: GrowingNetwork) -> bool:
        """True if a network gives one prediction for all held-out samples, but for rounding."""
        assert self.loader is not None
        return not self.processes.any(_varies(network, self.loader))

    def watched(self, network: GrowingNetwork, when: When, train_loader: Loader) -> float:
        """The value whose plateau the policy waits for."""
        if when.watch == "validation_error":
            return self.error_of(network)
        if when.watch == "train_loss":
            return mean_loss(network, self.loss, train_loader, processes=self.processes)
        return self.loss_of(network)


def _varies(network: GrowingNetwork, loader: Loader) -> bool:
    """True if predictions differ between samples of this process."""
    first: list[Tensor] | None = None
    with evaluation_mode(network), same_draws(network), torch.no_grad():
        for inputs, _ in batches(loader, network):
            prediction = network(*inputs)
            outputs = list(prediction.values()) if isinstance(prediction, dict) else [prediction]
            first = [output[:1] for output in outputs] if first is None else first
            pairs = zip(outputs, first, strict=True)
            if any(bool(((a - b).abs() > _ROUNDING * b.abs()).any()) for a, b in pairs):
                return True
    return False


def mean_loss(
    network: torch.nn.Module,
    loss: Loss,
    loader: Loader,
    *,
    checked: bool = True,
    processes: Processes = ALONE,
) -> float:
    """Mean loss over a loader in evaluation mode.

    Args:
        checked: whether it is known already that the mean does not depend on how the samples are cut into batches.
        processes: each with a share of the samples.

    Raises:
        GrowthError: it does depend on it (`check_mean`); the loader is empty, or the loss is no finite scalar.
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
    total, weights = processes.totals(total, count)
    return finite(total / weights if weights else math.nan)


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
