"""A width group as modules: which layers make features that must grow together, and which read them.

A growth step adds channels to all producers of a group and inputs to all its consumers. Between the two, new channels
flow as the old ones do: behind each producer and each merge through its function, merges adding up the values that
enter one place. `LayerGroup.carried` follows them, whatever is computed on the way: tensors, slopes, or operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Generic, TypeVar

from gromo_graph.graph.width_flow import GroupPlace, GroupPlaces
from gromo_graph.layers.base import Kernel
from gromo_graph.layers.growing import FeatureModule, GrowingLayer
from gromo_graph.layers.operations import operations_of
from gromo_graph.layers.torch_half_lookup import operation_adapter

Value = TypeVar("Value")
Layer = TypeVar("Layer", bound=GrowingLayer)
Layer_co = TypeVar("Layer_co", bound=GrowingLayer, covariant=True)


@dataclass(eq=False)
class LayerGroup(Generic[Layer_co]):
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
    """

    layout: GroupPlaces
    modules: Mapping[str, FeatureModule]
    producers: tuple[Layer_co, ...]
    reason: str | None
    jumps: tuple[str, ...]
    unit: int
    kernel: Kernel | None = None
    watched: Mapping[FeatureModule, int] = field(default_factory=dict)

    @cached_property
    def reads(self) -> Mapping[Layer_co, tuple[GroupPlace, ...]]:
        """Each consumer with the places that it reads."""
        return {self.modules[name]: places for name, places in self.layout.reads.items()}  # type: ignore[misc]

    @cached_property
    def places(self) -> Mapping[FeatureModule, tuple[GroupPlace, ...]]:
        """Each producer and merge with the places of the group in its output."""
        found: dict[FeatureModule, tuple[GroupPlace, ...]] = {}
        for place in self.layout.flow:
            module = self.module(place)
            found[module] = (*found.get(module, ()), place)
        return found

    @cached_property
    def merges(self) -> tuple[FeatureModule, ...]:
        """The merges that the group passes, each after those it reads."""
        return tuple(module for module in self.places if module.is_merge)

    @property
    def members(self) -> tuple[FeatureModule, ...]:
        """The producers, then the merges."""
        return (*self.producers, *self.merges)

    def start(self, producer: GrowingLayer) -> GroupPlace:
        """The place where the channels of a producer begin."""
        return self.places[producer][0]

    def module(self, place: GroupPlace) -> FeatureModule:
        """The module in whose output a place is."""
        return self.modules[place.unit]

    @property
    def consumers(self) -> tuple[Layer_co, ...]:
        """The layers that read the group."""
        return tuple(self.reads)

    @property
    def width(self) -> int:
        """Channels of the group."""
        return self.producers[0].out_neurons

    @cached_property
    def sees_samples(self) -> bool:
        """True if something on the way does not do the same to all samples, so that sums cannot pass it."""
        return any(
            operation_adapter(operation).sees_samples
            for member in self.members
            for operation in operations_of(member.function)
        )

    @property
    def needs_moments(self) -> bool:
        """True if some operation must know the mean and variance of new channels."""
        return any(
            operation_adapter(operation).needs_moments
            for member in self.members
            for operation in operations_of(member.function)
        )

    @property
    def name(self) -> str:
        """The name of the group in messages."""
        return " and ".join(producer.name for producer in self.producers[:3]) + (
            " and others" if len(self.producers) > 3 else ""
        )

    def read_places(self) -> tuple[GroupPlace, ...]:
        """The places that some consumer reads, each once."""
        return tuple(dict.fromkeys(place for places in self.reads.values() for place in places))

    def member_places(self) -> tuple[GroupPlace, ...]:
        """The places in the outputs of the producers, then of the merges."""
        return tuple(place for member in self.members for place in self.places[member])

    def kernel_of(self, consumer: GrowingLayer) -> Kernel:
        """The kernels that the new inputs of a consumer get."""
        return self.kernel if self.kernel is not None else consumer.growth_kernel

    def carried(
        self,
        starts: Mapping[GroupPlace, Value],
        through: Callable[[GroupPlace, Value], Value],
        add: Callable[[Value, Value], Value],
        multiply: Callable[[Mapping[GroupPlace, Value], Sequence[GroupPlace]], Value],
    ) -> dict[GroupPlace, Value]:
        """Values of new channels at each place that they reach.

        Args:
            starts: the values behind the layers of producers, by the places where these begin (`start`).
            through: passes a value through the function of the module of a place.
            add: of two values that enter one place.
            multiply: of the values that enter a product, by the places that they come from, and all such places: those
                that nothing reaches from the starts have no value.
        """
        found: dict[GroupPlace, Value] = {}
        for place, sources in self.layout.flow.items():
            if place in starts:
                found[place] = through(place, starts[place])
                continue
            arrived = {source: found[source] for source in sources if source in found}
            if arrived:
                multiplies = self.module(place).multiplies
                value = multiply(arrived, sources) if multiplies else reduce(add, arrived.values())
                found[place] = through(place, value)
        return found

    def watch(self, modules: Iterable[FeatureModule]) -> None:
        """The group is what it is as long as these modules keep their links, functions and widths."""
        self.watched = {module: module.changes for module in modules}

    @property
    def is_current(self) -> bool:
        """True if no watched module has changed since."""
        return all(module.changes == changes for module, changes in self.watched.items())

    def same_as(self, other: LayerGroup[GrowingLayer]) -> bool:
        """True if the two have the same members in the same places."""
        return set(self.members) == set(other.members) and self._read() == other._read()

    def _read(self) -> Mapping[FeatureModule, list[tuple[object, ...]]]:
        """The places that each consumer reads, without the keys of their modules."""
        return {
            consumer: [(self.module(p), p.segment, p.start, p.width, p.repeat) for p in places]
            for consumer, places in self.reads.items()
        }


def repeats_of(group: LayerGroup[Layer], consumer: Layer) -> tuple[int, ...]:
    """The number of inputs that one new channel becomes, for each place that a consumer reads."""
    return tuple(place.repeat for place in group.reads[consumer])
