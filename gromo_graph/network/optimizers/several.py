"""One optimizer or several, as those that train a network."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.nn import Parameter

from gromo_graph.errors import GrowthError
from gromo_graph.network.optimizers.own_steps import attend


class OptimizerStateWarning(UserWarning):
    """An optimizer begins anew with what it knows of parameters that have another size now."""


class LostHooksWarning(UserWarning):
    """Hooks hang on something that has been replaced, where they cannot be followed."""


class Optimizers:
    """The optimizers that train a network; entries that are young in them take the steps of their own age.

    Args:
        given: one optimizer, several, or none.
        warm_up: steps over which the moves of new entries rise to their full size; None leaves it as it is.

    Raises:
        GrowthError: something is no optimizer.

    Attributes:
        given: all of them, in their order.
    """

    def __init__(self, given: OptimizerChoice = None, *, warm_up: int | None = None) -> None:
        if given is None:
            given = ()
        elif isinstance(given, torch.optim.Optimizer) or not isinstance(given, Iterable):
            given = (given,)
        self.given = tuple(given)
        for each in self.given:
            if not isinstance(each, torch.optim.Optimizer):
                raise GrowthError(
                    f"optimizer={each!r}: expected an optimizer of torch.optim, or a list of several"
                )
        self.warm_up = warm_up
        self._said: set[str] = set()
        self._attend()

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._attend()  # copies of optimizers have no hooks

    def _attend(self) -> None:
        for each in self.given:
            for inner in layered(each):
                attend(inner, self.warm_up)

    def __iter__(self) -> Iterator[torch.optim.Optimizer]:
        return iter(self.given)

    def __bool__(self) -> bool:
        return bool(self.given)

    def parameters(self) -> Iterator[Parameter]:
        """All parameters that they train."""
        for optimizer in self.given:
            for group in optimizer.param_groups:
                yield from group["params"]

    def say_once(self, message: str, category: type[Warning] = OptimizerStateWarning) -> None:
        """Warn of something, the first time that it happens."""
        if message not in self._said:
            self._said.add(message)
            warnings.warn(message, category, stacklevel=2)


OptimizerChoice = torch.optim.Optimizer | Iterable[torch.optim.Optimizer] | None
"""The optimizers that a caller gives: one, several, or none."""


def layered(optimizer: torch.optim.Optimizer) -> Iterator[torch.optim.Optimizer]:
    """An optimizer, and those that it is put around as a wrapper."""
    waiting, seen = [optimizer], {id(optimizer)}
    for each in waiting:
        yield each
        inside: list[Any] = [
            value for value in vars(each).values() if isinstance(value, torch.optim.Optimizer)
        ]
        waiting += [value for value in inside if id(value) not in seen]
        seen |= {id(value) for value in inside}
