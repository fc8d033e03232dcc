"""From statistics to pending growth: the algebra called with the numbers of a module, or of a whole group."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gromo_graph.algebra import accumulation_dtype, optimal_delta
from gromo_graph.errors import GrowthError
from gromo_graph.modules.crossing import projected_part
from gromo_graph.modules.growth_moment import spans_of
from gromo_graph.modules.link import GrowthLink
from gromo_graph.modules.measuring import naming

if TYPE_CHECKING:
    from gromo_graph.modules.group import LinkedGroup
    from gromo_graph.modules.measured import MeasuredModule


@torch.no_grad()
def compute_delta(
    module: MeasuredModule, *, update: bool, dtype: torch.dtype, force_pseudo_inverse: bool, ridge: float
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Solve for the module's own weights; the solution is kept for N, and as pending where asked."""
    with naming(module):
        result = optimal_delta(
            module.tensor_s().to(dtype),
            module.tensor_m().to(dtype),
            ridge=ridge,
            force_pseudo_inverse=force_pseudo_inverse,
        )
    module.delta_partners = (module,)
    return keep_delta(module, result.delta, result.decrease, result.solver, update=update)


def keep_delta(
    module: MeasuredModule, delta: Tensor, decrease: Tensor, solver: str, *, update: bool
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Keep a solution (out, columns) on its module; its weight, its bias and the decrease it promises."""
    # It soon passes the range of half precision.
    decrease = decrease.to(accumulation_dtype(module.weight.dtype))
    weight, bias = module.adapter.weight_and_bias(module.layer, delta.to(module.weight.dtype))
    module.delta_raw = delta
    module.delta_solver = solver
    if update:
        module.optimal_delta_layer = module.adapter.layer_of(module.layer, weight, bias)
        module.parameter_update_decrease = decrease
    return weight, bias, decrease


@torch.no_grad()
def tensor_n(module: MeasuredModule, link: GrowthLink) -> Tensor:
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
        columns: those that are kept, in the order of s; constants that are the same at every place stand once.
        samples: how many were counted.
    """

    s: Tensor
    n: Tensor
    columns: Tensor
    samples: int


@torch.no_grad()
def problem_of(
    link: GrowthLink,
    links: Mapping[MeasuredModule, GrowthLink],
    *,
    projected: bool | Collection[MeasuredModule],
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


def links_of_group(group: LinkedGroup) -> dict[MeasuredModule, GrowthLink]:
    """The link of every consumer of a group.

    Raises:
        GrowthError: one has gathered nothing for it.
    """
    found = {}
    for consumer in group.consumers:
        same = [other for other in consumer.growth_links or () if other.group is group]
        if not same:
            raise GrowthError(
                f"{consumer.name} reads {group.name} too and has gathered nothing: call init_computation() and "
                "update_computation() on every module that reads the group"
            )
        found[consumer] = same[0]
    return found


def _distinct_columns(group: LinkedGroup, device: torch.device) -> Tensor:
    """All columns but the constants that some producer before has in the same places (MATH.md: they are duplicates)."""
    kept, seen = [], set()
    for producer, span in spans_of(group).items():
        last = span.stop
        if producer.use_bias:
            profile = frozenset((place, group.ways.to(producer, place)) for place in group.read_places())
            if profile in seen:
                last -= 1
            seen.add(profile)
        kept += list(range(span.start, last))
    return torch.tensor(kept, device=device)
