"""The producers of a group as one: where all read rows of features, their sums are formed side by side.

A residual stream of a hundred layers has ten thousand pairs of producers. Where nothing on the way mixes positions, a
producer arrives in a place as it is, times a factor: then one product of all rows serves all pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gromo_graph.algebra import PaddedRows, padded_rows
from gromo_graph.modules.capture import stored_rows

if TYPE_CHECKING:
    from gromo_graph.modules.group import LinkedGroup


@dataclass(frozen=True)
class SideBySide:
    """The rows of several producers beside each other, and how they arrive.

    Attributes:
        rows: (n, columns of all producers).
        gains: (columns, read places), the factor of each column in each place.
        passes: the forward passes of the producers that they are of.
    """

    rows: PaddedRows
    gains: Tensor
    passes: tuple[object, ...]

    @property
    def by_pair(self) -> Tensor:
        """What the product of two columns counts: summed over the places, (columns, columns)."""
        return self.gains @ self.gains.T


def side_by_side(group: LinkedGroup) -> SideBySide | None:
    """The stored batch of a group of several producers; None where there is one, or some do not read plain rows."""
    if len(group.producers) < 2 or group.gains is None:
        return None
    passes = tuple(producer.capture.forward_pass for producer in group.producers)
    known = group.together
    if known is not None and all(a is b for a, b in zip(known.passes, passes, strict=True)):
        return known
    found = [stored_rows(producer) for producer in group.producers]
    if not all(rows.is_matrix for rows in found):
        return None
    values = torch.cat([rows.rows.values for rows in found], dim=1)
    group.together = SideBySide(padded_rows(values), column_gains(group).to(values), passes)
    return group.together


def column_gains(group: LinkedGroup) -> Tensor:
    """The factor of each column of all producers in each place that is read, (columns, read places)."""
    assert group.gains is not None
    columns = torch.tensor([producer.adapter.columns(producer.layer) for producer in group.producers])
    return group.gains.repeat_interleave(columns, dim=0)
