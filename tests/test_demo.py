"""The promises of `make demo`, with five seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from gromo_graph import grow, parse_spec
from gromo_graph.graph import build_graph

SPEC = Path(__file__).resolve().parent.parent / "specs" / "digits_mlp.yaml"

pytestmark = pytest.mark.slow


def test_five_seeds_reach_the_promised_accuracy_within_the_budget() -> None:
    accuracies = []
    for seed in range(5):
        run = grow(SPEC, seed=seed)
        assert run.network.graph.parameter_count <= 5000
        assert run.network.graph.parameter_count == sum(p.numel() for p in run.network.parameters())
        applied = [event for event in run.events if event.decision is not None]
        assert len(applied) >= 5
        solved = [event for event in applied if event.slope != 0.0]  # drawn neurons change nothing yet
        assert len(solved) >= 5
        assert all(event.loss_after < event.loss_before for event in solved)
        assert run.network.graph.parameter_count >= 0.95 * 5000
        for event in applied:
            assert build_graph(parse_spec(event.spec)).parameter_count == event.parameters
        accuracies.append(run.summary["test"]["accuracy"])
    assert sum(accuracies) / 5 >= 0.955
    assert min(accuracies) >= 0.92
