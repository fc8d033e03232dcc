"""Second moments of the network's inputs, which no growth changes: with the same data they are counted once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from gromo_graph.layers import LayerAdapter
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.kinds import Input
from gromo_graph.statistics.running_mean import SharedMoment, TensorStatistic
from gromo_graph.statistics.saved_statistics import Snapshot, restored_statistic, saved_statistic


class Reader(Protocol):
    """A layer, or a form of layer, with the second moment S of what it reads."""

    @property
    def input_moment(self) -> SharedMoment: ...

    @property
    def adapter(self) -> LayerAdapter[torch.nn.Module]: ...

    @property
    def layer(self) -> Any: ...


class InputMoments:
    """S of the network's inputs, kept from one plan to the next.

    If few neurons read many inputs, it costs more than all the rest of a plan.
    """

    def __init__(self) -> None:
        self._known: dict[str, TensorStatistic] = {}

    def forget(self) -> None:
        """The data are others now."""
        self._known.clear()

    def saved(self) -> Snapshot:
        """The known moments, to go on with later."""
        parts = {key: saved_statistic(statistic) for key, statistic in self._known.items()}
        tensors = {
            f"{n}.{key}": t for n, part in enumerate(parts.values()) for key, t in part.tensors.items()
        }
        return Snapshot({key: dict(part.plain) for key, part in parts.items()}, tensors)

    def restore(self, snapshot: Snapshot) -> None:
        """Know what was known then."""
        for place, (key, plain) in enumerate(snapshot.plain.items()):
            begin = f"{place}."
            tensors = {
                name.removeprefix(begin): tensor
                for name, tensor in snapshot.tensors.items()
                if name.startswith(begin)
            }
            self._known[key] = restored_statistic(Snapshot(plain, tensors))

    def given_to(self, network: GrowingNetwork, readers: Iterable[tuple[str, Reader]]) -> InputsOfPass:
        """Give what is known to those who read inputs of the network.

        Args:
            readers: each with the node that it reads.
        """
        found: dict[str, SharedMoment] = {}
        weight = next(network.parameters())
        for source, reader in readers:
            if not isinstance(network.spec.nodes[source], Input):
                continue
            form = reader.adapter.moment_key(reader.layer)
            key = repr((source, form, weight.dtype, str(weight.device)))
            moment = found[key] = reader.input_moment
            if key in self._known:
                moment.hold(self._known[key])
        return InputsOfPass(self._known, found)


@dataclass(frozen=True)
class InputsOfPass:
    """The moments of inputs in one pass.

    Attributes:
        known: those counted before, by source and form. found: those that this pass needs.
    """

    known: dict[str, TensorStatistic]
    found: Mapping[str, SharedMoment]

    def knew(self, statistic: TensorStatistic) -> bool:
        """True if it was known before this pass, so that nothing has been counted."""
        return any(statistic is each for each in self.known.values())

    def keep(self) -> None:
        """Remember the moments that were counted."""
        for key, moment in self.found.items():
            if moment.statistic.samples:
                moment.hold(self.known.setdefault(key, moment.statistic))
