"""The optimizer follows a network that grew: old weights keep their state, new entries get a sound start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

# Running means of squared gradients, by the names that torch's optimizers give them.
_SECOND_MOMENTS = frozenset({"exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum", "exp_inf"})


def follow_growth(
    optimizer: torch.optim.Optimizer, before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> None:
    """Replace grown parameters in an optimizer; everything else about it stays.

    The old part of a state tensor moves to the leading corner of the new one. New entries of a first moment
    are 0; new entries of a second moment are the mean of the old ones: an entry that starts at 0 beside a step
    counter that is already large would take steps several times the learning rate (Adam: 3.2 times).

    Args:
        optimizer: of any kind; groups, order of parameters and hyperparameters are kept.
        before, after: `dict(network.named_parameters())` before and after the growth.
    """
    grown = {
        id(old): (old, after[name])
        for name, old in before.items()
        if name in after and after[name] is not old
    }
    for group in optimizer.param_groups:
        group["params"] = [grown[id(p)][1] if id(p) in grown else p for p in group["params"]]
    for old, new in grown.values():
        if old in optimizer.state:
            state = optimizer.state.pop(old)
            optimizer.state[new] = {name: _widened(name, value, old, new) for name, value in state.items()}


def _widened(name: str, value: Any, old: Tensor, new: Tensor) -> Any:
    if not isinstance(value, Tensor) or value.shape != old.shape or value.dim() == 0:
        return value
    fill = value.mean() if name in _SECOND_MOMENTS else value.new_zeros(())
    widened = value.new_empty(new.shape)
    widened[...] = fill
    widened[tuple(slice(size) for size in old.shape)] = value
    return widened
