"""The built-in training: losses, optimizers and schedules by the names of the spec, one epoch, one evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, TypedDict

import torch
from torch import Tensor

from gromo_graph.errors import NotFiniteError, RunError
from gromo_graph.growth.process_sums import ALONE, Processes, lost_peers
from gromo_graph.network.forward import evaluation_mode
from gromo_graph.spec.train_settings import Optimizer, Train

Loss = Callable[[Any, Tensor], Tensor]
Batches = Iterable[tuple[Tensor, Tensor]]
AfterStep = Callable[[torch.nn.Module, Tensor, Tensor], torch.nn.Module]


class Means(TypedDict):
    """Means over samples.

    Attributes:
        loss: of the training (regression: on standardised targets).
        accuracy: share of samples whose class was found; None without classes.
    """

    loss: float
    accuracy: float | None


LOSSES: dict[str, Loss] = {
    "cross_entropy": torch.nn.functional.cross_entropy,
    "mse": torch.nn.functional.mse_loss,
}

_OPTIMIZERS: dict[str, Callable[[Iterable[Tensor], Optimizer], torch.optim.Optimizer]] = {
    "sgd": lambda parameters, asked: torch.optim.SGD(
        parameters, lr=asked.lr, momentum=asked.momentum, weight_decay=asked.weight_decay
    ),
    "adam": lambda parameters, asked: torch.optim.Adam(
        parameters, lr=asked.lr, weight_decay=asked.weight_decay
    ),
    "adamw": lambda parameters, asked: torch.optim.AdamW(
        parameters, lr=asked.lr, weight_decay=asked.weight_decay
    ),
}

_SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}


def make_optimizer(network: torch.nn.Module, asked: Optimizer) -> torch.optim.Optimizer:
    """The optimizer that a spec asks for."""
    return _OPTIMIZERS[asked.name](network.parameters(), asked)


def learning_rate(train: Train, progress: float) -> float:
    """The learning rate after a share of the training: a function of nothing else, so growth cannot disturb it.

    >>> learning_rate(Train(), 0.5)
    0.0015
    """
    return train.optimizer.lr * _SCHEDULES[train.schedule](progress)


def train_epoch(
    network: torch.nn.Module,
    loss: Loss,
    loader: Batches,
    optimizer: torch.optim.Optimizer,
    *,
    rate: Callable[[int], float],
    after_batch: Callable[[], None] = lambda: None,
    after_step: AfterStep = lambda network, x, y: network,
    clock: str = "",
    accumulate: int = 1,
    amp: bool = False,
    processes: Processes = ALONE,
) -> Means:
    """Train on every batch once.

    Args:
        network, loss, loader, optimizer: `loss(prediction, target)` is the mean over the batch.
        rate: the learning rate of the n-th batch.
        after_batch: called after each batch: a safe place to stop.
        after_step: called after each step of the optimizer with the last batch of it; gives the network to go on with.
        clock: what messages call this epoch.
        accumulate: batches that make one step together, by the mean over all their samples.
        amp: compute in bfloat16 if that is precise enough (torch.autocast).
        processes: that train together, each with its share of every batch; the network then averages the gradients.

    Returns:
        Means over the samples as they were trained on, the network changing on the way.

    Raises:
        NotFiniteError: the loss is NaN or infinite.
    """
    network.train()
    device = _device_of(network)
    sums = _Sums(device)
    step = _Step(optimizer, accumulate)
    failure: NotFiniteError | None = None
    for index, (x, y, weight, samples) in enumerate(_weighted(loader)):
        if step.begins:
            step.begin(rate(index))
        with lost_peers(), torch.autocast(device.type, torch.bfloat16, enabled=amp):
            prediction = single_output(network(x))
            value = loss(prediction, y)
        if failure is None and not torch.isfinite(value):
            where = f"{clock or 'an epoch'}, batch {index + 1}"
            failure = not_finite("training", float(value.detach()), where, step.lr)
            if processes.count == 1:
                raise failure
        with lost_peers():
            step.backward(value, weight, samples)
        if weight:
            sums.add(value.detach(), prediction.detach(), y)
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
        optimizer: that makes it. accumulate: batches it is made of, at the most.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, accumulate: int) -> None:
        self.optimizer, self.accumulate = optimizer, accumulate
        self.lr, self.batches, self.samples = 0.0, 0, 0

    @property
    def begins(self) -> bool:
        return self.batches == 0

    def begin(self, lr: float) -> None:
        self.lr = lr
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, value: Tensor, weight: float, samples: int) -> None:
        """The gradient of a batch's mean loss; of several, that of their sum until the step is made."""
        scale = weight if self.accumulate == 1 else weight * samples
        (value if scale == 1.0 else value * scale).backward()
        self.batches += 1
        self.samples += samples
        if self.batches == self.accumulate:
            self.end()

    def end(self) -> None:
        """Make the step, also if there are fewer batches left."""
        if self.begins:
            return
        if self.accumulate > 1:
            for group in self.optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad.div_(self.samples)
        self.optimizer.step()
        self.batches = self.samples = 0


def _weighted(loader: Batches) -> Iterable[tuple[Tensor, Tensor, float, int]]:
    """Batches with what the share of this process weighs, and how many samples the whole batch has."""
    own = getattr(loader, "weighted", None)
    return own() if own is not None else ((x, y, 1.0, len(y)) for x, y in loader)


def evaluate(network: torch.nn.Module, loss: Loss, loader: Batches, *, processes: Processes = ALONE) -> Means:
    """Means over all samples, of all processes together, in evaluation mode; nothing changes.

    Raises:
        RunError: there are no samples.
    """
    sums = _Sums(_device_of(network))
    with torch.no_grad(), evaluation_mode(network):
        for x, y in loader:
            prediction = single_output(network(x))
            sums.add(loss(prediction, y), prediction, y)
    return sums.means(processes)


def not_finite(what: str, loss: float, when: str, lr: float) -> NotFiniteError:
    """The error for a loss that is NaN or infinite."""
    return NotFiniteError(
        f"the {what} loss is {loss} in {when}, at learning rate {lr:.3g}",
        f"lower it (--set train.optimizer.lr={lr / 10:.1g}) or look at the data",
    )


def batch_loss(name: str) -> Callable[[Any, Tensor], Tensor]:
    """A loss by its name in the spec, of the one output of a network."""
    loss = LOSSES[name]
    return lambda prediction, target: loss(single_output(prediction), target)


def single_output(output: Any) -> Tensor:
    """The one output of a network, also of one that returns its outputs by name."""
    if isinstance(output, dict):
        (output,) = output.values()
    tensor: Tensor = output
    return tensor


class _Sums:
    """Sums over samples, kept on the device so that no batch waits for another."""

    def __init__(self, device: torch.device) -> None:
        precise = torch.float64 if device.type != "mps" else torch.float32
        self.loss = torch.zeros((), dtype=precise, device=device)
        self.right = torch.zeros((), dtype=torch.int64, device=device)
        self.samples = 0
        self.labels = False

    def add(self, value: Tensor, prediction: Tensor, y: Tensor) -> None:
        self.loss += value * len(y)
        self.samples += len(y)
        if not y.is_floating_point():
            self.labels = True
            self.right += (prediction.argmax(dim=1) == y).sum()

    def means(self, processes: Processes) -> Means:
        loss, right, samples, labels = processes.totals(
            float(self.loss), int(self.right), self.samples, self.labels
        )
        if not samples:
            raise RunError("there are no samples to measure")
        return Means(loss=loss / samples, accuracy=right / samples if labels else None)


def _device_of(network: torch.nn.Module) -> torch.device:
    return next(network.parameters()).device
