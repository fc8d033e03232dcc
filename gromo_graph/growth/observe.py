"""A pass over data that sees inputs and gradients of chosen modules and leaves no trace in the network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gromo_graph.errors import GrowthError
from gromo_graph.modules.measured import MeasuredModule
from gromo_graph.network import GrowingNetwork

Loss = Callable[[Any, Tensor], Tensor]
Loader = Iterable[tuple[Any, Tensor]]


@dataclass(frozen=True)
class Observation:
    """One batch of a pass.

    Attributes:
        samples: size of the batch.
        gradients: d(sum of the per-sample losses)/d(pre-activity) of each module, by module name.
        weight_gradients, bias_gradients: the same for its parameters.
    """

    samples: int
    gradients: Mapping[str, Tensor]
    weight_gradients: Mapping[str, Tensor]
    bias_gradients: Mapping[str, Tensor | None]


@contextmanager
def evaluation_mode(network: torch.nn.Module) -> Iterator[None]:
    """No dropout and no changing buffers, so that what is measured is deterministic; restored afterwards."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def batches(loader: Loader, network: torch.nn.Module) -> Iterator[tuple[tuple[Any, ...], Tensor]]:
    """(inputs, target) on the device of the network.

    Raises:
        GrowthError: the loader gave nothing, or something that is no (x, y).
    """
    device = next(network.parameters()).device
    empty = True
    for batch in loader:
        empty = False
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise GrowthError(f"the loader gave a {type(batch).__name__}: expected pairs (x, y)")
        x, y = batch
        inputs = tuple(x) if isinstance(x, (tuple, list)) else (x,)
        yield tuple(value.to(device) for value in inputs), y.to(device)
    if empty:
        raise GrowthError("the loader gave no batch: expected at least one (a loader is read once per pass)")


def mean_loss(network: GrowingNetwork, loss: Loss, loader: Loader, *, extended: bool = False) -> float:
    """Mean loss over a loader in evaluation mode; with `extended`, as if the pending growth were applied."""
    total, count = 0.0, 0
    with evaluation_mode(network), torch.no_grad():
        for inputs, target in batches(loader, network):
            prediction = network.extended_forward(*inputs) if extended else network(*inputs)
            total += float(_scalar(loss(prediction, target))) * len(target)
            count += len(target)
    return total / count


def error_rate(network: GrowingNetwork, loader: Loader) -> float:
    """Share of the samples whose largest output is not at the index of their class, in evaluation mode.

    Raises:
        GrowthError: the targets are no class indices for the output.
    """
    wrong, count = 0, 0
    with evaluation_mode(network), torch.no_grad():
        for inputs, target in batches(loader, network):
            prediction = network(*inputs)
            if isinstance(prediction, dict):
                (prediction,) = prediction.values()
            if target.is_floating_point() or prediction.dim() != 2 or target.shape != prediction.shape[:1]:
                raise GrowthError(
                    f"the targets have shape {tuple(target.shape)} and dtype {target.dtype}: expected class indices "
                    "(samples,) for outputs (samples, classes), where the policy goes by errors"
                )
            wrong += int((prediction.argmax(dim=1) != target).sum())
            count += len(target)
    return wrong / count


def observe(
    network: GrowingNetwork,
    loss: Loss,
    loader: Loader,
    modules: Sequence[MeasuredModule],
    *,
    samples: int | None = None,
) -> Iterator[Observation]:
    """Forward and backward over a loader; the modules hold their inputs while an observation is looked at.

    Gradients come from `torch.autograd.grad`: no `.grad` of the network is read or written.

    Args:
        network: is put in evaluation mode while the pass lasts.
        loss: mean over the batch.
        modules: those to observe.
        samples: end after this many; None for all.

    Raises:
        GrowthError: the loss is no finite scalar, or a module does not influence it.
    """
    seen = 0
    with evaluation_mode(network), _storing(modules), torch.enable_grad():
        for inputs, target in batches(loader, network):
            value = _scalar(loss(network(*inputs), target)) * len(target)
            yield _observation(value, len(target), modules)
            seen += len(target)
            if samples is not None and seen >= samples:
                return


def _observation(value: Tensor, samples: int, modules: Sequence[MeasuredModule]) -> Observation:
    pre_activities = [module.pre_activity for module in modules]
    weights = [module.layer.weight for module in modules]
    biases = [module.layer.bias for module in modules if module.use_bias]
    try:
        found = torch.autograd.grad(value, [*pre_activities, *weights, *biases])
    except RuntimeError as error:
        raise GrowthError(
            "the loss does not depend on every layer that may grow: expected a loss computed from the "
            f"network's prediction by differentiable operations ({error})"
        ) from error
    names = [module.name for module in modules]
    with_bias = iter(found[2 * len(modules) :])
    return Observation(
        samples,
        dict(zip(names, found, strict=False)),
        dict(zip(names, found[len(modules) :], strict=False)),
        {module.name: next(with_bias) if module.use_bias else None for module in modules},
    )


@contextmanager
def _storing(modules: Sequence[MeasuredModule]) -> Iterator[None]:
    before = [(module, module.store_input, module.store_pre_activity) for module in modules]
    for module in modules:
        module.store_input = module.store_pre_activity = True
    try:
        yield
    finally:
        for module, store_input, store_pre_activity in before:
            module.store_input, module.store_pre_activity = store_input, store_pre_activity


def _scalar(value: Tensor) -> Tensor:
    if value.dim() != 0:
        raise GrowthError(
            f"the loss has shape {tuple(value.shape)}: expected a scalar, the mean over the batch"
        )
    if not bool(torch.isfinite(value.detach())):
        raise GrowthError(
            f"the loss is {float(value.detach())}: expected a finite number (look at the data and the rate)"
        )
    return value
