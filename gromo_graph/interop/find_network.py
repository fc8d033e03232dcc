"""Finds the network in the module of another trainer, and the optimizers that train it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gromo_graph.errors import GrowthError
from gromo_graph.network import GrowingNetwork


def network_in(module: torch.nn.Module, name: str | None = None) -> GrowingNetwork:
    """The network that a module is or holds.

    Args:
        name: of the submodule that it is, such as `body.network`; None if there is only one.

    Raises:
        GrowthError: there is none, or there are several.
    """
    named = {path: part for path, part in module.named_modules() if isinstance(part, GrowingNetwork)}
    if name is not None:
        if name not in named:
            raise GrowthError(f"`{name}` is no GrowingNetwork of {_told(module, named)}")
        return named[name]
    if len(named) != 1:
        advice = "say which one, network=..." if named else "make one with compile_network in its __init__"
        raise GrowthError(f"expected one GrowingNetwork in {_told(module, named)}: {advice}")
    (network,) = named.values()
    return network


def optimizers_of(
    network: torch.nn.Module, optimizers: Sequence[torch.optim.Optimizer]
) -> list[torch.optim.Optimizer]:
    """The optimizers that train the network or a part of it.

    Raises:
        GrowthError: none does.
    """
    own = set(network.parameters())
    found = [
        optimizer
        for optimizer in optimizers
        if any(parameter in own for group in optimizer.param_groups for parameter in group["params"])
    ]
    if not found:
        raise GrowthError(
            f"none of {len(optimizers)} optimizers trains the network that grows: expected one of its parameters, or "
            "several"
        )
    return found


def _told(module: torch.nn.Module, named: dict[str, GrowingNetwork]) -> str:
    holds = ", ".join(f"`{path or '(itself)'}`" for path in named) or "none"
    return f"the {type(module).__name__}, which holds {holds}"
