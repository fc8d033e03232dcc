"""The order of the candidates under each policy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gromo_graph import compile_network, parse_spec
from gromo_graph.growth.candidates.budget import neurons_at_once
from gromo_graph.growth.candidates.propose import propose
from gromo_graph.growth.candidates.stages import Applicable, LeftOut
from gromo_graph.growth.policy import ranked
from gromo_graph.spec.settings import Growth, Neurons, Stop


def proposals(widths: dict[str, tuple[int, float, str]]) -> tuple[list[Applicable], list[LeftOut]]:
    """One candidate for each name: width, slope, `grow`; and those that are left out."""
    lines = ["version: 1", "name: p", "nodes:", "  x: {kind: input, shape: [4]}"]
    source = "x"
    for name, (width, _, grow) in widths.items():
        lines.append(f"  {name}: {{kind: linear, from: {source}, features: {width}, grow: {grow}}}")
        source = name
    lines += [f"  y: {{kind: linear, from: {source}, features: 2}}", "output: y"]
    network = compile_network(parse_spec("\n".join(lines)), seed=0)
    feasible = propose(network, Growth(criterion="random"))
    drawn = [each.drawn(None) for each in feasible.drawn]
    return [replace(each, slope=widths[each.target][1]) for each in drawn], feasible.left_out


@pytest.mark.parametrize(
    ("select", "first"),
    [
        ("balanced", "narrow"),
        ("slope", "steep"),
        ("slope_per_parameter", "wide"),
        ("slope_per_madd", "wide"),
    ],
)
def test_order(select: str, first: str) -> None:
    found, left_out = proposals(
        {"narrow": (4, 0.1, "true"), "steep": (6, 0.9, "true"), "wide": (30, 0.5, "true")}
    )
    assert ranked(found, Growth(select=select))[0].target == first
    assert [each.target for each in left_out] == ["y"]


def test_slope_decides_among_near_ties() -> None:
    found, _ = proposals({"a": (8, 0.1, "true"), "b": (9, 0.9, "true"), "c": (20, 5.0, "true")})
    assert [p.target for p in ranked(found, Growth())] == ["b", "a", "c"]


def test_ratio_and_minimum() -> None:
    found, _ = proposals({"a": (8, 0.1, "true"), "b": (12, 0.1, "{ratio: 2.0}")})
    assert ranked(found, Growth())[0].target == "b"
    found, _ = proposals({"a": (8, 0.9, "true"), "b": (12, 0.1, "{min: 16}")})
    assert ranked(found, Growth())[0].target == "b"


def test_neurons_at_once() -> None:
    group = proposals({"a": (8, 0.1, "true")})[0][0].group
    own = proposals({"a": (8, 0.1, "{step: 3}")})[0][0].group
    assert neurons_at_once(Growth(), group) == 8
    assert neurons_at_once(Growth(stop=Stop(parameters=1499)), group) == 4
    assert neurons_at_once(Growth(neurons=Neurons(per_step=5)), group) == 5
    assert neurons_at_once(Growth(neurons=Neurons(per_step=5)), own) == 3


def test_trimmed_to_the_maximum_and_to_the_budget() -> None:
    ((found,), _) = proposals({"a": (8, 0.1, "{max: 11}")})
    assert found.neurons == 3
    assert found.delta_parameters == 3 * (4 + 1 + 2)
    (_, (full, _)) = proposals({"a": (8, 0.1, "{max: 8}")})
    assert "grow.max" in full.reason
