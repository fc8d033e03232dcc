"""The producers of a group as one: if all read rows of features, their sums are formed side by side.

A residual stream of a hundred layers has ten thousand pairs of producers. If nothing on the way mixes positions, a
producer arrives in a place as it is, times a factor: then one product of all rows serves all pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gromo_graph.algebra import padded_rows
from gromo_graph.statistics.capture import stored_rows
from gromo_graph.statistics.measured_group import ObservedGroup, SideBySide


def side_by_side(group: ObservedGroup) -> SideBySide | None:
    """The stored batch of a group of several producers; None if there is one, or some do not read plain rows."""
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


def column_gains(group: ObservedGroup) -> Tensor:
    """The factor of each column of all producers in each place that is read, (columns, read places)."""
    assert group.gains is not None
    columns = torch.tensor([producer.adapter.columns(producer.layer) for producer in group.producers])
    return group.gains.repeat_interleave(columns, dim=0)
