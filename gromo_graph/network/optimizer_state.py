"""The optimizer follows a network that grew: old weights keep their state, new entries get a sound start."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from gromo_graph.modules.adapters import Replaced

# Running means of squared gradients, by the names that torch's optimizers give them.
_SECOND_MOMENTS = frozenset({"exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum", "exp_inf"})


def follow_growth(optimizer: torch.optim.Optimizer, replaced: Iterable[Replaced]) -> None:
    """Put grown parameters in the place of the old ones in an optimizer; everything else about it stays.

    The state of old entries moves with them. New entries of a first moment are 0; new entries of a second moment
    are the
    mean of the old ones: an entry that starts at 0 beside a step counter that is already large would take steps several
    times the learning rate (Adam: 3.2 times).

    Args:
        optimizer: of any kind; groups, order of parameters and hyperparameters are kept.
        replaced: what became of parameters, in the order in which it happened.
    """
    for change in replaced:
        for group in optimizer.param_groups:
            group["params"] = [change.new if p is change.old else p for p in group["params"]]
        if change.old in optimizer.state:
            state = optimizer.state.pop(change.old)
            optimizer.state[change.new] = {
                name: _widened(name, value, change) for name, value in state.items()
            }


def _widened(name: str, value: Any, change: Replaced) -> Any:
    if not isinstance(value, Tensor) or value.shape != change.old.shape or value.dim() == 0:
        return value
    fill = value.mean() if name in _SECOND_MOMENTS else value.new_zeros(())
    before, after = value.split([change.at, value.shape[change.dim] - change.at], dim=change.dim)
    shape = list(value.shape)
    shape[change.dim] = change.size
    return torch.cat((before, fill.expand(shape), after), dim=change.dim)
