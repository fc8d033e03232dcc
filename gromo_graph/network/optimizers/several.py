"""One optimizer or several, as those that train a network."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import torch
from torch.nn import Parameter

from gromo_graph.errors import GrowthError
from gromo_graph.network.optimizers.old_entries import keep_old, mark, marks_of
from gromo_graph.network.optimizers.own_steps import Born, attend


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
        self.warm_up, self.keeps_old = warm_up, False
        self._said: set[str] = set()
        self._attend()

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._attend()  # copies of optimizers have no hooks

    def _attend(self) -> None:
        for each in self.given:
            for inner in layered(each):
                attend(inner, self.warm_up)
                if self.keeps_old:
                    keep_old(inner)

    @property
    def marks(self) -> dict[Parameter, Born]:
        """The marks of old entries of each parameter that has some (`old_entries.py`)."""
        return {
            p: marks for each in self.given for inner in layered(each) for p, marks in marks_of(inner).items()
        }

    def freeze_old(self, before: Optimizers, new: Collection[Parameter] = ()) -> None:
        """Leave old entries as they are from now on.

        Args:
            before: optimizers that may have marked them already; else all that is there is old.
            new: parameters of which nothing is old then.

        Raises:
            GrowthError: an optimizer that cannot do it.
        """
        marks = (
            self.marks
            or before.marks
            or {p: [[] for _ in p.shape] for p in self.parameters() if p not in new}
        )
        self.keeps_old = True
        for inner in (inner for each in self.given for inner in layered(each)):
            if isinstance(inner, torch.optim.LBFGS):
                raise GrowthError(
                    "`growth.freeze: old` keeps some entries of a parameter, and LBFGS moves all of them together: "
                    "take another optimizer, such as AdamW"
                )
            mark(inner, marks)
        self._attend()

    def thaw(self) -> None:
        """Let old entries move again."""
        for inner in (inner for each in self.given for inner in layered(each)):
            mark(inner, {})

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
