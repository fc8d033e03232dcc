"""Comparison of an imported network with the model."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from gromo_graph.interop.traces.trace import without_extras
from gromo_graph.layers.attention import Attend
from gromo_graph.layers.reparametrized import copy_of
from gromo_graph.layers.torch_half_lookup import rows
from gromo_graph.network import GrowingNetwork

_EXACT = (
    2e-7  # what a spec says otherwise, such as 1/std for a buffer, is rounded to the precision of the model
)
_FOLDED = 1e-5  # weights computed from others are rounded before all layers behind them
_ROUNDED = 1e-4
_SEED = 0


def disagreement(
    model: nn.Module,
    network: GrowingNetwork,
    inputs: Mapping[str, Tensor],
    *,
    train: bool,
    folded: bool = False,
) -> str | None:
    """The difference of outputs beyond rounding, or None. Both are copied, and run in float64 if they can be.

    Args:
        inputs: examples by name; a random sample is put behind them. train: also compare in training, where dropout is
            left out on both sides. folded: whether the network has weights that the model computes anew at each call.
    """
    given = _with_a_random_sample(inputs)
    for training in (False, True) if train else (False,):
        found = _apart(model, network, given, training=training, exact=_FOLDED if folded else _EXACT)
        if found is not None:
            mode = "training" if training else "evaluation"
            return (
                f"what was read of it gives other outputs in {mode} mode: {found}; it depends on its mode, the batch "
                "or values in a way that tracing does not see"
            )
    return None


def _with_a_random_sample(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An example may be all zeros, and its batch is the one that was traced."""
    generator = torch.Generator().manual_seed(_SEED)
    return {name: torch.cat([value, random_samples(value, 1, generator)]) for name, value in inputs.items()}


def random_samples(value: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """Other samples of the shape and kind of an example (batch, ...)."""
    if value.is_floating_point():
        return torch.randn(samples, *value.shape[1:], generator=generator).to(value)
    # Which token ids there are is not known: those of the example in other orders.
    first = value[0].flatten()
    orders = [torch.randperm(first.numel(), generator=generator) for _ in range(samples)]
    return torch.stack([first[order.to(value.device)] for order in orders]).reshape(-1, *value.shape[1:])


def _apart(
    model: nn.Module, network: GrowingNetwork, inputs: Mapping[str, Tensor], *, training: bool, exact: float
) -> str | None:
    for double in (True, False):
        one, other = (_prepared(module, training, double) for module in (model, network))
        given = {
            name: value.double() if double and value.is_floating_point() else value
            for name, value in inputs.items()
        }
        try:
            expected = _outputs(one, (), given)
        except Exception as error:
            if double:
                continue  # it may insist on its own precision
            return None if training else f"the model itself raises {type(error).__name__}: {error}"
        try:
            found = _outputs(other, list(given.values()), {})
        except Exception as error:
            return f"the network raises {type(error).__name__}: {error}"
        return _compared(expected, found, exact if double else _ROUNDED)
    return None


@contextmanager
def seeded() -> Iterator[None]:
    """A context with random numbers that are always the same, those of Python and numpy too."""
    others = random.getstate(), np.random.get_state()
    random.seed(_SEED)
    np.random.seed(_SEED)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            yield
    finally:
        random.setstate(others[0])
        np.random.set_state(others[1])


def _prepared(module: nn.Module, training: bool, double: bool) -> nn.Module:
    copied = copy_of(module).train(training)
    for inner in copied.modules():
        if isinstance(inner, _DropoutNd):
            inner.p = 0.0
        if type(inner).__name__ in rows().named:  # stochastic depth of a library
            for name in {"p", "drop_prob"} & vars(inner).keys():
                setattr(inner, name, 0.0)
        if isinstance(inner, nn.MultiheadAttention | Attend):
            inner.dropout = 0.0
    return copied.double() if double else copied


def _outputs(module: nn.Module, arguments: Any, named: Mapping[str, Tensor]) -> list[Tensor]:
    with torch.no_grad(), seeded():
        given = (value.clone() for value in arguments)
        found = without_extras(module(*given, **{k: v.clone() for k, v in named.items()}))
    if isinstance(found, Mapping):
        return list(found.values())
    return [found] if isinstance(found, Tensor) else list(found)


def _compared(expected: list[Tensor], found: list[Tensor], close: float) -> str | None:
    if len(expected) != len(found):
        return f"{len(expected)} outputs, and {len(found)} of the network"
    for one, other in zip(expected, found, strict=True):
        if one.shape != other.shape:
            return f"the shape {tuple(one.shape)}, and {tuple(other.shape)} of the network"
        finite = one[one.isfinite()]
        scale = max(1.0, float(finite.abs().max())) if finite.numel() else 1.0
        if not torch.allclose(one.double(), other.double(), rtol=0.0, atol=close * scale, equal_nan=True):
            return f"they differ by {float((one.double() - other.double()).abs().max()):.3g}"
    return None
