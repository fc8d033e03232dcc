"""Statistics as plain values and tensors, so that they can be written down and read back to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gromo_graph.statistics.running_mean import TensorStatistic


@dataclass(frozen=True)
class Snapshot:
    """A saved state: values that JSON can hold, and tensors by name."""

    plain: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def copied(self) -> Snapshot:
        """The same, with tensors of its own."""
        return Snapshot(self.plain, {name: tensor.detach().clone() for name, tensor in self.tensors.items()})


_PLAIN = ("name", "samples", "updates", "_upper", "_in_place", "_squares", "_parts", "_every", "_unmarked")


def saved_statistic(statistic: TensorStatistic) -> Snapshot:
    """A statistic with all that its estimate of its own error needs.

    >>> statistic = TensorStatistic("E[x]")
    >>> statistic.update(torch.tensor([6.0, 2.0]), samples=2)
    >>> restored_statistic(saved_statistic(statistic))()
    tensor([3., 1.])
    """
    values = vars(statistic)
    marks: list[tuple[Tensor, int]] = values["_marks"]
    plain = {key: values[key] for key in _PLAIN}
    plain |= {
        "dtype": None if statistic.dtype is None else str(statistic.dtype).removeprefix("torch."),
        "shape": None if statistic.shape is None else list(statistic.shape),
        "marks": [samples for _, samples in marks],
    }
    tensors = {f"mark.{place}": mark for place, (mark, _) in enumerate(marks)}
    if values["_sum"] is not None:
        tensors["sum"] = values["_sum"]
    return Snapshot(plain, tensors)


def restored_statistic(snapshot: Snapshot) -> TensorStatistic:
    """The statistic that was saved."""
    plain, tensors = snapshot.plain, snapshot.tensors
    shape = plain["shape"]
    dtype = None if plain["dtype"] is None else getattr(torch, plain["dtype"])
    found = TensorStatistic(plain["name"], None if shape is None else tuple(shape), dtype=dtype)
    vars(found).update({key: plain[key] for key in _PLAIN})
    vars(found)["_sum"] = tensors.get("sum")
    vars(found)["_marks"] = [
        (tensors[f"mark.{place}"], samples) for place, samples in enumerate(plain["marks"])
    ]
    return found
