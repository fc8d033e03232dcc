"""The held-out data that decide about growth, and the losses of networks and drafts on them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from gromo_graph.growth.effort.held_out_parts import JUDGED, HeldOutParts, held_out_parts
from gromo_graph.growth.losses import LossSum, error_rate, loss_sum, mean_loss
from gromo_graph.growth.observe import Loader, Loss, batches, finite, same_draws
from gromo_graph.growth.process_sums import Processes
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.draft import Draft
from gromo_graph.network.forward import evaluation_mode
from gromo_graph.network.tail import Tail
from gromo_graph.spec.settings import When

# Relative differences below this are no differences.
_ROUNDING = 1e-5
# What enters the tail of a draft is kept for at most so many samples.
_KEPT = 2 * JUDGED


@dataclass(frozen=True)
class Losses:
    """Held-out losses of a network.

    Attributes:
        searched: of the samples by which step sizes are searched. judged: of those by which decisions are made.
    """

    searched: float
    judged: float


class LossesByStepSize:
    """Held-out losses of a draft by its step size; what is not finite counts as infinite.

    Args:
        searched: the losses of the samples by which step sizes are searched, at one of them.
        rest: those of the other samples that decide, None if there are no others.
        few: whether these are too few samples to trust large step sizes.
    """

    def __init__(
        self, searched: Callable[[float], LossSum], rest: Callable[[float], LossSum] | None, *, few: bool
    ) -> None:
        self._searched_at, self._rest_at, self.few = searched, rest, few
        self._searched: dict[float, LossSum] = {}

    def searched(self, gamma: float) -> float:
        """The loss by which step sizes are searched."""
        if gamma not in self._searched:
            self._searched[gamma] = self._searched_at(gamma)
        return _mean(self._searched[gamma])

    def at(self, gamma: float) -> Losses:
        """Both losses."""
        searched = self.searched(gamma)
        if self._rest_at is None:
            return Losses(searched, searched)
        return Losses(searched, _mean(self._searched[gamma] + self._rest_at(gamma)))


def _mean(summed: LossSum) -> float:
    """A step so large that the loss overflows is simply a bad step."""
    return summed.mean if math.isfinite(summed.mean) else math.inf


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
        self._parts: tuple[Loader, HeldOutParts] | None = None

    def losses_of(self, network: GrowingNetwork, *, all_samples: bool) -> Losses:
        """The losses that decide; with data that are new it is checked that the loss is a mean over samples.

        Args:
            all_samples: goes by all of them, as release 0.1 did, and not by a part.

        Raises:
            GrowthError: as for `mean_loss`.
        """
        if self.loader is not self._checked:
            mean_loss(network, self.loss, self._given, checked=False, processes=self.processes)
            self._checked = self.loader
        parts = self._parts_of(network, all_samples=all_samples)
        searched = self._sum(network, parts.searched)
        if not searched.weights and parts.rest is not None:  # the targets of all of them are ignored
            self._parts = self._given, HeldOutParts(self._given, None)
            return self.losses_of(network, all_samples=all_samples)
        judged = searched if parts.rest is None else searched + self._sum(network, parts.rest)
        return Losses(finite(searched.mean), finite(judged.mean))

    def by_step_size(self, draft: Draft, *, all_samples: bool) -> LossesByStepSize:
        """The same losses of a draft at a step size γ; nothing is computed again that γ leaves alone."""
        network = draft.network
        parts = self._parts_of(network, all_samples=all_samples)
        tail: torch.nn.Module | None = None
        if draft.written and parts.at_most(_KEPT):
            tail = Tail(draft)
            with same_draws(network):
                parts = parts.map(lambda part: tail.entered(batches(part, network)))

        def loss_of(part: Loader, gamma: float) -> LossSum:
            draft.at(gamma)
            with evaluation_mode(network):  # `again` calls modules that stand before a tail
                return self._sum(network if tail is None else tail, part)

        rest = None if parts.rest is None else partial(loss_of, parts.rest)
        return LossesByStepSize(partial(loss_of, parts.searched), rest, few=parts.few)

    def error_of(self, network: GrowingNetwork) -> float:
        """The share of the held-out samples that get a wrong class."""
        return error_rate(network, self._given, loss=self.loss, processes=self.processes)

    def is_constant(self, network: GrowingNetwork) -> bool:
        """True if a network gives one prediction for all held-out samples, but for rounding."""
        return not self.processes.any(_varies(network, self._given))

    def watched(self, network: GrowingNetwork, when: When, train_loader: Loader) -> float:
        """The value whose plateau the policy waits for."""
        if when.watch == "validation_error":
            return self.error_of(network)
        if when.watch == "train_loss":
            return mean_loss(network, self.loss, train_loader, processes=self.processes)
        return self.losses_of(network, all_samples=True).judged

    @property
    def _given(self) -> Loader:
        assert self.loader is not None  # every way to a trial gives data first
        return self.loader

    def _sum(self, module: torch.nn.Module, part: Loader) -> LossSum:
        return loss_sum(module, self.loss, part, processes=self.processes)

    def _parts_of(self, network: GrowingNetwork, *, all_samples: bool) -> HeldOutParts:
        """The same samples each time for the same data."""
        if all_samples:
            return HeldOutParts(self._given, None)
        if self._parts is None or self._parts[0] is not self.loader:
            with same_draws(network):
                self._parts = self._given, held_out_parts(self._given, network, self.processes)
        return self._parts[1]


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
