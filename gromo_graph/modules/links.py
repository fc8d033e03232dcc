"""How modules know their neighbours without owning them.

A growing module must reach the module before it and the one after it, but must not register them:
they would appear twice in state_dict, and every walk over the modules would run in circles.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from gromo_graph.algebra import Tangent
from gromo_graph.errors import GrowthError
from gromo_graph.modules.statistic import SharedMoment

if TYPE_CHECKING:
    from gromo_graph.modules.layer import LayerModule


class Linkable(torch.nn.Module):
    """A module that can stand before or after a growing module: growing modules and merges."""

    # Attributes that may hold modules or parameters and still are no part of this module.
    unregistered: ClassVar[frozenset[str]] = frozenset()
    name: str

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.unregistered:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def neighbours(self) -> Iterable[torch.nn.Module]:
        """The modules linked to this one, in both directions."""
        raise NotImplementedError

    @property
    def out_features(self) -> int:
        """Width of the output (channels for images)."""
        raise NotImplementedError

    @property
    def feature_dim(self) -> int:
        """The dimension of the output that holds the features."""
        raise NotImplementedError

    def output_tangent(self) -> Tangent:
        """How a new output leaves zero through the function after this module."""
        raise NotImplementedError

    def direct_source(self) -> LayerModule | None:
        """The growing module whose outputs a reader of this module reads, None where there are several."""
        raise NotImplementedError

    def forward_pass_of(self, x: Tensor) -> object:
        """An identity of the forward pass that gave x, the same for every reader of x."""
        return object()

    def shared_moment(self, key: object) -> SharedMoment | None:
        """The second moment shared by readers of that kind, None where readers keep their own."""
        return None

    def __deepcopy__(self, memo: dict[int, Any]) -> Linkable:
        """Copy this module with all it is linked to, without recursion along the links.

        Following the links recursively would exceed Python's stack in a network of a few hundred
        layers, so all linked modules get their empty copies first.
        """
        members = [member for member in linked(self) if id(member) not in memo]
        for member in members:
            memo[id(member)] = type(member).__new__(type(member))
        for member in members:
            memo[id(member)].__dict__.update(copy.deepcopy(member.__dict__, memo))
        result: Linkable = memo[id(self)]
        return result


def linked(module: Linkable) -> list[Linkable]:
    """All modules reachable over links from this one, itself first."""
    found: dict[int, Linkable] = {id(module): module}
    queue = [module]
    while queue:
        for neighbour in queue.pop().neighbours():
            if isinstance(neighbour, Linkable) and id(neighbour) not in found:
                found[id(neighbour)] = neighbour
                queue.append(neighbour)
    return list(found.values())


def previous_of(module: LayerModule) -> Linkable:
    """The module before this one.

    Raises:
        GrowthError: there is none, or it is of a kind that growth does not know.
    """
    previous = module.previous_module
    if previous is None:
        raise GrowthError(
            f"{module.name} has no previous module, so nothing can widen its input: assign "
            "previous_module (a GrowingModule or MergeGrowingModule) first"
        )
    if not isinstance(previous, Linkable):
        raise GrowthError(
            f"the previous module of {module.name} is a {type(previous).__name__}: expected a "
            "GrowingModule or MergeGrowingModule"
        )
    return previous


def source_of(module: LayerModule) -> LayerModule:
    """The growing module that must get new outputs where this one gets new inputs.

    Raises:
        GrowthError: there is no single one, or this module may not grow.
    """
    previous = previous_of(module)
    if not module.allow_growing:
        raise GrowthError(f"{module.name} may not grow (allow_growing=False): expected a module that may")
    source = previous.direct_source()
    if source is None:
        raise GrowthError(
            f"{module.name} reads the merge {previous.name}: growing new neurons through a merge is not "
            "available yet; expected a GrowingModule as previous module"
        )
    return source
