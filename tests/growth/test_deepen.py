"""Depth: residual branches behind nodes, their slopes, and everything that follows a step."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from gromo_graph import GrowthScheduler, compile_network, dump_spec, grow, parse_spec, render, replay
from gromo_graph.errors import GraphError
from gromo_graph.graph import build_graph
from gromo_graph.graph.deepening import Deepen, deep_places
from gromo_graph.records import GrowthEvent
from gromo_graph.spec.kinds import Linear
from gromo_graph.spec.settings import Growth
from gromo_graph.spec.text.write_back import write_back_text
from tests.growth.problems import TOKENS, Begun, loss_of, planned, three_classes

F64 = torch.float64
CE = torch.nn.functional.cross_entropy

PLAIN = """
nodes:
  x: {kind: input, shape: [5]}
  one: {kind: linear, from: x, features: 3, activation: tanh}
  two: {kind: linear, from: one, features: 4, activation: relu}
  y: {kind: linear, from: two, features: 3}
output: y
"""
RESIDUAL = """
nodes:
  x: {kind: input, shape: [5]}
  stem: {kind: linear, from: x, features: 3, activation: tanh}
  mix: {kind: linear, from: stem, features: 3}
  join: {kind: merge, from: [stem, mix], activation: sigmoid}
  side: {kind: linear, from: join, features: 2, activation: sigmoid}
  both: {kind: merge, from: [join, side], merge: concat}
  y: {kind: linear, from: both, features: 3}
output: y
"""
IMAGES = """
nodes:
  x: {kind: input, shape: [2, 6, 6]}
  one: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1, activation: relu}
  norm: {kind: batch_norm, from: one}
  two: {kind: conv2d, from: norm, features: 3, kernel: 3, stride: 2, activation: tanh}
  flat: {kind: flatten, from: two}
  y: {kind: linear, from: flat, features: 3}
