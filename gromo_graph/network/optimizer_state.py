"""The optimizer follows a network that grew: old weights keep their state, new entries get a sound start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from gromo_graph.layers import Kept, ParameterChange

# Running means of squared gradients, by the names that torch's optimizers give them.
_SECOND_MOMENTS = frozenset({"exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum", "exp_inf"})


NewState = Literal["matched", "zeros", "fresh"]
"""What the optimizer knows of new entries."""


def follow(
    optimizer: torch.optim.Optimizer, changes: Iterable[ParameterChange], new: NewState = "matched"
) -> None:
    """Put changed parameters in the place of the old ones in an optimizer; everything else about it stays.

    The state of old entries moves with them. New entries of a first moment are 0; those of a second moment are the
    mean of the old ones: an entry that starts at 0 beside a step counter that is already large would take steps several
    times the learning rate (Adam: 3.2 times).

    Args:
        optimizer: of any kind; groups, order of parameters and hyperparameters are kept.
        changes: what became of parameters, in the order in which it happened.
        new: "matched" as said; "zeros" for second moments too; "fresh" forgets the state of a parameter that grew, its
            step counter included.
    """
    for change in changes:
        for group in optimizer.param_groups:
            group["params"] = [change.new if p is change.old else p for p in group["params"]]
        if change.old in optimizer.state:
            state = optimizer.state.pop(change.old)
            if new != "fresh" or isinstance(change, Kept):
                optimizer.state[change.new] = {
                    name: _followed(name, value, change, matched=new == "matched")
                    for name, value in state.items()
                }


def join(optimizer: torch.optim.Optimizer, beside: Mapping[torch.nn.Parameter, torch.nn.Parameter]) -> None:
    """Let an optimizer train new parameters too, each in the group of one that it has already.

    What they are beside may not be trained; then the first group takes them, where it trains anything at all. Their
    state starts with their first step, with a step counter of their own.
    """
    for new, old in beside.items():
        groups = [group for group in optimizer.param_groups if any(p is old for p in group["params"])]
        for group in (groups or optimizer.param_groups)[:1]:
            group["params"].append(new)


def drop(optimizer: torch.optim.Optimizer, parameters: Iterable[torch.nn.Parameter]) -> None:
    """Train parameters no longer that are no part of the network any more."""
    gone = set(parameters)
    for group in optimizer.param_groups:
        group["params"] = [parameter for parameter in group["params"] if parameter not in gone]
    for parameter in gone & set(optimizer.state):
        del optimizer.state[parameter]


def _followed(name: str, value: Any, change: ParameterChange, *, matched: bool) -> Any:
    if not isinstance(value, Tensor) or value.shape != change.old.shape or value.dim() == 0:
        return value
    fill = value.mean() if matched and name in _SECOND_MOMENTS else value.new_zeros(())
    if isinstance(change, Kept):
        return change.of(value, fill)
    before, after = value.split([change.at, value.shape[change.dim] - change.at], dim=change.dim)
    shape = list(value.shape)
    shape[change.dim] = change.size
    return torch.cat((before, fill.expand(shape), after), dim=change.dim)
