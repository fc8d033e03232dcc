"""A width group as modules: which layers make features that must grow together, and which read them.

A growth step adds channels to all producers of a group and inputs to all its consumers. Between the two, new channels
flow as the old ones do: behind each producer and each merge through its function, merges adding up the values that
enter one place. `LinkedGroup.carried` follows them, whatever is computed on the way: tensors, slopes, or operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from torch import Tensor

from gromo_graph.graph.width_flow import GroupPlace, GroupPlaces
from gromo_graph.layers import operation_adapter, operations_of
from gromo_graph.modules.links import Linkable
from gromo_graph.modules.statistic import SharedMoment
from gromo_graph.modules.ways import Ways, plain_gain, ways_of

if TYPE_CHECKING:
    from gromo_graph.layers import Kernel
    from gromo_graph.modules.measured import MeasuredModule
    from gromo_graph.modules.side_by_side import SideBySide

Value = TypeVar("Value")


class NetworkGroups(Protocol):
    """The groups of a network, for its modules."""

    def read_by(self, consumer: MeasuredModule) -> list[LinkedGroup] | None:
        """The groups that a layer reads, as they stand in its input; None if modules have been linked anew."""


@dataclass(eq=False)
class LinkedGroup:
    """Layers and merges whose widths grow together.

    Attributes:
        layout: the places of the group and the reads of its consumers, by the keys of `modules`.
        modules: the module of each unit and consumer that the layout names.
        producers: layers whose outputs are in the group.
        reason: why it cannot grow, or None.
        jumps: names of operations whose old outputs change at once.
        unit: new channels come in multiples of this number.
        kernel: the kernels convolutions get for new inputs; None takes each consumer's own `growth_kernel`.
        watched: modules that make the group what it is, with their `changes` when it was found.
        together: the stored batch of all producers side by side, as last made (`side_by_side`).
        known_ways: the linearised paths; None measures them when they are first asked for.
        second_moment: S of everything that the producers read, summed over the places (width groups in docs/maths.md).
    """

    layout: GroupPlaces
    modules: Mapping[str, Linkable]
    producers: tuple[MeasuredModule, ...]
    reason: str | None
    jumps: tuple[str, ...]
    unit: int
    kernel: Kernel | None = None
    watched: Mapping[Linkable, int] = field(default_factory=dict)
    together: SideBySide | None = None
    known_ways: Ways | None = None
    second_moment: SharedMoment = field(default_factory=lambda: SharedMoment("S of the growth"))

    @cached_property
    def reads(self) -> Mapping[MeasuredModule, tuple[GroupPlace, ...]]:
        """Each consumer with the places that it reads."""
        return {self.modules[name]: places for name, places in self.layout.reads.items()}  # type: ignore[misc]

    @cached_property
    def places(self) -> Mapping[Linkable, tuple[GroupPlace, ...]]:
        """Each producer and merge with the places of the group in its output."""
        found: dict[Linkable, tuple[GroupPlace, ...]] = {}
        for place in self.layout.flow:
            module = self.module(place)
            found[module] = (*found.get(module, ()), place)
        return found

    @cached_property
    def merges(self) -> tuple[Linkable, ...]:
        """The merges that the group passes, each after those it reads."""
        return tuple(module for module in self.places if module.is_merge)

    @property
    def members(self) -> tuple[Linkable, ...]:
        """The producers, then the merges."""
        return (*self.producers, *self.merges)

    def module(self, place: GroupPlace) -> Linkable:
        """The module in whose output a place is."""
        return self.modules[place.unit]

    @property
    def ways(self) -> Ways:
        """The linearised paths from producers to places; measured once."""
        if self.known_ways is None:
            self.known_ways = ways_of(self)
        return self.known_ways

    @cached_property
    def gains(self) -> Tensor | None:
        """The factor of each producer at each place that is read, (producers, read places), 0 if it does not reach it.

        None if some operation on the way mixes positions.
        """
        rows = [
            [plain_gain(self.ways.to(producer, place)) for place in self.read_places()]
            for producer in self.producers
        ]
        if any(gain is None for row in rows for gain in row):
            return None
        return torch.tensor(rows, dtype=torch.float64)

    @property
    def consumers(self) -> tuple[MeasuredModule, ...]:
        """The layers that read the group."""
        return tuple(self.reads)

    @property
    def width(self) -> int:
        """Channels of the group."""
        return self.producers[0].out_neurons

    @cached_property
    def sees_samples(self) -> bool:
        """Whether something on the way does not do the same to all samples, so that sums cannot pass it."""
        return any(
            operation_adapter(operation).sees_samples
            for member in self.members
            for operation in operations_of(member.function)
        )

    @property
    def needs_moments(self) -> bool:
        """Whether some operation must know the mean and variance of new channels."""
        return any(
            operation_adapter(operation).needs_moments
            for member in self.members
            for operation in operations_of(member.function)
        )

    @property
    def name(self) -> str:
        """For messages."""
        return " and ".join(producer.name for producer in self.producers[:3]) + (
            " and others" if len(self.producers) > 3 else ""
        )

    def read_places(self) -> tuple[GroupPlace, ...]:
        """The places that some consumer reads, each once."""
        return tuple(dict.fromkeys(place for places in self.reads.values() for place in places))

    def member_places(self) -> tuple[GroupPlace, ...]:
        """The places in the outputs of the producers, then of the merges."""
        return tuple(place for member in self.members for place in self.places[member])

    def kernel_of(self, consumer: MeasuredModule) -> Kernel:
        """The kernels that the new inputs of a consumer get."""
        return self.kernel if self.kernel is not None else consumer.growth_kernel

    def carried(
        self,
        starts: Mapping[MeasuredModule, Value],
        through: Callable[[GroupPlace, Value], Value],
        add: Callable[[Value, Value], Value],
    ) -> dict[GroupPlace, Value]:
        """Values of new channels at each place that they reach.

        Args:
            starts: the values of producers, behind the layer.
            through: passes a value through the function of the module of a place.
            add: of two values that enter one place.
        """
        begins = {self.places[producer][0]: value for producer, value in starts.items()}
        found: dict[GroupPlace, Value] = {}
        for place, sources in self.layout.flow.items():
            arrived = [begins[place]] if place in begins else [found[s] for s in sources if s in found]
            if arrived:
                found[place] = through(place, reduce(add, arrived))
        return found

    def watch(self, modules: Iterable[Linkable]) -> None:
        """The group is what it is as long as these modules keep their links, functions and widths."""
        self.watched = {module: module.changes for module in modules}

    @property
    def is_current(self) -> bool:
        """Whether no watched module has changed since."""
        return all(module.changes == changes for module, changes in self.watched.items())

    def same_as(self, other: LinkedGroup) -> bool:
        """Whether the two have the same members in the same places."""
        return set(self.members) == set(other.members) and self._read() == other._read()

    def _read(self) -> Mapping[MeasuredModule, list[tuple[object, ...]]]:
        """What each consumer reads, whatever the modules are called."""
        return {
            consumer: [(self.module(p), p.segment, p.start, p.width, p.repeat) for p in places]
            for consumer, places in self.reads.items()
        }
