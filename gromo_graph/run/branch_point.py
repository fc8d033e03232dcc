"""The growth step up to which one run follows another."""

from __future__ import annotations

import operator
from dataclasses import dataclass

from gromo_graph.errors import RunError, SpecError
from gromo_graph.spec import Spec, overridden


@dataclass(frozen=True)
class BranchPoint:
    """The point where a run stops following another one.

    Attributes:
        at: the number of applied growth steps after which it leaves the other.
        overrides: `["growth.select=slope"]`, the settings it goes on with from the end of that epoch; None: it ends
            right after the step, as a replay does.
    """

    at: int
    overrides: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "at", operator.index(self.at))
        except TypeError as error:
            raise RunError(f"step {self.at!r}: expected a number of applied growth steps") from error

    def spec_of(self, spec: Spec) -> Spec:
        """The spec with the settings that the run goes on with.

        Raises:
            RunError: they are wrong, or they change more than `growth` and `train`.
        """
        try:
            found = overridden(spec, self.overrides or ())
        except SpecError as error:
            raise RunError(str(error)) from error
        data = (found.data, found.train.data) != (spec.data, spec.train.data)
        if data or found.nodes != spec.nodes or found.outputs != spec.outputs:
            raise RunError("a branch can have other values of `growth` and `train`, not other nodes or data")
        if found.train.loss != spec.train.loss or found.train.optimizer.name != spec.train.optimizer.name:
            raise RunError("a branch keeps the loss and the kind of optimizer of the run")
        return found
