"""The widths that are due at a tick: whatever is asked for is met when growth ends, and never passed on the way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gromo_graph import load_spec, parse_spec
from gromo_graph.graph import Graph, build_graph, obstacle
from gromo_graph.graph.costs import cost_at_widths, widening_cost
from gromo_graph.graph.growth_edits import apply, widening
from gromo_graph.graph.widths import WidthGroup
from gromo_graph.growth.pace import Share, due_widths, tick_pace, turns_of
from gromo_graph.spec.settings import Growth, Stop

GALLERY = sorted((Path(__file__).parents[2] / "specs").glob("digits_*.yaml"))


def chain(*widths: int, grow: str = "true") -> Graph:
    lines = ["version: 1", "name: p", "nodes:", "  x: {kind: input, shape: [8]}"]
    source = "x"
    for place, width in enumerate(widths):
        lines.append(f"  h{place}: {{kind: linear, from: {source}, features: {width}, grow: {grow}}}")
        source = f"h{place}"
    lines += [f"  y: {{kind: linear, from: {source}, features: 3}}", "output: y"]
    return build_graph(parse_spec("\n".join(lines)))


def free(graph: Graph) -> list[WidthGroup]:
    return [group for group in graph.groups if obstacle(graph, group) is None]


def proportions(graph: Graph) -> dict[str, float]:
    return {group.target: float(group.features) for group in graph.groups}


def grown(graph: Graph, widths: Mapping[str, int]) -> Graph:
    spec = graph.spec
    for group in graph.groups:
        more = widths.get(group.target, group.features) - group.features
        if more:
            spec = apply(spec, widening(group, more))
    return build_graph(spec)


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_the_cost_at_other_widths_is_that_of_the_network_with_these_widths(path: Path) -> None:
    graph = build_graph(load_spec(path))
    wanted = {group: group.features + 2 * group.unit for group in free(graph)}
    other = grown(graph, {group.target: width for group, width in wanted.items()})
    cost = cost_at_widths(graph, wanted)
    assert (cost.parameters, cost.madds) == (other.parameter_count, other.multiply_adds)


def test_the_cost_of_one_group_is_the_difference_that_a_widening_makes() -> None:
    graph = chain(3, 5)
    group = graph.groups[0]
    more, now = cost_at_widths(graph, {group: 7}), cost_at_widths(graph, {})
    assert more.parameters - now.parameters == widening_cost(graph, group, 4).parameters


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_the_last_turn_uses_the_budget_and_does_not_pass_it(path: Path) -> None:
    graph = build_graph(load_spec(path))
    budget = 3 * graph.parameter_count
    widths = due_widths(graph, free(graph), proportions(graph), Stop(parameters=budget), Share(1, 1))
    assert widths is not None
    assert 0.9 * budget < grown(graph, widths).parameter_count <= budget


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.integers(1, 12),
    st.integers(50, 5000),
    st.booleans(),
)
@settings(max_examples=50)
def test_growth_over_all_ticks_ends_within_one_neuron_of_the_budget(
    begin: list[int], ticks: int, more: int, early: bool
) -> None:
    graph = chain(*begin)
    share_of = proportions(graph)
    stop = Stop(parameters=graph.parameter_count + more)
    for left in range(ticks, 0, -1):
        before = graph
        widths = due_widths(graph, free(graph), share_of, stop, Share(left, 1, early))
        assert widths is not None
        assert all(widths[group.target] >= group.features for group in free(graph))
        graph = grown(graph, widths)
        assert graph.parameter_count <= (stop.parameters or 0)
        rest = (stop.parameters or 0) - before.parameter_count
        due = before.parameter_count + rest * Share(left, 1, early).of_budgets
        assert graph.parameter_count <= due + 1e-6
    assert all(
        graph.parameter_count + widening_cost(graph, group, 1).parameters > (stop.parameters or 0)
        for group in free(graph)
    )


def test_widths_keep_the_proportions_they_began_with_or_those_the_author_gave() -> None:
    graph = chain(2, 4, 8)
    stop = Stop(parameters=20_000)
    own = due_widths(graph, free(graph), proportions(graph), stop, Share(1, 1)) or {}
    assert own["h1"] == pytest.approx(2 * own["h0"], abs=2)
    assert own["h2"] == pytest.approx(4 * own["h0"], abs=4)
    equal = due_widths(graph, free(graph), dict.fromkeys(own, 1.0), stop, Share(1, 1)) or {}
    assert max(equal.values()) - min(equal.values()) <= 1


def test_a_target_is_reached_at_the_last_tick_and_approached_before() -> None:
    graph = chain(4, grow="{target: 24}")
    (group,) = free(graph)
    widths = []
    for left in (4, 3, 2, 1):
        due = due_widths(graph, [group], proportions(graph), Stop(), Share(left, 1)) or {}
        graph = grown(graph, due)
        (group,) = free(graph)
        widths.append(group.features)
    assert widths == [9, 14, 19, 24]


def test_whole_units_and_limits_hold() -> None:
    graph = build_graph(
        parse_spec(
            "version: 1\nname: u\nnodes:\n  x: {kind: input, shape: [2, 6, 6]}\n"
            "  a: {kind: conv2d, from: x, features: 4, kernel: 3, grow: {max: 13}}\n"
            "  n: {kind: group_norm, from: a, groups: 2}\n"
            "  f: {kind: flatten, from: n}\n  y: {kind: linear, from: f, features: 3}\noutput: y\n"
        )
    )
    (group,) = free(graph)
    widths = due_widths(graph, [group], proportions(graph), Stop(parameters=10**6), Share(1, 1)) or {}
    assert group.unit == 2
    assert widths["a"] == 12


def test_without_a_budget_there_is_nothing_to_go_by() -> None:
    graph = chain(3)
    assert due_widths(graph, free(graph), proportions(graph), Stop(), Share(3, 1)) is None


def test_groups_that_share_a_layer_take_turns() -> None:
    assert turns_of(free(chain(2))) == 1
    assert turns_of(free(chain(2, 2, 2))) == 2
    assert Share(4, 2).of_budgets == 0.5
    assert Share(1, 2).of_budgets == 1.0


def test_what_is_left_of_a_budget_that_is_due_early_falls_with_the_square_of_the_ticks_left() -> None:
    left = 1.0
    for ticks in range(10, 0, -1):
        left *= 1 - Share(ticks, 1, early=True).of_budgets
        assert left == pytest.approx(((ticks - 1) / 10) ** 2)
    assert Share(4, 2, early=True).of_budgets == 0.75
    assert Share(1, 2, early=True).of_budgets == 1.0
    assert Share(4, 2, early=True).of_targets == 0.5  # widths that are known are approached evenly


IMAGES = """
version: 1
name: images
nodes:
  x: {kind: input, shape: [2, 6, 6]}
  a: {kind: conv2d, from: x, features: 4, kernel: 3, activation: relu}
  f: {kind: flatten, from: a}
  y: {kind: linear, from: f, features: 3}
output: y
"""


@pytest.mark.parametrize(
    ("graph", "shares"),
    [
        (chain(2), [0.1, 0.2, 0.3, 0.4, 0.5]),
        (build_graph(parse_spec(IMAGES)), [0.19, 0.36, 0.51, 0.64, 0.75]),
    ],
    ids=["vectors", "images"],
)
def test_of_a_network_of_images_most_is_due_at_the_first_ticks(graph: Graph, shares: list[float]) -> None:
    budget, begin, found = 100_000, graph.parameter_count, []
    policy = Growth(stop=Stop(parameters=budget))
    for left in (10, 9, 8, 7, 6):
        pace = tick_pace(graph, policy, {}, left)
        graph = grown(graph, pace.widths)
        found.append((graph.parameter_count - begin) / (budget - begin))
    assert found == pytest.approx(shares, abs=0.01)
