"""Edits of what is no node, of everything, and several in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gromo_graph.arguments import checked
from gromo_graph.errors import GraphError
from gromo_graph.graph.edits.base import (
    Edited,
    SpecEdit,
    node_named,
    then,
)
from gromo_graph.spec.fragments import EDIT, with_values
from gromo_graph.spec.model import Spec


@checked
@dataclass(frozen=True)
class SetOutput(SpecEdit):
    """Other outputs of the network; `named`: it returns a dict by name."""

    names: Sequence[str]
    named: bool = False

    def edited(self, spec: Spec) -> Edited:
        """They must be nodes."""
        for name in self.names:
            node_named(spec, name)
        return Edited(
            replace(spec, outputs=tuple(self.names), named_outputs=self.named or len(self.names) > 1)
        )


@checked
@dataclass(frozen=True)
class SetSection(SpecEdit):
    """Other values of the section `growth` or `train`: `SetSection("growth", {"stop": {"parameters": 900}})`."""

    section: Literal["growth", "train"]
    values: Mapping[str, Any]

    def edited(self, spec: Spec) -> Edited:
        """They must be values of the section."""
        if self.section == "growth":
            return Edited(
                replace(spec, growth=with_values(spec.growth, self.values, ("growth",), document=EDIT))
            )
        if self.section == "train":
            return Edited(
                replace(spec, train=with_values(spec.train, self.values, ("train",), document=EDIT))
            )
        raise GraphError(f"unknown section `{self.section}`: expected growth or train")


@dataclass(frozen=True)
class Restore(SpecEdit):
    """The spec as it was: the inverse of whatever made another one of it."""

    spec: Spec
    renamed: Mapping[str, str] = field(default_factory=dict)

    def edited(self, spec: Spec) -> Edited:
        """The kept spec, whatever the other is."""
        return Edited(self.spec, renamed=self.renamed)


@checked
@dataclass(frozen=True)
class Edits(SpecEdit):
    """Several edits, one after the other."""

    edits: Sequence[SpecEdit]

    def edited(self, spec: Spec) -> Edited:
        """Each is applied to what the one before made."""
        result = Edited(spec)
        for edit in self.edits:
            result = then(result, edit.edited(result.spec))
        return result
