"""Links between modules that do not own each other.

A growing module must reach the module before it and the one after it, but must not register them:
they would appear twice in state_dict, and every walk over the modules would run in circles.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from gromo_graph.errors import GrowthError
from gromo_graph.layers import operation_adapter, operations_of
from gromo_graph.layers.channel_propagation import Segments
from gromo_graph.statistics.running_mean import SharedMoment

_LINKS = frozenset(
    (
        *("previous_module", "next_module", "next_modules", "_inputs"),
        *("post_layer_function", "post_merge_function", "allow_growing", "allow_jump"),
    )
)


class Linkable(torch.nn.Module):
    """A module that can stand before or after a growing module: growing modules and merges.

    Attributes:
        is_merge: it has any number of inputs. concatenates, multiplies: what it does with them, if it does not add.
        name: for messages.
        width_reason: why its width must stay as it is, if something outside of the modules says so.
        is_output: its output also leaves the network.
        passed: what is known of pending channels on their way through its function, by segment of the output.
        changes: how often its links, its function or its width have changed; groups found before may be others now.
    """

    # Attributes that may hold modules or parameters and still are no part of this module.
    unregistered: ClassVar[frozenset[str]] = frozenset()
    is_merge: ClassVar[bool] = False
    concatenates: bool = False
    multiplies: bool = False
    changes: int
    allow_growing: bool
    name: str

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0
        self.width_reason: str | None = None
        self.is_output = False
        self.passed = Segments()
        self._positions: int | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _LINKS:
            self.__dict__["changes"] += 1
        if name in self.unregistered:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def inputs(self) -> Sequence[Linkable | int]:
        """The inputs of a merge: modules, and widths of tensors that come from none. Growing modules have none."""
        raise NotImplementedError

    def readers(self) -> Iterable[torch.nn.Module]:
        """The modules that read the output."""
        raise NotImplementedError

    def neighbours(self) -> Iterable[torch.nn.Module]:
        """The modules linked to this one, in both directions."""
        raise NotImplementedError

    @property
    def function(self) -> torch.nn.Module:
        """The function that the output passes behind the layer or the merge."""
        raise NotImplementedError

    @property
    def extension_function(self) -> torch.nn.Module:
        """The function that new channels pass there."""
        return self.function

    @property
    def own_width(self) -> int:
        """Features before the function."""
        raise NotImplementedError

    @property
    def pre_activations(self) -> int:
        """Values before the function at one position: one for each feature, unless a layer says otherwise."""
        return self.own_width

    @property
    def out_features(self) -> int:
        """Width of the output (channels for images)."""
        return self.own_width * self.positions

    @property
    def flattens(self) -> bool:
        """True if positions become features in the function."""
        return any(operation_adapter(operation).flattens for operation in operations_of(self.function))

    @property
    def positions(self) -> int:
        """Features of the output that each channel becomes: 1, or what a flatten in the function makes of its
        positions.

        Raises:
            GrowthError: nothing has told yet how many positions there are.
        """
        if not self.flattens:
            return 1
        if self._positions is None:
            self._positions = self._positions_by_reader()
        return self._positions

    @positions.setter
    def positions(self, number: int) -> None:
        self._positions = number

    def _positions_by_reader(self) -> int:
        for reader in self.readers():
            width = getattr(reader, "in_features", None)
            if isinstance(width, int):
                self.guess_positions(width)
        if self._positions is None:
            raise GrowthError(
                f"{self.name} flattens an unknown number of positions: run a forward pass, or link the module that "
                "reads it"
            )
        return self._positions

    def guess_positions(self, width: int) -> None:
        """Take the number of positions from the width of a reader, if nothing better is known."""
        if self._positions is None and not self.is_merge and self.own_width and width % self.own_width == 0:
            self._positions = width // self.own_width

    def note_positions(self, output: Tensor) -> None:
        """Take the number of positions from an output, if there is a flatten."""
        if output.dim() == 2 and self.own_width:
            self._positions = output.shape[1] // self.own_width

    @property
    def feature_dim(self) -> int:
        """The dimension of the output that holds the features."""
        raise NotImplementedError

    def forward_pass_of(self, x: Tensor) -> object:
        """An identity of the forward pass that gave x, the same for every reader of x."""
        return object()

    def shared_moment(self, key: object) -> SharedMoment | None:
        """The second moment shared by readers of that kind, None if readers keep their own."""
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
