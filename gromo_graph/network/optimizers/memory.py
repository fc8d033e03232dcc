"""Optimizers as they stand, to go back to."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import Parameter

from gromo_graph.network.optimizers.several import Optimizers, layered


@dataclass(frozen=True)
class GroupMemory:
    """The parameters of a group, and their names if the optimizer knows names."""

    parameters: Sequence[Parameter]
    names: Sequence[str] | None


@dataclass(frozen=True)
class OptimizerMemory:
    """The state of each optimizer: groups in their order, and the state of each parameter."""

    groups: Sequence[Sequence[GroupMemory]] = ()
    state: Sequence[Mapping[Any, Any]] = ()


def remembered(
    optimizers: Optimizers, stand_in: Callable[[Parameter], Parameter] | None = None
) -> OptimizerMemory:
    """The optimizers as they stand.

    Args:
        stand_in: the parameter that will be there in the place of one when they go back. States are then copied;
            without it they are shared.
    """
    known = list(_all(optimizers))
    if stand_in is None:
        return OptimizerMemory(
            [_groups(each, lambda parameter: parameter) for each in known],
            [dict(each.state) for each in known],
        )
    states = [
        {stand_in(p): copy.deepcopy(state) for p, state in each.state.items() if isinstance(p, Parameter)}
        for each in known
    ]
    return OptimizerMemory([_groups(each, stand_in) for each in known], states)


def bring_back(
    optimizers: Optimizers, memory: OptimizerMemory, *, gone: Collection[Parameter], overwrite: bool
) -> None:
    """Make the optimizers what they were, in place.

    Args:
        memory: of these optimizers. gone: parameters that are no part of the network any more.
        overwrite: whether what is known now of parameters that were there before is given up.
    """
    for optimizer, groups, states in zip(_all(optimizers), memory.groups, memory.state, strict=True):
        there = {p for group in groups for p in group.parameters}
        for group, was in zip(optimizer.param_groups, groups, strict=False):
            _bring_group_back(group, was, there, gone)
        for parameter in [p for p in optimizer.state if p in gone and p not in there]:
            del optimizer.state[parameter]
        for parameter, state in states.items():
            if overwrite or parameter not in optimizer.state:
                optimizer.state[parameter] = state
        if isinstance(optimizer, torch.optim.LBFGS):
            optimizer._numel_cache = None


def _bring_group_back(
    group: dict[str, Any], was: GroupMemory, there: Collection[Parameter], gone: Collection[Parameter]
) -> None:
    """Entries that others have put into the group since then stay."""
    added = [place for place, p in enumerate(group["params"]) if p not in there and p not in gone]
    if was.names is not None:
        group["param_names"][:] = [*was.names, *(group["param_names"][place] for place in added)]
    group["params"][:] = [*was.parameters, *(group["params"][place] for place in added)]


def _groups(
    optimizer: torch.optim.Optimizer, stand_in: Callable[[Parameter], Parameter]
) -> list[GroupMemory]:
    return [
        GroupMemory(
            [stand_in(p) for p in group["params"]],
            list(group["param_names"]) if "param_names" in group else None,
        )
        for group in optimizer.param_groups
    ]


def _all(optimizers: Optimizers) -> list[torch.optim.Optimizer]:
    return [inner for each in optimizers for inner in layered(each)]
