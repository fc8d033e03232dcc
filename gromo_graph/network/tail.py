"""The part of a forward pass that a step size reaches; what comes before it is computed once for all step sizes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from gromo_graph.graph import Call
from gromo_graph.network.draft import Draft
from gromo_graph.network.forward import computed, evaluation_mode, returned
from gromo_graph.network.module_keys import module_key


class Tail(torch.nn.Module):
    """The calls of a draft, from the first one whose weights depend on the step size.

    It shares its modules with the draft, so it computes with the step size that was written last.

    Args:
        draft: stays as it is.
    """

    def __init__(self, draft: Draft) -> None:
        super().__init__()
        network = self._network = [draft.network]  # in a list, so that it is no module of this one
        written = {_storage(each) for each in draft.written}
        calls = network[0].graph.calls
        units = [network[0].unit(call.output) for call in calls]
        first = next((place for place, unit in enumerate(units) if _has_any(unit, written)), len(calls))
        self._before, self._calls = calls[:first], calls[first:]
        self.units = torch.nn.ModuleDict(
            {module_key(c.output): units[first + n] for n, c in enumerate(self._calls)}
        )
        self._names: list[str] = []

    def entered(
        self, batches: Iterable[tuple[tuple[Any, ...], Tensor]]
    ) -> list[tuple[tuple[Tensor, ...], Tensor]]:
        """The batches with what enters the tail in place of what enters the network, (batch, *shape) each."""
        (network,) = self._network
        found = []
        with evaluation_mode(network), torch.no_grad():
            for inputs, target in batches:
                given = dict(zip(network.spec.inputs, inputs, strict=True))
                values = computed(self._before, given, lambda call, taken: network.unit(call.output)(*taken))
                self._names = list(values)
                found.append((tuple(values.values()), target))
        return found

    def forward(self, *entered: Tensor) -> Tensor | dict[str, Tensor]:
        """The outputs of the network, from what enters the tail."""
        given = dict(zip(self._names, entered, strict=True))
        return returned(self._network[0].graph, computed(self._calls, given, self._call))

    def _call(self, call: Call, taken: list[Tensor]) -> Tensor:
        value: Tensor = self.units[module_key(call.output)](*taken)
        return value


def _has_any(unit: torch.nn.Module, storages: set[int]) -> bool:
    return any(_storage(each) in storages for each in (*unit.parameters(), *unit.buffers()))


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