output: y
"""
SPECS = {
    "plain": (PLAIN, (5,)),
    "residual": (RESIDUAL, (5,)),
    "images": (IMAGES, (2, 6, 6)),
    "tokens": (TOKENS, (4, 5)),
}


def begun(name: str, **policy: Any) -> Begun:
    text, shape = SPECS[name]
    return planned(text, shape, **{"actions": ["deepen"], **policy})


@pytest.mark.parametrize("criterion", ["tiny", "natural"])
@pytest.mark.parametrize("name", SPECS)
def test_slopes_are_those_of_the_loss(name: str, criterion: str) -> None:
    network, scheduler, candidates, loader = begun(name, criterion=criterion)
    before = loss_of(network, loader)
    applicable = [each for each in candidates if each.reason is None]
    assert len(applicable) >= 2
    for each in applicable:
        assert each.kind == "deepen"
        assert each.slope is not None
        tried, other, candidate = copy.deepcopy((network, scheduler, each))
        other.apply(candidate, 1e-6, loader=loader)
        assert (before - loss_of(tried, loader)) / 1e-6 == pytest.approx(each.slope, rel=1e-2)


def test_places_are_values_that_are_read() -> None:
    """No inputs, no layers that merely enter a sum, nothing that operations are folded into; outputs with a reason."""
    found = {
        name: [place.source for place in deep_places(build_graph(parse_spec(text)))]
        for name, (text, _) in SPECS.items()
    }
    assert found["plain"] == ["one", "two"]
    assert "mix" not in found["residual"]
    assert "norm" in found["images"]
    assert "one" not in found["images"]  # the norm is folded into it
    heads = PLAIN.replace("output: y", "outputs: [two, y]")
    (two,) = [place for place in deep_places(build_graph(parse_spec(heads))) if place.source == "two"]
    assert "it is an output" in two.reason  # type: ignore[union-attr]


@pytest.mark.parametrize("name", SPECS)
def test_a_step_deepens_and_the_loss_falls(name: str) -> None:
    network, scheduler, candidates, loader = begun(name)
    best = next(each for each in candidates if each.reason is None)
    assert best.first_changed == frozenset(network.graph.readers(best.target))  # type: ignore[attr-defined]
    parameters, madds = network.graph.parameter_count, network.graph.multiply_adds
    event = scheduler.apply(best)
    assert event.decision is not None
    assert event.loss_after < event.loss_before
    assert loss_of(network, loader) == pytest.approx(event.loss_after, rel=1e-9)
    assert network.graph.parameter_count - parameters == best.delta_parameters
    assert network.graph.multiply_adds - madds == best.delta_madds
    assert parse_spec(event.spec) == network.spec
    total = network.spec.nodes["deep.1.sum"]
    assert total.sources == (best.target, "deep.1.out")
    readers = [name for name, node in network.spec.nodes.items() if best.target in node.sources]
    assert readers == ["deep.1", "deep.1.sum"]


def test_a_branch_widens_and_gets_a_branch_of_its_own() -> None:
    network, scheduler, candidates, loader = begun("plain", actions=["deepen", "widen"])
    scheduler.apply(next(each for each in candidates if each.kind == "deepen" and each.reason is None))
    again = {(each.kind, each.target): each for each in scheduler.plan(loader).candidates}
    assert again["widen", "deep.1"].reason is None
    deeper = again["deepen", "deep.1.sum"]
    scheduler.apply(deeper)
    assert "deep.2" in network.spec.nodes
    assert network.spec.nodes["deep.2"].sources == ("deep.1.sum",)


def test_a_step_is_undone() -> None:
    network, scheduler, candidates, loader = begun("residual")
    before, spec = loss_of(network, loader), network.spec
    scheduler.apply(next(each for each in candidates if each.reason is None))
    scheduler.undo()
    assert network.spec == spec
    assert loss_of(network, loader) == before


def test_a_budget_counts_the_branch() -> None:
    network, _, candidates, _ = begun("plain", stop={"parameters": 60})
    assert network.graph.parameter_count == 49
    for each in candidates:
        if each.reason is None:
            assert 49 + each.delta_parameters <= 60
    _, _, candidates, _ = begun("plain", stop={"parameters": 50})
    assert {each.reason for each in candidates} == {"one neuron there would pass the budget"}


def test_names_that_are_taken_are_refused() -> None:
    spec = parse_spec(PLAIN)
    layer = Linear(sources=("one",), features=3)
    with pytest.raises(GraphError, match="there is a node `two` already"):
        Deepen("one", "sum", (("two", layer),)).spec_of(spec)
    with pytest.raises(GraphError, match="`none` is no node"):
        Deepen("none", "sum", (("new", layer),)).spec_of(spec)


def test_frozen_layers_are_deepened_too() -> None:
    text, shape = SPECS["plain"]
    network = compile_network(parse_spec(text), seed=0, dtype=F64)
    for parameter in network.growing("one").parameters():
        parameter.requires_grad_(False)
    scheduler = GrowthScheduler(network, CE, policy=Growth(actions=["deepen"]), training_steps=9)
    found = {each.target: each for each in scheduler.plan(three_classes(shape)).candidates}
    assert found["one"].slope is not None
    assert found["one"].slope > 0.0


# What follows a step


def test_the_authors_file_gets_the_branch() -> None:
    """Comments stay, new nodes stand behind the one that they read, and its readers read the sum."""
    text = PLAIN.replace("  two:", "  # the second layer\n  two:")
    network, scheduler, candidates, _ = begun("plain")
    scheduler.apply(next(each for each in candidates if each.target == "one"))
    written = write_back_text(text, network.spec).text
    assert "# the second layer" in written
    assert parse_spec(written).nodes == network.spec.nodes
    assert written.index("deep.1:") < written.index("two:")


def test_a_run_deepens_is_replayed_and_drawn(tmp_path: Path) -> None:
    spec = parse_spec(
        PLAIN.replace("[5]", "[64]").replace("features: 3}\n", "features: 10}\n")
        + "growth: {actions: [deepen], when: {until: 1.0, steps: 2}, neurons: {per_step: 3}}\n"
        + "train: {epochs: 2, data: digits}\n"
    )
    events: list[GrowthEvent] = []
    run = grow(
        spec, out=tmp_path / "run", seed=0, on_progress=lambda progress: events.extend(progress.events)
    )
    applied = [event for event in run.events if event.decision is not None]
    assert applied
    assert applied[0].decision is not None
    assert applied[0].decision.kind == "deepen"
    assert "deep.1.sum" in dump_spec(run.network.spec)
    drawn = render(run.network, event=applied[-1])
    assert "deeper behind" in drawn
    again = replay(tmp_path / "run", to=applied[-1].step, out=tmp_path / "again")
    assert again.network.spec == parse_spec(applied[-1].spec)
    assert [event.gamma for event in again.events] == [event.gamma for event in applied]
    journal = (tmp_path / "run" / "journal.jsonl").read_text()
    assert '"kind": "deepen"' in journal or '"kind":"deepen"' in journal
