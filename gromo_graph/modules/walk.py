"""Finding the width groups around a layer, along the links of modules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import lcm
from typing import TYPE_CHECKING

import torch

from gromo_graph.errors import GrowthError
from gromo_graph.graph.segments import Classes, Row, Segment, repeated
from gromo_graph.layers import operation_adapter, operations_of, operations_with_repeats
from gromo_graph.layers.operation import Features
from gromo_graph.modules.group import LinkedGroup, Slot
from gromo_graph.modules.links import Linkable, previous_of

if TYPE_CHECKING:
    from gromo_graph.modules.measured import MeasuredModule

Maker = Linkable | tuple[Linkable, int]
"""Who makes features: a module, or an input of a merge that comes from none."""


def groups_of(consumer: MeasuredModule) -> list[LinkedGroup]:
    """The groups that a layer reads, in the order in which their features stand in its input.

    Raises:
        GrowthError: there is nothing before it, or the widths do not fit together.
    """
    return _Walk(consumer).groups()


class _Walk:
    """The modules around a consumer, up to the layers before and behind them."""

    def __init__(self, consumer: MeasuredModule) -> None:
        self.consumer = consumer
        self.sources: dict[Linkable, None] = {}
        self.readings: dict[MeasuredModule, Linkable] = {}
        self.foreign: list[tuple[Linkable, torch.nn.Module]] = []
        self.classes: Classes[Maker] = Classes()
        self.rows: dict[Linkable, Row[Maker]] = {}
        previous = previous_of(consumer)
        previous.guess_positions(consumer.in_neurons)
        self._explore(previous)
        self.readings.setdefault(consumer, previous)
        for source in self._in_order():
            self.rows[source] = self._row(source)
        self._check_input(consumer)
        for source, reader in self.foreign:
            self.classes.refuse(
                self.rows[source],
                f"{source.name} is also read by a {type(reader).__name__}, which cannot grow",
            )

    def _explore(self, start: Linkable) -> None:
        queue = [start]
        while queue:
            source = queue.pop(0)
            if source in self.sources:
                continue
            self.sources[source] = None
            queue += [other for other in source.inputs() if isinstance(other, Linkable)]
            for reader in source.readers():
                if not isinstance(reader, Linkable):
                    self.foreign.append((source, reader))
                elif reader.is_merge:
                    queue.append(reader)
                elif getattr(reader, "previous_module", None) is source:
                    self.readings.setdefault(_layer(reader), source)

    def _in_order(self) -> Iterable[Linkable]:
        """Layers first, then each merge after those it reads; without recursion."""
        ordered = {source: None for source in self.sources if not source.is_merge}
        waiting = [source for source in self.sources if source.is_merge]
        while waiting:
            ready = [m for m in waiting if all(isinstance(i, int) or i in ordered for i in m.inputs())]
            if not ready:
                names = ", ".join(merge.name for merge in waiting[:4])
                raise GrowthError(
                    f"the merges {names} read each other in a circle: expected a directed graph"
                )
            ordered.update(dict.fromkeys(ready))
            waiting = [merge for merge in waiting if merge not in ordered]
        return ordered

    def _row(self, source: Linkable) -> Row[Maker]:
        row: Row[Maker] = self._merged(source) if source.is_merge else (Segment(source, source.own_width),)
        if source.width_reason is not None:
            self.classes.refuse(row, source.width_reason)
        for operation, repeat in operations_with_repeats(source.function, source.positions):
            adapter = operation_adapter(operation)
            width, many = sum(segment.size for segment in row), any(segment.repeat > 1 for segment in row)
            obstacle = adapter.obstacle(operation, Features(width, len(row), many))
            if obstacle is not None:
                self.classes.refuse(row, f"{type(operation).__name__} of {source.name}: {obstacle}")
            row = repeated(row, repeat)
        return row

    def _merged(self, merge: Linkable) -> Row[Maker]:
        rows: list[Row[Maker]] = []
        for place, source in enumerate(merge.inputs()):
            if isinstance(source, int):
                row: Row[Maker] = (Segment((merge, place), source),)
                self.classes.refuse(row, f"{merge.name} also reads a tensor that comes from no module")
                rows.append(row)
            else:
                rows.append(self.rows[source])
        if not rows:
            row = (Segment(merge, merge.own_width),)
            self.classes.refuse(row, f"{merge.name} has no previous modules")
            return row
        if not merge.allow_growing:
            for row in rows:
                self.classes.refuse(row, f"{merge.name} may not grow (allow_growing=False)")
        if merge.concatenates:
            return tuple(segment for row in rows for segment in row)
        return self.classes.add_up(
            rows, f"the sum {merge.name} adds concatenations whose segments do not match one to one"
        )

    def _check_input(self, consumer: MeasuredModule) -> None:
        previous = previous_of(consumer)
        found = sum(segment.size for segment in self.rows[previous])
        reads_rows, gives_rows = consumer.adapter.axes(consumer.layer) is None, self._gives_rows(previous)
        if found != consumer.in_neurons and (reads_rows or not gives_rows):
            flatten = "; put a torch.nn.Flatten at the end of the function before it where it reads an image"
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
        """Whether an output has features alone, judged by the first layer that made it."""
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

    def groups(self) -> list[LinkedGroup]:
        reasons = self.classes.reasons()
        roots = dict.fromkeys(self.classes.of(s.atom) for s in self.rows[previous_of(self.consumer)])
        groups = [self._group(root, reasons.get(root)) for root in roots]
        return [group for group in groups if group.producers]

    def _group(self, root: Maker, reason: str | None) -> LinkedGroup:
        slots = {source: found for source in self.rows if (found := self._slots(source, root))}
        producers = tuple(_layer(source) for source in slots if not source.is_merge)
        reads = {
            reader: slots[source]
            for reader, source in sorted(self.readings.items(), key=lambda pair: pair[0] is not self.consumer)
            if source in slots
        }
        jumps, units = self._operations(slots)
        for consumer in reads:
            if reason is None and not consumer.allow_growing:
                reason = f"{consumer.name} may not grow (allow_growing=False): expected a module that may"
        if reason is None and jumps and not all(consumer.allow_jump for consumer in reads):
            reason = (
                f"{jumps[0]} changes its old outputs at once when it grows, so there is no slope: set allow_jump on "
                "the modules that read it to let the loss decide"
            )
        return LinkedGroup(
            producers=producers,
            merges=tuple(source for source in slots if source.is_merge),
            reads=reads,
            slots=slots,
            segments={source: len(row) for source, row in self.rows.items()},
            reason=reason,
            jumps=tuple(jumps),
            unit=lcm(*units),
        )

    def _slots(self, source: Linkable, root: Maker) -> tuple[Slot, ...]:
        found, start = [], 0
        for place, segment in enumerate(self.rows[source]):
            if self.classes.of(segment.atom) == root:
                found.append(Slot(source, place, start, segment.width, segment.repeat))
            start += segment.size
        return tuple(found)

    def _operations(self, slots: Mapping[Linkable, Sequence[Slot]]) -> tuple[list[str], list[int]]:
        jumps, units = [], []
        for source in slots:
            for operation in operations_of(source.function):
                adapter = operation_adapter(operation)
                units.append(adapter.unit(operation))
                if adapter.jumps:
                    jumps.append(f"{type(operation).__name__} of {source.name}")
        return jumps, units


def _layer(module: Linkable) -> MeasuredModule:
    return module  # type: ignore[return-value]  # what is no merge is a layer
