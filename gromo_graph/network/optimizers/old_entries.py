"""`growth.freeze: old`: entries that were there keep their bits, whatever an optimizer does with their parameter.

The state of a parameter marks its new entries as it tells births (`own_steps.py`): `state["old"]` has a list for each
dimension, 0 for what was there and 1 for what came later, and is empty along a dimension without new entries. An entry
is new if its row or its column is. A parameter without marks is new as a whole. So marks are saved, copied and undone
with the optimizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from gromo_graph.layers import ParameterChange
from gromo_graph.network.optimizers.own_steps import Born, births_after

OLD = "old"
"""The name of the marks in the state of a parameter."""


def marks_of(optimizer: torch.optim.Optimizer) -> dict[Parameter, Born]:
    """The marks of each parameter that has some."""
    return {p: s[OLD] for p, s in optimizer.state.items() if isinstance(p, Parameter) and OLD in s}


def mark(optimizer: torch.optim.Optimizer, marks: Mapping[Parameter, Born]) -> None:
    """Give the parameters of an optimizer their marks, and take them from all others."""
    for parameter in marks_of(optimizer).keys() - marks.keys():
        del optimizer.state[parameter][OLD]
    for parameter in (p for group in optimizer.param_groups for p in group["params"] if p in marks):
        optimizer.state[parameter][OLD] = marks[parameter]


def moved_marks(marks: Born, change: ParameterChange) -> Born:
    """The marks of a new parameter, whose further entries are new."""
    return births_after(marks, change, 1)


def keep_old(optimizer: torch.optim.Optimizer) -> None:
    """Let the steps of an optimizer leave old entries alone; once is enough, and a copy needs it again."""
    owners = (getattr(hook, "__self__", None) for hook in optimizer._optimizer_step_pre_hooks.values())
    if not any(isinstance(each, _OldEntries) for each in owners):
        kept = _OldEntries()
        optimizer.register_step_pre_hook(kept.before)
        optimizer.register_step_post_hook(kept.after)


class _OldEntries:
    """The two hooks around the steps of an optimizer."""

    def __init__(self) -> None:
        self._new: dict[Parameter, tuple[Born, Tensor]] = {}  # as masks, which a change of the marks renews
        self._before: dict[Parameter, tuple[Born, Tensor]] = {}

    @torch.no_grad()
    def before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """Remember old entries, and take their gradient out of moments and norms."""
        marked = [
            p
            for group in optimizer.param_groups
            for p in group["params"]
            if OLD in optimizer.state.get(p, ())
        ]
        self._new = {p: self._mask(p, optimizer.state[p][OLD]) for p in marked}
        for parameter in marked:
            marks, new = self._new[parameter]
            self._before[parameter] = marks, parameter.clone()
            if parameter.grad is not None:
                parameter.grad.masked_fill_(~new, 0.0)
            if len(optimizer.state[parameter]) == 1:
                del optimizer.state[parameter][OLD]  # its first step: optimizers begin if there is no state

    @torch.no_grad()
    def after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """Give old entries their values back. A subclass that steps by its parent's step comes here twice."""
        for parameter, (marks, values) in self._before.items():
            parameter.copy_(torch.where(self._new[parameter][1], parameter, values))
            optimizer.state[parameter][OLD] = marks
        self._before = {}

    def _mask(self, parameter: Parameter, marks: Born) -> tuple[Born, Tensor]:
        """The marks, and True for new entries, in a shape that broadcasts to that of the parameter."""
        known = self._new.get(parameter)
        if known is not None and known[0] is marks and known[1].device == parameter.device:
            return known
        new = torch.zeros([1] * parameter.dim(), dtype=torch.bool, device=parameter.device)
        for dim, along in enumerate(marks):
            if along:
                shape = [-1 if axis == dim else 1 for axis in range(parameter.dim())]
                new = new | torch.tensor(along, device=parameter.device).bool().reshape(shape)
        return marks, new
