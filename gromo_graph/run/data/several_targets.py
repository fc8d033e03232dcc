"""Targets of a network with several outputs, side by side in one array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gromo_graph.errors import RunError
from gromo_graph.run.data.raw import Array, Raw, is_text, raw_from


@dataclass(frozen=True)
class TargetColumns:
    """The columns of one output.

    Attributes:
        name: of the output. first: the first column. width: how many.
        classes: the texts that the numbers stand for; () of numbers.
    """

    name: str
    first: int
    width: int
    classes: tuple[str, ...] = ()

    def of(self, raw: Raw) -> Raw:
        """The data with this target alone, as it was given: texts, numbers (samples,), or (samples, width)."""
        assert raw.y is not None
        columns = raw.y[:, self.first : self.first + self.width]
        values: Array = columns[:, 0] if self.width == 1 else columns
        if self.classes:
            values = np.array(self.classes)[values.astype(np.int64)]
        return Raw(f"{raw.name}, `{self.name}`", raw.x, values, raw.features)


def with_several_targets(raw: Raw, y: Mapping[str, Any]) -> Raw:
    """Raw data with the targets of several outputs by their names.

    Raises:
        RunError: a target is no array of numbers or texts, or has not one row for each sample.
    """
    columns, parts, first = [], [], 0
    for name, values in y.items():
        target = raw_from(f"{raw.name}, `{name}`", raw.x, values).y
        assert target is not None
        classes: tuple[str, ...] = ()
        if is_text(target):
            found, target = np.unique(target, return_inverse=True)
            classes = tuple(found.tolist())
        rows = target.reshape(len(target), -1).astype(np.float64)
        columns.append(rows)
        parts.append(TargetColumns(str(name), first, rows.shape[1], classes))
        first += rows.shape[1]
    if not columns:
        raise RunError(f"{raw.name}: y is empty: expected a target for each output, by its name")
    return replace(raw, y=np.concatenate(columns, axis=1), several=tuple(parts))
