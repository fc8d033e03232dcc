"""The least squares problem of a width group, from the statistics of its consumers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gromo_graph.errors import GrowthError
from gromo_graph.statistics.cross_moments import projected_part
from gromo_graph.statistics.growth_link import GatheringGroup, GatheringLayer, GatheringLink
from gromo_graph.statistics.growth_moment import spans_of


@torch.no_grad()
def tensor_n(module: GatheringLayer, link: GatheringLink) -> Tensor:
    """N = −M_prev + C δᵀ with the delta solved for last, whatever has been done to the pending one."""
    deltas = [partner.delta_raw for partner in module.partners]
    if any(delta is None for delta in deltas):
        raise GrowthError(f"{module.name} has no optimal delta for N: call compute_optimal_delta() first")
    cross = link.cross()
    found = [delta.to(cross) for delta in deltas if delta is not None]
    delta = found[0] if len(found) == 1 else torch.cat(found, dim=1)
    return projected_part(module, link.group, link.read, cross, delta).sub_(link.m_prev())


@dataclass(frozen=True)
class Problem:
    """The least squares of a group.

    Attributes:
        s: (columns, columns) of all producers. n: (columns, outputs) of all consumers side by side.
        columns: those that are kept, in the order of s: those that some consumer sees, of equal constants the first.
        samples: how many were counted.
    """

    s: Tensor
    n: Tensor
    columns: Tensor
    samples: int


@torch.no_grad()
def problem_of(
    link: GatheringLink,
    links: Mapping[GatheringLayer, GatheringLink],
    *,
    projected: bool | Collection[GatheringLayer],
) -> Problem:
    """The problem of a group from what its consumers have gathered.

    Args:
        link: any link to the group. links: of each of its consumers.
        projected: whether the gradient is projected by the consumers' deltas, or for which consumers it is.

    Raises:
        GrowthError: a consumer has gathered nothing, or has no delta.
    """
    group = link.group
    parts = []
    for consumer in group.consumers:
        found = links[consumer]
        wanted = projected if isinstance(projected, bool) else consumer in projected
        parts.append(tensor_n(consumer, found) if wanted else -found.m_prev())
    s = link.s_growth.statistic()
    n = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
    columns = _distinct_columns(group, s.device)
    if len(columns) < len(s):
        s, n = s[columns[:, None], columns[None, :]], n[columns]
    return Problem(s, n, columns, link.s_growth.statistic.samples)


def _distinct_columns(group: GatheringGroup, device: torch.device) -> Tensor:
    """The columns that a consumer sees, without constants that a producer before has in the same places.

    See docs/maths.md, "Width groups" and "Products": of a gate nothing is seen as long as what it multiplies is 0.
    """
    kept, seen = [], set()
    for producer, span in spans_of(group).items():
        last = span.stop
        profile = frozenset(
            (place, paths)
            for place in group.read_places()
            if (paths := group.linear_paths.to(producer, place))
        )
        if not profile:
            continue
        if producer.use_bias:
            if profile in seen:
                last -= 1
            seen.add(profile)
        kept += list(range(span.start, last))
    return torch.tensor(kept, dtype=torch.long, device=device)
