"""Histograms of weights and outputs after each growth step: in the journal, in the summary, and on the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from gromo_graph import compile_network, grow, load_run, parse_spec
from gromo_graph.records import read_journal
from gromo_graph.render.pages import inspection
from gromo_graph.render.pages.inspection import Inspection, histograms_by_state, shown_results
from gromo_graph.run.histograms import SAMPLES, histogram, histograms_of, samples_within_cost
from tests.run.specs import iris


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run"
    grow(iris(), out=path, seed=2, device="cpu")
    return path


def test_each_applied_step_has_them_and_the_end_too(path: Path) -> None:
    journal = read_journal(path)
    assert journal.applied
    for event in journal.events:
        assert bool(event.histograms) == (event.decision is not None)
        assert set(event.histograms) <= {"hidden", "y"}
    ends = json.loads((path / "summary.json").read_text())["histograms"]
    network = load_run(path).network
    weights = torch.cat([each.detach().flatten() for each in network.unit("y").parameters()])
    low, high, counts = ends["y"][0]
    assert (low, high) == pytest.approx((float(weights.min()), float(weights.max())), rel=1e-3)
    assert len(counts) == 16
    assert "Z" in counts
    assert ends["hidden"][1][0] == 0.0  # outputs of a relu


def test_they_change_nothing(path: Path) -> None:
    network = compile_network(
        parse_spec("""
            nodes:
              x: {kind: input, shape: [2, 6, 6]}
              c: {kind: conv2d, from: x, features: 3, kernel: 3}
              b: {kind: batch_norm, from: c, activation: relu}
              d: {kind: dropout, from: b, p: 0.5}
              e: {kind: conv2d, from: d, features: 3, kernel: 1}
              s: {kind: merge, from: [b, e], merge: sum, activation: tanh}
              f: {kind: flatten, from: s}
              y: {kind: linear, from: f, features: 2}
            output: y
        """),
        seed=0,
    ).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    found = histograms_of(network, [torch.randn(8, 2, 6, 6, generator=torch.Generator().manual_seed(0))])
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert {name for name, (weights, _) in found.items() if weights} == set("cey")
    assert {name for name, (_, outputs) in found.items() if outputs} == set("bdefy")
    assert found["d"][1] == found["b"][1]  # dropout is off
    low, high, _ = found["f"][1] or (0, 9, "")
    assert -1.0 <= low < high <= 1.0
    assert {name for name, (_, outputs) in histograms_of(network, None).items() if outputs} == set()


def test_counts_of_what_is_not_finite_equal_or_very_much() -> None:
    assert histogram([]) is None
    assert histogram([torch.tensor([float("nan"), float("inf")])]) is None
    assert histogram([torch.tensor([2.0, 2.0, float("nan")])]) == (2.0, 2.0, "Z")
    low, high, counts = histogram([torch.linspace(0, 1, 1_000_000)]) or (9, 9, "")
    assert (low, high) == pytest.approx((0.0, 1.0), abs=1e-3)
    assert set(counts) <= set("YZ")


def test_a_large_network_is_looked_at_with_fewer_samples() -> None:
    network = compile_network(iris(), seed=0)
    assert samples_within_cost(network) == SAMPLES
    text = iris(nodes__hidden__features="20000", nodes__y__features="2000")
    assert 1 <= samples_within_cost(compile_network(text, seed=0)) < SAMPLES


def test_held_out_data_from_a_loader_are_not_read_for_them(tmp_path: Path) -> None:
    x = torch.randn(90, 4, generator=torch.Generator().manual_seed(0))
    points = TensorDataset(x, x[:, :3].argmax(dim=1))
    loaders = {"train": DataLoader(points, batch_size=30), "validation": DataLoader(points, batch_size=90)}
    grow(iris(), data=loaders, out=tmp_path / "run", device="cpu")
    applied = read_journal(tmp_path / "run").applied
    assert applied
    for event in applied:
        assert all(weights and outputs is None for weights, outputs in event.histograms.values())


def test_the_page_has_those_of_all_steps_or_of_an_even_selection(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = read_journal(path)
    data = Inspection().data(journal, json.loads((path / "summary.json").read_text()))
    count = len(journal.applied)
    assert [state for state, _ in data["histograms"]] == list(range(1, count + 1))
    assert set(data["results"]["histograms"]) == {"hidden", "y"}
    json.dumps(data, allow_nan=False)
    monkeypatch.setattr(inspection, "_MOST_HISTOGRAMS", 2)
    kept = [state for state, _ in histograms_by_state(journal)]
    assert len(kept) < count
    assert kept[-1] == count


@pytest.mark.parametrize(
    "odd", ["?", {"y": 3}, {"y": [[0, 1, "<b>"], None]}, {"y": [[0, 1, "0" * 99], None]}]
)
def test_odd_histograms_of_a_file_are_left_out(odd: Any) -> None:
    shown: Mapping[str, Any] = shown_results({"reason": "r", "histograms": odd}) or {}
    assert "histograms" not in shown


def test_a_journal_without_them_is_read(path: Path) -> None:
    journal = read_journal(path)
    events = tuple(replace(event, histograms={}) for event in journal.events)
    assert events == journal.events
    assert Inspection().data(replace(journal, events=events))["histograms"] == []
