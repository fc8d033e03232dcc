"""The width group of linked modules: which layers make features that must grow together, and which read them.

A growth step adds channels to all producers of a group and inputs to all its consumers. Between the two, new channels
flow as the old ones do: behind each producer and each merge through its function, merges adding what lies upon each
other. `LinkedGroup.carried` follows them, whatever is made of them on the way: tensors, slopes, or what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from gromo_graph.layers import operation_adapter, operations_of
from gromo_graph.modules.links import Linkable
from gromo_graph.modules.statistic import SharedMoment
from gromo_graph.modules.ways import Ways, plain_gain, ways_of

if TYPE_CHECKING:
    from gromo_graph.layers import Kernel
    from gromo_graph.modules.measured import MeasuredModule
    from gromo_graph.modules.side_by_side import SideBySide

Value = TypeVar("Value")


@dataclass(frozen=True)
class Slot:
    """A place where the features of a group stand in the output of a module.

    Attributes:
        module: whose output. place: the segment of the output, counted from 0.
        start: features before the segment. width: channels of the group. repeat: features of each channel.
    """

    module: Linkable
    place: int
    start: int
    width: int
    repeat: int

    @property
    def end(self) -> int:
        """Where new features are inserted."""
        return self.start + self.width * self.repeat


@dataclass(eq=False)
class LinkedGroup:
    """Layers and merges whose widths grow together.

    Attributes:
        producers: layers whose outputs are in the group.
        merges: merges it passes, each after those it reads.
        reads: each consumer with the slots of what it reads.
        slots: for each producer and merge, where the group stands in its output.
        reason: why it cannot grow, or None.
        jumps: names of operations whose old outputs change at once.
        unit: new channels come in multiples of this number.
        kernel: the kernels convolutions get for new inputs; None takes each consumer's own `growth_kernel`.
        together: the stored batch of all producers side by side, as last made (`side_by_side`).
        second_moment: S of everything that the producers read, summed over the slots (MATH.md, width groups).
    """

    producers: tuple[MeasuredModule, ...]
    merges: tuple[Linkable, ...]
    reads: Mapping[MeasuredModule, tuple[Slot, ...]]
    slots: Mapping[Linkable, tuple[Slot, ...]]
    segments: Mapping[Linkable, int]
    reason: str | None
    jumps: tuple[str, ...]
    unit: int
    kernel: Kernel | None = None
    together: SideBySide | None = None
    second_moment: SharedMoment = field(default_factory=lambda: SharedMoment("S of the growth"))

    @cached_property
    def ways(self) -> Ways:
        """What stands in for the functions between producers and slots; measured once."""
        return ways_of(self)

    @cached_property
    def gains(self) -> Tensor | None:
        """The factor of each producer in each slot that is read, (producers, read slots), 0 where it cannot be seen.

        None where something on the way mixes positions.
        """
        rows = [
            [plain_gain(self.ways.to(producer, slot)) for slot in self.read_slots()]
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
            for member in (*self.producers, *self.merges)
            for operation in operations_of(member.function)
        )

    @property
    def needs_moments(self) -> bool:
        """Whether some operation must know the mean and variance of new channels."""
        return any(
            operation_adapter(operation).needs_moments
            for member in (*self.producers, *self.merges)
            for operation in operations_of(member.function)
        )

    @property
    def name(self) -> str:
        """For messages."""
        return " and ".join(producer.name for producer in self.producers[:3]) + (
            " and others" if len(self.producers) > 3 else ""
        )

    def read_slots(self) -> tuple[Slot, ...]:
        """The slots that some consumer reads, each once."""
        return tuple(dict.fromkeys(slot for slots in self.reads.values() for slot in slots))

    def member_slots(self) -> tuple[Slot, ...]:
        """The slots in the outputs of the producers, then of the merges."""
        return tuple(slot for member in (*self.producers, *self.merges) for slot in self.slots[member])

    def kernel_of(self, consumer: MeasuredModule) -> Kernel:
        """The kernels that the new inputs of a consumer get."""
        return self.kernel if self.kernel is not None else consumer.growth_kernel

    def carried(
        self,
        starts: Mapping[MeasuredModule, Value],
        through: Callable[[Slot, Value], Value],
        add: Callable[[Value, Value], Value],
    ) -> dict[Slot, Value]:
        """What arrives in each slot.

        Args:
            starts: what new channels begin as, behind the layer of each producer.
            through: passes it through the function of a slot's module.
            add: of two that lie upon each other in a sum.
        """
        arrived: dict[tuple[Linkable, int], Value] = {}
        found: dict[Slot, Value] = {}
        for producer, value in starts.items():
            (slot,) = self.slots[producer]
            found[slot] = arrived[producer, 0] = through(slot, value)
        for merge in self.merges:
            incoming = self._incoming(merge, arrived, add)
            for slot in self.slots[merge]:
                if slot.place in incoming:
                    value = through(slot, incoming[slot.place])
                    found[slot] = arrived[merge, slot.place] = value
        return found

    def _incoming(
        self,
        merge: Linkable,
        arrived: Mapping[tuple[Linkable, int], Value],
        add: Callable[[Value, Value], Value],
    ) -> dict[int, Value]:
        incoming: dict[int, Value] = {}
        before = 0
        for source in merge.inputs():
            count = 1 if isinstance(source, int) else self.segments.get(source, 1)
            for place in range(count):
                if not isinstance(source, int) and (source, place) in arrived:
                    value, target = arrived[source, place], before + place
                    incoming[target] = add(incoming[target], value) if target in incoming else value
            before += count if merge.concatenates else 0
        return incoming

    def same_as(self, other: LinkedGroup) -> bool:
        """Whether the two have the same members in the same places."""
        return (
            set(self.producers) == set(other.producers)
            and dict(self.reads) == dict(other.reads)
            and set(self.merges) == set(other.merges)
        )
