"""The state that an optimizer keeps of a parameter, when another one takes its place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from gromo_graph.layers import Kept, ParameterChange
from gromo_graph.network.optimizers.old_entries import OLD
from gromo_graph.network.optimizers.own_steps import BORN, moved_births

NewState = Literal["matched", "zeros", "fresh", "own_steps"]
"""The state of an optimizer for new entries; `own_steps` is `matched` for optimizers that cannot do it."""

Group = Mapping[str, Any]
"""A group of an optimizer's parameters, with their options."""

Fill = Callable[[Tensor, ParameterChange, Group], Tensor]
"""The value of new entries: a scalar, or a tensor with the shape of the new parameter."""


def _zero(value: Tensor, change: ParameterChange, group: Group) -> Tensor:
    return value.new_zeros(())


def _mean(value: Tensor, change: ParameterChange, group: Group) -> Tensor:
    return value.mean()


def _learning_rate(value: Tensor, change: ParameterChange, group: Group) -> Tensor:
    return torch.as_tensor(group["lr"]).to(value)


def _parameter(value: Tensor, change: ParameterChange, group: Group) -> Tensor:
    return change.new.detach().to(value)


_MEAN_OF_GRADIENTS = ("exp_avg", "momentum_buffer", "grad_avg", "prev")
_MEAN_OF_SQUARES = (
    "exp_avg_sq",
    "max_exp_avg_sq",
    "square_avg",
    "acc_delta",
    "sum",
    "exp_inf",
    "variance",
)
_FILLS: Mapping[str, Fill] = {
    **dict.fromkeys(_MEAN_OF_GRADIENTS, _zero),
    **dict.fromkeys(_MEAN_OF_SQUARES, _mean),
    "step_size": _learning_rate,  # Rprop's own, which begins with the learning rate
    "ax": _parameter,  # ASGD's average of the parameter
}
"""New entries by the names that torch's optimizers give to state with an entry for each of the parameter.

Those of other names, of somebody's own optimizer, are 0.
"""
_FACTORED = ("row_var", "col_var")
"""Adafactor's sums over rows and columns: of a matrix with one row or column they have its shape by chance."""


class NotWidenedError(Exception):
    """State that has to begin anew as a whole, its step counter included: a part cannot be widened entry by entry.

    Attributes:
        key: of that part, such as one of the factored moments of Adafactor.
    """

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def moved_state(
    state: Mapping[str, Any], change: ParameterChange, group: Group, new: NewState
) -> dict[str, Any]:
    """The state of the new parameter.

    A floating-point tensor of the parameter's shape has an entry for each of it. New entries of a running mean of
    gradients are 0; those of a running mean of squares are the mean of the old ones: an entry that starts at 0 beside a
    step counter that is already large would take steps several times the learning rate (Adam: 3.2 times). State of a
    name that torch does not use is 0 in new entries.

    Args:
        state: of the old parameter. group: that it is in.
        new: "matched" as said; "zeros" for means of squares too, and "own_steps", which counts the steps of new
            entries from 0 beside. "fresh" is for the caller.

    Raises:
        NotWidenedError: it has a part that cannot be widened entry by entry.
    """
    moved: dict[str, Any] = {}
    for name, value in state.items():
        if name in (BORN, OLD):
            continue
        if _of_the_whole(value, change):
            moved[name] = value
        elif not _of_each_entry(name, value, change):
            raise NotWidenedError(name)
        else:
            moved[name] = _filled(name, value, change, group, zeros=new in ("zeros", "own_steps"))
    births = moved_births(state, change, young=new == "own_steps")
    return moved if births is None else moved | {BORN: births}


def _of_the_whole(value: Any, change: ParameterChange) -> bool:
    """True if a value is of the parameter as a whole, as a step counter is, or empty."""
    if isinstance(value, Tensor):
        return value.dim() == 0 or (value.numel() == 1 and change.old.numel() > 1)
    return value is None or isinstance(value, bool | int | float | str)


def _of_each_entry(name: str, value: Any, change: ParameterChange) -> bool:
    """True if a value is a number for each entry of the parameter."""
    if not isinstance(value, Tensor) or value.shape != change.old.shape or name in _FACTORED:
        return False
    return value.is_floating_point() or value.is_complex()


def _filled(name: str, value: Tensor, change: ParameterChange, group: Group, *, zeros: bool) -> Tensor:
    fill = _zero if zeros and name in _MEAN_OF_SQUARES else _FILLS.get(name, _zero)
    entry = fill(value, change, group)
    if entry.dim() == 0:
        return change.of(value, entry)
    is_old = change.of(torch.ones_like(value, dtype=torch.bool), False)
    return torch.where(is_old, change.of(value), entry)


def first_state(
    optimizer: torch.optim.Optimizer, group: Group, parameter: torch.nn.Parameter
) -> dict[str, Any]:
    """The state that a parameter has before its first step: none, but for Adagrad, which makes it beforehand."""
    if not isinstance(optimizer, torch.optim.Adagrad):
        return {}
    known = set(inspect.signature(torch.optim.Adagrad).parameters) - {"params"}
    options: dict[str, Any] = {name: value for name, value in group.items() if name in known}
    return dict(torch.optim.Adagrad([parameter], **options).state[parameter])


def even_out(optimizer: torch.optim.Optimizer, group: Group) -> None:
    """Give all parameters of a fused SGD a momentum, of 0, if some have one: torch takes all of a group or none."""
    if not (isinstance(optimizer, torch.optim.SGD) and group.get("fused")):
        return
    missing = [p for p in group["params"] if optimizer.state.get(p, {}).get("momentum_buffer") is None]
    if 0 < len(missing) < len(group["params"]):
        for parameter in missing:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def begins_anew(change: ParameterChange, new: NewState) -> bool:
    """True if the policy forgets what was known of a parameter that grew; of one that lost entries it never does."""
    return new == "fresh" and not isinstance(change, Kept)
