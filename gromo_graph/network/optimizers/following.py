"""Optimizers take over what a changed network has in the place of its old parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import Parameter

from gromo_graph.errors import GrowthError
from gromo_graph.layers import ParameterChange
from gromo_graph.network.network import GrowingNetwork
from gromo_graph.network.optimizers.groups import Order, prefix_of_names, regroup
from gromo_graph.network.optimizers.heirs import has_node_hooks, inherit
from gromo_graph.network.optimizers.likeness import Likeness
from gromo_graph.network.optimizers.old_entries import OLD, moved_marks
from gromo_graph.network.optimizers.own_steps import has_own_steps
from gromo_graph.network.optimizers.several import LostHooksWarning, Optimizers, layered
from gromo_graph.network.optimizers.state import (
    NewState,
    NotWidenedError,
    begins_anew,
    even_out,
    first_state,
    moved_state,
)


@dataclass(frozen=True)
class Followed:
    """The changes of the parameters of a network.

    Attributes:
        before: all parameters that it had.
        changes: those that others take the place of, in the order in which it happened.
        origins: for new parameters the old ones that they are copies of, or replacements of another kind.
    """

    before: Sequence[Parameter]
    changes: Sequence[ParameterChange] = ()
    origins: Mapping[Parameter, Parameter] = field(default_factory=dict)


_NODE_HOOKS = (
    "hooks on the AccumulateGrad node of a parameter stay with that parameter, and another one takes its place: set "
    "them again after each growth step, or use parameter.register_post_accumulate_grad_hook, which follows"
)


def follow(
    network: GrowingNetwork, what: Followed, optimizers: Optimizers, new: NewState = "matched"
) -> None:
    """Let a changed network's new parameters take over what the old ones had: hooks, gradients, groups and state.

    A parameter that takes the place of another stays in its group. One that is new joins the group of the old one that
    it is made of, or else of those that it is most like (`Likeness`). The parameters of a group stand in the order of
    `network.named_parameters()`, `param_names` too. Lists and groups are changed in place.

    Args:
        network: as it is now. what: became of its parameters.
        optimizers: that train it; those of other parameters, too.
        new: what they know of new entries (`growth.optimizer_state`).

    Raises:
        GrowthError: no optimizer takes a new parameter; no optimizer has changed then.
    """
    for change in what.changes:
        inherit(change)
    if any(has_node_hooks(change.old) for change in what.changes):
        optimizers.say_once(_NODE_HOOKS, LostHooksWarning)
    names = {parameter: name for name, parameter in network.named_parameters()}
    order = Order(names)
    prefix = prefix_of_names((group for each in optimizers for group in each.param_groups), names)
    heirs = {change.old: change.new for change in what.changes}
    newest = {old: _newest(old, heirs) for old in heirs}
    gone = {p for p in what.before if newest.get(p, p) not in names}
    joining = _joining(network, what, optimizers, newest)
    for index, given in enumerate(optimizers):
        for owner in layered(given):
            _move_states(owner, what.changes, new, optimizers)
            _forget(owner, gone)
        for owner, place, options in _groups(given):
            before, joined = _identities(options), joining.get((index, place), ())
            regroup(options, order, heirs=newest, gone=gone, joining=joined, prefix=prefix)
            for parameter in joined:
                _begin(owner, options, parameter)
            if isinstance(owner, torch.optim.LBFGS) and before != _identities(options):
                _forget_curvature(owner, optimizers)
            even_out(owner, options)


def _groups(given: torch.optim.Optimizer) -> Iterator[tuple[torch.optim.Optimizer, int, dict[str, Any]]]:
    """The groups of an optimizer and of those inside it, with their owner and place; one list is given once."""
    seen: set[int] = set()
    for owner in layered(given):
        for place, options in enumerate(owner.param_groups):
            if id(options["params"]) not in seen:
                seen.add(id(options["params"]))
                yield owner, place, options


def _identities(group: Mapping[str, Any]) -> list[int]:
    return [id(parameter) for parameter in group["params"]]


def _newest(old: Parameter, heirs: Mapping[Parameter, Parameter]) -> Parameter:
    while old in heirs:
        old = heirs[old]
    return old


_Place = tuple[int, int]
"""An optimizer and a group of it, by their places."""


def _joining(
    network: GrowingNetwork,
    what: Followed,
    optimizers: Optimizers,
    newest: Mapping[Parameter, Parameter],
) -> dict[_Place, list[Parameter]]:
    """The new parameters that join each group.

    Raises:
        GrowthError: all optimizers are for parameters of another form.
    """
    known = {*what.before, *newest.values()}
    fresh = [p for p in network.parameters() if p not in known]
    if not optimizers or not fresh:
        return {}
    held: dict[Parameter, _Place] = {}
    for index, optimizer in enumerate(optimizers):
        for place, group in enumerate(optimizer.param_groups):
            held |= dict.fromkeys(group["params"], (index, place))
    now = {newest.get(p, p): place for p, place in held.items()}
    likeness = Likeness(network, set(fresh))
    found: dict[_Place, list[Parameter]] = {}
    for parameter in fresh:
        able = _able(parameter, optimizers)
        chosen = held.get(what.origins.get(parameter, parameter))  # a new parameter itself is held by none
        if chosen is None or chosen[0] not in able:
            others = {p: place for p, place in now.items() if place[0] in able}
            chosen = likeness.choice(parameter, others) or (able[0], 0)
        found.setdefault(chosen, []).append(parameter)
    return found


def _able(parameter: Parameter, optimizers: Optimizers) -> list[int]:
    """The places of the optimizers that can train a parameter.

    Raises:
        GrowthError: there are none.
    """
    able = [index for index, each in enumerate(optimizers) if takes(each, parameter)]
    if not able:
        kinds = ", ".join(sorted({type(each).__name__ for each in optimizers}))
        raise GrowthError(
            f"the network gets a parameter of shape {tuple(parameter.shape)}, which {kinds} cannot train: give "
            "another optimizer beside it, optimizer=[muon, adamw]"
        )
    return able


def takes(optimizer: torch.optim.Optimizer, parameter: Parameter) -> bool:
    """True if an optimizer can train a parameter of this form: Muon trains matrices alone."""
    return parameter.dim() == 2 or not isinstance(optimizer, torch.optim.Muon)


def _move_states(
    optimizer: torch.optim.Optimizer,
    changes: Iterable[ParameterChange],
    new: NewState,
    optimizers: Optimizers,
) -> None:
    if isinstance(optimizer, torch.optim.LBFGS):
        return
    if new == "own_steps" and not has_own_steps(optimizer):
        new = "matched"
        if isinstance(optimizer, torch.optim.NAdam | torch.optim.RAdam):
            optimizers.say_once(
                f"{type(optimizer).__name__} corrects its means in more than one way, so that new entries cannot count "
                "steps of their own: they begin with the mean of the squares of old ones, as with `matched`"
            )
    groups = {p: group for group in optimizer.param_groups for p in group["params"]}
    for change in changes:
        group = groups.pop(change.old, None)
        if group is None:
            continue
        groups[change.new] = group
        if change.old not in optimizer.state:
            continue
        state = optimizer.state.pop(change.old)
        try:
            anew = begins_anew(change, new)
            moved = (
                first_state(optimizer, group, change.new) if anew else moved_state(state, change, group, new)
            )
        except NotWidenedError as error:
            moved = first_state(optimizer, group, change.new)
            optimizers.say_once(
                f"{type(optimizer).__name__} keeps `{error.key}` of a parameter, which is no floating-point number for "
                "each of its entries and cannot be widened: its state begins anew for each parameter that grows or "
                "shrinks"
            )
        if OLD in state:
            moved[OLD] = moved_marks(state[OLD], change)
        if moved:
            optimizer.state[change.new] = moved


def _begin(optimizer: torch.optim.Optimizer, group: dict[str, Any], parameter: Parameter) -> None:
    state = first_state(optimizer, group, parameter)
    if state:
        optimizer.state[parameter] = state


def _forget_curvature(optimizer: torch.optim.LBFGS, optimizers: Optimizers) -> None:
    """LBFGS keeps one flat history of all its parameters, and how many entries they have."""
    if optimizer.state:
        optimizers.say_once(
            "the network has changed, and LBFGS knows the curvature of all its parameters together: it begins anew "
            "with that, now and after each later change"
        )
    optimizer.state.clear()
    optimizer._numel_cache = None


def _forget(optimizer: torch.optim.Optimizer, gone: Iterable[Parameter]) -> None:
    for parameter in gone:
        if parameter in optimizer.state:
            del optimizer.state[parameter]
