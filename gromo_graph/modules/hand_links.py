"""The width groups of modules that someone has linked by hand.

Their links are written down as the steps and units of which `graph` finds the groups (graph/width_flow.py). Modules of
a network do not need this: the network knows their groups from its graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import lcm

import networkx as nx
import torch

from gromo_graph.errors import GrowthError
from gromo_graph.graph.growability import why_discontinuous
from gromo_graph.graph.segments import Row
from gromo_graph.graph.width_flow import (
    FlowUnit,
    GroupPlaces,
    WidthStep,
    follow_widths,
    group_places,
)
from gromo_graph.layers import operation_adapter, operations_of, operations_with_repeats
from gromo_graph.layers.operation import Features
from gromo_graph.modules.layer_module import Group, LayerModule, previous_of
from gromo_graph.modules.linkable import Linkable
from gromo_graph.spec.kinds import WidthRule

Key = tuple[str, int]
"""A step: the key of a module and how many of its operations are passed; below 0 a tensor that comes from no module."""


def groups_by_links(consumer: LayerModule) -> list[Group]:
    """The groups that a layer reads, in the order in which their features stand in its input.

    Raises:
        GrowthError: there is nothing before it, or the widths do not fit together.
    """
    previous = previous_of(consumer)
    previous.guess_positions(consumer.in_neurons)
    around = _Surroundings(consumer)
    flow = follow_widths(around.steps())
    around.check_input(sum(segment.size for segment in flow.rows[around.last(previous)]))
    readers = {around.keys[reader]: around.keys[source] for reader, source in around.readings.items()}
    places = group_places(flow, around.units(), readers)
    reasons = flow.classes.reasons()
    found = [around.group(places[root], reasons.get(root)) for root in flow.roots(around.last(previous))]
    return [group for group in found if group.producers]


class _Surroundings:
    """The modules around a consumer, up to the layers before and behind them.

    Attributes:
        sources: layers and merges that make what is read, each after those it reads.
        readings: each layer that reads one of them, the consumer first.
        foreign: modules of other kinds that read one of them.
        keys: a name for each module that no other one has.
    """

    def __init__(self, consumer: LayerModule) -> None:
        self.consumer = consumer
        self.readings: dict[LayerModule, Linkable] = {consumer: previous_of(consumer)}
        self.foreign: list[tuple[Linkable, torch.nn.Module]] = []
        self.sources = _in_order(self._explored(previous_of(consumer)))
        self.keys = _named((*self.sources, *self.readings))

    def _explored(self, start: Linkable) -> Iterable[Linkable]:
        found: dict[Linkable, None] = {}
        queue = [start]
        while queue:
            source = queue.pop(0)
            if source in found:
                continue
            found[source] = None
            queue += [other for other in source.inputs() if isinstance(other, Linkable)]
            for reader in source.readers():
                if not isinstance(reader, Linkable):
                    self.foreign.append((source, reader))
                elif reader.is_merge:
                    queue.append(reader)
                elif getattr(reader, "previous_module", None) is source:
                    self.readings.setdefault(_layer(reader), source)
        return found

    # The topology

    def last(self, source: Linkable) -> Key:
        """The step whose row a module returns."""
        return self.keys[source], sum(1 for _ in operations_of(source.function))

    def steps(self) -> Iterator[WidthStep[Key]]:
        """Every layer, merge and operation, then the modules that stop the growth of what they read."""
        for source in self.sources:
            yield from self._merge(source) if source.is_merge else self._made(source, source.width_reason)
            yield from self._operations(source)
        for place, (source, reader) in enumerate(self.foreign):
            why = f"{source.name} is also read by a {type(reader).__name__}, which cannot grow"
            yield _end((f"a reader of {self.keys[source]}", -1 - place), (self.last(source),), (why, ""))

    def _made(self, source: Linkable, reason: str | None) -> Iterator[WidthStep[Key]]:
        """Features that a module makes itself."""
        yield WidthStep(
            (self.keys[source], 0),
            (),
            WidthRule.OWNED,
            source.name,
            features=source.own_width,
            why_fixed=lambda row: reason,
        )

    def _merge(self, merge: Linkable) -> Iterator[WidthStep[Key]]:
        key = self.keys[merge]
        outside = f"{merge.name} also reads a tensor that comes from no module"
        for place, source in enumerate(merge.inputs()):
            if isinstance(source, int):
                yield _end((key, -1 - place), (), ("", outside), features=source)
        reads = tuple(step for _, step in self._inputs(merge))
        if not reads:
            yield from self._made(merge, f"{merge.name} has no previous modules")
            return
        reason = None if merge.allow_growing else f"{merge.name} may not grow (allow_growing=False)"
        yield WidthStep((key, 0), reads, _rule(merge), f"the sum {merge.name}", why_fixed=lambda row: reason)

    def _operations(self, source: Linkable) -> Iterator[WidthStep[Key]]:
        key = self.keys[source]
        passed = operations_with_repeats(source.function, source.positions)
        for place, (operation, times) in enumerate(passed):
            rule = WidthRule.REPEATED if times > 1 else WidthRule.SHARED
            why_fixed = _obstacle_of(operation, source)
            yield WidthStep(
                (key, place + 1), ((key, place),), rule, source.name, times=times, why_fixed=why_fixed
            )

    def _inputs(self, merge: Linkable) -> Iterator[tuple[str, Key]]:
        """The inputs of a merge, as unit and step; tensors from outside are units of their own."""
        key = self.keys[merge]
        for place, source in enumerate(merge.inputs()):
            if isinstance(source, Linkable):
                yield self.keys[source], self.last(source)
            else:
                yield f"{key}<-{place}", (key, -1 - place)

    def units(self) -> Iterator[FlowUnit[Key]]:
        """The modules whose outputs are read."""
        for source in self.sources:
            inputs = list(self._inputs(source))
            yield from (FlowUnit(unit, step, WidthRule.FIXED) for unit, step in inputs if step[1] < 0)
            rule = _rule(source) if source.is_merge else WidthRule.OWNED
            reads = tuple(unit for unit, _ in inputs)
            yield FlowUnit(self.keys[source], self.last(source), rule, reads)

    # The groups

    def group(self, places: GroupPlaces, reason: str | None) -> Group:
        """The modules of one group."""
        modules = {key: module for module, key in self.keys.items()}
        members = [modules[key] for key in places.units]
        jumps, units = _asked_by_operations(members)
        found = Group(
            layout=places,
            modules=modules,
            producers=tuple(_layer(member) for member in members if not member.is_merge),
            reason=reason,
            jumps=tuple(jumps),
            unit=lcm(*units),
        )
        found.watch(self.keys)
        if reason is None:
            found.reason = _why_not_read(found)
        return found

    def check_input(self, found: int) -> None:
        """Refuse what the consumer cannot read.

        Args:
            found: how many features come in.
        """
        consumer, previous = self.consumer, previous_of(self.consumer)
        reads_rows, gives_rows = consumer.adapter.axes(consumer.layer) is None, self._gives_rows(previous)
        if found != consumer.in_neurons and (reads_rows or not gives_rows):
            flatten = "; put a torch.nn.Flatten at the end of the function before it if it reads an image"
            raise GrowthError(
                f"{consumer.name} reads {consumer.in_neurons} features and {previous.name} gives {found}: expected "
                f"as many{flatten if reads_rows else ''}"
            )
        if reads_rows and not gives_rows:
            raise GrowthError(
                f"{consumer.name} is linear and {previous.name} gives an image: expected a torch.nn.Flatten between"
            )
        if gives_rows and not reads_rows:
            raise GrowthError(
                f"{consumer.name} is a convolution and {previous.name} gives features without positions: a "
                "convolution cannot read a linear layer"
            )

    def _gives_rows(self, source: Linkable) -> bool:
        """True if an output has features alone, judged by the first layer that made it."""
        while True:
            if any(operation_adapter(operation).flattens for operation in operations_of(source.function)):
                return True
            if not source.is_merge:
                layer = _layer(source)
                return layer.adapter.axes(layer.layer) is None
            modules = [other for other in source.inputs() if isinstance(other, Linkable)]
            if not modules:
                return self.consumer.adapter.axes(self.consumer.layer) is None
            source = modules[0]


def _in_order(found: Iterable[Linkable]) -> tuple[Linkable, ...]:
    """Each merge after the modules it reads."""
    reading: nx.DiGraph[Linkable] = nx.DiGraph()
    reading.add_nodes_from(found)
    for merge in list(reading):
        reading.add_edges_from((other, merge) for other in merge.inputs() if isinstance(other, Linkable))
    try:
        return tuple(nx.topological_sort(reading))
    except nx.NetworkXUnfeasible as error:
        names = ", ".join(merge.name for merge, _ in nx.find_cycle(reading)[:4])
        raise GrowthError(
            f"the merges {names} read each other in a circle: expected a directed graph"
        ) from error


def _named(modules: Iterable[Linkable]) -> Mapping[Linkable, str]:
    """A key for each module: its name, with a number if another module has the same."""
    found: dict[Linkable, str] = {}
    taken: set[str] = set()
    for module in modules:
        if module not in found:
            key = module.name if module.name not in taken else f"{module.name}#{len(found)}"
            found[module] = key
            taken.add(key)
    return found


def _end(key: Key, reads: tuple[Key, ...], why_ends: tuple[str, str], *, features: int = 0) -> WidthStep[Key]:
    """A step through which nothing grows."""
    return WidthStep(key, reads, WidthRule.FIXED, "", features=features, why_ends=why_ends)


def _rule(merge: Linkable) -> WidthRule:
    return WidthRule.CONCATENATED if merge.concatenates else WidthRule.SHARED


def _obstacle_of(operation: torch.nn.Module, source: Linkable) -> Callable[[Row[Key]], str | None]:
    """Says of the row that enters an operation why it cannot grow there."""

    def why_fixed(row: Row[Key]) -> str | None:
        width, repeated = sum(segment.size for segment in row), any(segment.repeat > 1 for segment in row)
        reason = operation_adapter(operation).obstacle(operation, Features(width, len(row), repeated))
        return None if reason is None else f"{type(operation).__name__} of {source.name}: {reason}"

    return why_fixed


def _asked_by_operations(members: Iterable[Linkable]) -> tuple[list[str], list[int]]:
    """The operations that change their old outputs at once, and the units in which operations grow."""
    jumps, units = [], []
    for member in members:
        for operation in operations_of(member.function):
            adapter = operation_adapter(operation)
            units.append(adapter.unit(operation))
            if adapter.jumps:
                jumps.append(f"{type(operation).__name__} of {member.name}")
    return jumps, units


def _why_not_read(group: Group) -> str | None:
    """Say why a consumer prevents the group from growing; None if it does not."""
    for consumer in group.consumers:
        if not consumer.allow_growing:
            return f"{consumer.name} may not grow (allow_growing=False): expected a module that may"
    if group.jumps and not all(consumer.allow_jump for consumer in group.consumers):
        remedy = "set allow_jump on the modules that read it to let the loss decide"
        return why_discontinuous(group.jumps[0], remedy)
    return None


def _layer(module: Linkable) -> LayerModule:
    return module  # type: ignore[return-value]  # what is no merge is a layer
