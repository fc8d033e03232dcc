"""One epoch of the built-in training, and one evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor

from gromo_graph.errors import NotFiniteError, RunError
from gromo_graph.growth.process_sums import ALONE, Processes, lost_peers
from gromo_graph.network.forward import evaluation_mode, inputs_of
from gromo_graph.run.training.objective import Objective

Batches = Iterable[tuple[Any, Tensor]]
AfterStep = Callable[[torch.nn.Module, Any, Tensor], torch.nn.Module]


class Means(TypedDict):
    """Means over samples.

    Attributes:
        loss: of the training (regression: on standardised targets).
        accuracy: share of samples whose class was found; None without classes.
    """

    loss: float
    accuracy: float | None


def train_epoch(
    network: torch.nn.Module,
    loss: Objective,
    loader: Batches,
    optimizers: Sequence[torch.optim.Optimizer],
    *,
    rate: Callable[[int], float],
    after_batch: Callable[[], None] = lambda: None,
    after_step: AfterStep = lambda network, x, y: network,
    clock: str = "",
    accumulate: int = 1,
    clip: float | None = None,
    amp: bool = False,
    processes: Processes = ALONE,
) -> Means:
    """Train on every batch once.

    Args:
        network, loader: what is trained, and its batches. loss: the mean over a batch.
        optimizers: that share the parameters.
        rate: the learning rate of the n-th batch.
        after_batch: called after each batch: a safe place to stop.
        after_step: called after each step of the optimizer with the last batch of it; gives the network to go on with.
        clock: what messages call this epoch.
        accumulate: batches that make one step together, by the mean over all their samples.
        clip: the greatest norm of the gradient of all parameters together.
        amp: compute in bfloat16 if that is precise enough (torch.autocast).
        processes: that train together, each with its share of every batch; the network then averages the gradients.

    Returns:
        Means over the samples as they were trained on, the network changing on the way.

    Raises:
        NotFiniteError: the loss is NaN or infinite.
    """
    network.train()
    device = _device_of(network)
    sums = _Sums(device, loss)
    step = _Step(optimizers, accumulate, clip)
    failure: NotFiniteError | None = None
    for index, (x, y, weight, samples) in enumerate(_weighted(loader)):
        if step.begins:
            step.begin(rate(index))
        with lost_peers(), torch.autocast(device.type, torch.bfloat16, enabled=amp):
            prediction = network(*inputs_of(x))
            value = loss(prediction, y)
        if failure is None and not torch.isfinite(value):
            where = f"{clock or 'an epoch'}, batch {index + 1}"
            failure = not_finite("training", float(value.detach()), where, step.lr)
            if processes.count == 1:
                raise failure
        counts, divisor = weight > 0.0, float(samples)
        if not loss.uniform:
            own = loss.share(prediction, y) if counts else 0.0
            (divisor,) = processes.totals(own)
            weight = own * processes.count / divisor if divisor else 0.0
        with lost_peers():
            step.backward(value, weight, divisor)
        if counts:
            sums.add(value.detach(), prediction, y)
        if step.begins and failure is None:
            network = after_step(network, x, y)
        after_batch()
    if not step.begins:
        step.end()
        after_step(network, x, y)
    if processes.any(failure is not None):  # all go through the same batches, and stop at the same place
        raise failure or NotFiniteError(
            f"the training loss of another process is not finite in {clock}", "lower the learning rate"
        )
    return sums.means(processes)


class _Step:
    """A training step, of one batch or of several.

    Args:
        optimizers: that make it. accumulate: batches it is made of, at the most.
        clip: the greatest norm of the gradient, or None.
    """

    def __init__(
        self, optimizers: Sequence[torch.optim.Optimizer], accumulate: int, clip: float | None
    ) -> None:
        self.optimizers, self.accumulate, self.clip = optimizers, accumulate, clip
        self.lr, self.batches, self.divisor = 0.0, 0, 0.0

    @property
    def begins(self) -> bool:
        return self.batches == 0

    @property
    def parameters(self) -> list[Tensor]:
        """All that the optimizers train."""
        return [each for group in self._groups for each in group["params"]]

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def begin(self, lr: float) -> None:
        self.lr = lr
        for group in self._groups:
            group["lr"] = lr
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def backward(self, value: Tensor, weight: float, divisor: float) -> None:
        """The gradient of a batch's mean loss; of several, that of their sum until the step is made.

        Args:
            value: the mean over the share of this process. weight: of that share. divisor: of the mean over the batch.
        """
        scale = weight if self.accumulate == 1 else weight * divisor
        (value if scale == 1.0 else value * scale).backward()
        self.batches += 1
        self.divisor += divisor
        if self.batches == self.accumulate:
            self.end()

    def end(self) -> None:
        """Make the step, also if there are fewer batches left."""
        if self.begins:
            return
        if self.accumulate > 1 and self.divisor:
            for parameter in self.parameters:
                if parameter.grad is not None:
                    parameter.grad.div_(self.divisor)
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        self.batches, self.divisor = 0, 0.0


def _weighted(loader: Batches) -> Iterable[tuple[Any, Tensor, float, int]]:
    """Batches with what the share of this process weighs, and how many samples the whole batch has."""
    own = getattr(loader, "weighted", None)
    return own() if own is not None else ((x, y, 1.0, len(y)) for x, y in loader)


def evaluate(
    network: torch.nn.Module, loss: Objective, loader: Batches, *, processes: Processes = ALONE
) -> Means:
    """Means over all samples, of all processes together, in evaluation mode; nothing changes.

    Raises:
        RunError: there are no samples.
    """
    sums = _Sums(_device_of(network), loss)
    with torch.no_grad(), evaluation_mode(network):
        for x, y in loader:
            prediction = network(*inputs_of(x))
            sums.add(loss(prediction, y), prediction, y)
    return sums.means(processes)


def not_finite(what: str, loss: float, when: str, lr: float) -> NotFiniteError:
    """The error for a loss that is NaN or infinite."""
    return NotFiniteError(
        f"the {what} loss is {loss} in {when}, at learning rate {lr:.3g}",
        f"lower it (--set train.optimizer.lr={lr / 10:.1g}) or look at the data",
    )


class _Sums:
    """Sums over samples, kept on the device so that no batch waits for another.

    Args:
        device: of the network. objective: whose values are added up, each by its share.
    """

    def __init__(self, device: torch.device, objective: Objective) -> None:
        precise = torch.float64 if device.type != "mps" else torch.float32
        self.objective = objective
        self.loss = torch.zeros((), dtype=precise, device=device)
        self.right = torch.zeros((), dtype=torch.int64, device=device)
        self.samples, self.share = 0, 0.0
        self.judged = False

    def add(self, value: Tensor, prediction: Any, y: Tensor) -> None:
        share = self.objective.share(prediction, y)
        self.loss += value * share
        self.share += share
        right = self.objective.right(prediction, y)
        self.samples += len(y if right is None else right)
        if right is not None:
            self.judged = True
            self.right += right.sum()

    def means(self, processes: Processes) -> Means:
        loss, share, right, samples, judged = processes.totals(
            float(self.loss), self.share, int(self.right), self.samples, self.judged
        )
        if not samples:
            raise RunError("there are no samples to measure")
        return Means(loss=loss / share if share else 0.0, accuracy=right / samples if judged else None)


def _device_of(network: torch.nn.Module) -> torch.device:
    return next(network.parameters()).device
