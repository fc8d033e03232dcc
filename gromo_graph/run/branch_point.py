"""Where a run follows another one, and where it leaves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gromo_graph.errors import RunError, SpecError
from gromo_graph.spec import Spec, dump_spec, parse_spec


class EndOfReplay(Exception):  # noqa: N818 - it is what was asked for
    """The step that was asked for has been applied."""


@dataclass(frozen=True)
class Course:
    """A run that is another one up to a growth step.

    Attributes:
        at: after so many applied steps it leaves the other.
        overrides: `["growth.select=slope"]`, how it goes on from the end of that epoch; None: it ends right there.
    """

    at: int
    overrides: tuple[str, ...] | None = None

    def spec_of(self, spec: Spec) -> Spec:
        """The spec with the settings that it goes on with.

        Raises:
            RunError: they are wrong, or of more than `growth` and `train`.
        """
        try:
            found = parse_spec(dump_spec(spec), overrides=self.overrides or ())
        except SpecError as error:
            raise RunError(str(error)) from error
        if found.nodes != spec.nodes or found.outputs != spec.outputs or found.train.data != spec.train.data:
            raise RunError("a branch can have other values of `growth` and `train`, not other nodes or data")
        if found.train.loss != spec.train.loss or found.train.optimizer.name != spec.train.optimizer.name:
            raise RunError("a branch keeps the loss and the kind of optimizer of the run")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for `command.json`."""
        return {"at": self.at, "set": None if self.overrides is None else list(self.overrides)}

    @staticmethod
    def from_dict(values: Mapping[str, Any] | None) -> Course | None:
        """What `to_dict` gave."""
        if values is None:
            return None
        given: Sequence[str] | None = values["set"]
        return Course(int(values["at"]), None if given is None else tuple(given))
