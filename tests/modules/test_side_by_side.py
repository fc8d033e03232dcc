"""Producers side by side: the sums of all pairs at once are those of each pair alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gromo_graph.modules import GrowingModule
from gromo_graph.modules.group_links import growable_links
from gromo_graph.statistics.group_problem import tensor_n
from gromo_graph.statistics.growth_link import GrowthLink
from tests.modules.networks import F64, Problem, many, problem, residual

SPECS = {
    "two into a sum, read by two": many(2, 2),
    "four into a sum, read by three": many(4, 3),
    "a residual stream": residual(3),
}


def links(found: Problem) -> list[tuple[GrowingModule, GrowthLink]]:
    """Every reader of a group with the link that it gathers for."""
    readers = [layer for layer in found.layers if layer.previous_module is not None]
    return [(reader, link) for reader in readers for link in growable_links(reader)]


def alone(link: GrowthLink) -> None:
    """Forget that nothing on the ways mixes positions: then each pair is summed by itself."""
    link.group.__dict__["gains"] = None


def gathered(nodes: str, *, apart: bool) -> Problem:
    found = problem(nodes)
    for module in found.layers:
        module.init_computation()
    if apart:
        for _, link in links(found):
            alone(link)
    found.total(found.network(found.x)).backward()
    for module in found.layers:
        module.update_computation()
    return found


def sums(consumer: GrowingModule, link: GrowthLink) -> dict[str, Tensor]:
    consumer.compute_optimal_delta(update=False, dtype=F64)
    return {
        "S": link.s_growth.statistic(),
        "M_prev": link.m_prev(),
        "C": link.cross(),
        "N": tensor_n(consumer, link),
    }


@pytest.mark.parametrize("nodes", SPECS.values(), ids=list(SPECS))
def test_all_pairs_at_once_are_each_pair_alone(nodes: str) -> None:
    together, apart = (gathered(nodes, apart=apart) for apart in (False, True))
    several = 0
    for (consumer, link), (other, other_link) in zip(links(together), links(apart), strict=True):
        several += link.group.together is not None
        assert other_link.group.together is None
        for name, value in sums(consumer, link).items():
            torch.testing.assert_close(
                value, sums(other, other_link)[name], msg=lambda m, n=name: f"{n}: {m}"
            )
    assert several > 0


def test_nothing_of_a_batch_is_kept_after_the_statistics_are() -> None:
    found = gathered(many(2, 2), apart=False)
    groups = [link.group for _, link in links(found)]
    assert any(group.together is not None for group in groups)
    for module in found.layers:
        module.reset_computation()
    assert all(group.together is None for group in groups)
