"""Checks before growth begins that optimizers train all of a network, and can follow it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.nn import Parameter

from gromo_graph.errors import GrowthError
from gromo_graph.network.network import GrowingNetwork
from gromo_graph.network.optimizers.following import takes
from gromo_graph.network.optimizers.several import Optimizers, layered

Untrained = Iterable[str | Parameter | torch.nn.Module]
"""Parameters that no optimizer trains: themselves, modules that hold them, or names of either or of nodes."""

_OWN_LISTS = ("param_groups", "state", "defaults")
_MOST_NAMED = 5


def check_coverage(
    network: GrowingNetwork, optimizers: Optimizers, untrained: Untrained = (), *, adds_layers: bool = False
) -> None:
    """Refuse optimizers that leave weights of the network out, or that cannot follow it.

    Nothing is checked if there is no optimizer: who gives none takes care of the new parameters.

    Args:
        untrained: what they leave out on purpose. adds_layers: whether growth may add layers, with biases.

    Raises:
        GrowthError: says what to do.
    """
    if not optimizers:
        return
    for optimizer in optimizers:
        _check_holds_some(network, optimizer)
        _check_can_follow(network, optimizer)
    _check_all_held(network, optimizers, untrained)
    if adds_layers and not any(takes(each, Parameter(torch.empty(1))) for each in optimizers):
        raise GrowthError(
            "Muon trains matrices alone, and growth may add layers with biases: give another optimizer beside it, "
            "optimizer=[muon, torch.optim.AdamW(biases)]"
        )


def _check_holds_some(network: GrowingNetwork, optimizer: torch.optim.Optimizer) -> None:
    own = set(network.parameters())
    if own and not any(p in own for group in optimizer.param_groups for p in group["params"]):
        raise GrowthError(
            f"{type(optimizer).__name__} trains no parameter of this network: it has been made for another one, such "
            "as the model before from_torch, which keeps weights of its own. Make it of network.parameters(), or "
            "leave it out if it trains something else"
        )


def _check_can_follow(network: GrowingNetwork, optimizer: torch.optim.Optimizer) -> None:
    own = set(network.parameters())
    for each in layered(optimizer):
        kind = type(each).__name__
        if isinstance(each, torch.optim.SparseAdam) and not _only_sparse(network, each):
            raise GrowthError(
                "SparseAdam takes sparse gradients alone, which the layers of a growing network do not give: take Adam"
            )
        if any(not isinstance(key, torch.Tensor) for key in each.state):
            raise GrowthError(
                f"{kind} keeps state that is of no single parameter, and cannot follow a network that grows: take an "
                "optimizer of torch.optim"
            )
        lists = {id(group["params"]) for group in each.param_groups}
        for name, value in vars(each).items():
            if name not in _OWN_LISTS and id(value) not in lists and _holds(value, own):
                raise GrowthError(
                    f"{kind} keeps parameters in `{name}` beside its groups, where they cannot be replaced when the "
                    "network grows: take an optimizer of torch.optim"
                )


def _only_sparse(network: GrowingNetwork, optimizer: torch.optim.Optimizer) -> bool:
    sparse = {
        p for module in network.modules() if getattr(module, "sparse", False) for p in module.parameters()
    }
    own = set(network.parameters())
    return all(p in sparse for group in optimizer.param_groups for p in group["params"] if p in own)


def _holds(value: Any, own: set[Parameter]) -> bool:
    if isinstance(value, Mapping):
        return _holds(list(value), own) or _holds(list(value.values()), own)
    if isinstance(value, list | tuple | set):
        return any((isinstance(p, Parameter) and p in own) or _holds(p, own) for p in value)
    return False


def _check_all_held(network: GrowingNetwork, optimizers: Optimizers, untrained: Untrained) -> None:
    held = {*optimizers.parameters(), *parameters_of(network, untrained, "untrained")}
    wanted = {name: p for name, p in network.named_parameters() if p.requires_grad}
    missing = [name for name, p in wanted.items() if p not in held]
    if not missing:
        return
    shown = ", ".join(f"`{name}`" for name in missing[:_MOST_NAMED])
    more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    raise GrowthError(
        f"no optimizer trains {shown}{more}, {len(missing)} of {len(wanted)} trainable parameters: give all optimizers "
        "that train the network, optimizer=[one, another], or name what stays as it is, untrained=[...]"
    )


def parameters_of(network: GrowingNetwork, given: Untrained, word: str) -> set[Parameter]:
    """The parameters that somebody means.

    Args:
        word: the argument, for messages.

    Raises:
        GrowthError: a name that is none.
    """
    if isinstance(given, str | Parameter | torch.nn.Module):
        given = (given,)
    found: set[Parameter] = set()
    for each in given:
        if isinstance(each, Parameter):
            found.add(each)
        elif isinstance(each, torch.nn.Module):
            found |= set(each.parameters())
        else:
            found |= _named(network, str(each), word)
    return found


def _named(network: GrowingNetwork, name: str, word: str) -> set[Parameter]:
    """The parameters of a node, of a submodule by its path, or the one with that name."""
    part = network.parts.get(name)
    if part is not None:
        return set(part.parameters())
    found = {p for own, p in network.named_parameters() if own == name or own.startswith(f"{name}.")}
    node, _, key = name.rpartition(".")
    if not found and node in network.parts:
        found = {p for own, p in network.parts[node].named_parameters() if own == key}
    if not found:
        raise GrowthError(
            f"{word}={name!r}: expected a node, such as `{next(iter(network.parts))}`, a parameter of one, such as "
            f"`{next(iter(network.parts))}.weight`, or a name of network.named_parameters()"
        )
    return found
