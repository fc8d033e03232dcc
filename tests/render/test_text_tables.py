"""Plans, events, differences and runs as Python prints them."""

from __future__ import annotations

import pytest

from gromo_graph import Candidate, Difference, GrowthEvent, Plan, Run, diff, grow, parse_spec
from tests.run.specs import IRIS


@pytest.fixture(scope="module")
def run() -> Run:
    return grow(parse_spec(IRIS), seed=0)


def test_a_run_is_its_results(run: Run) -> None:
    text = str(run)
    assert text == repr(run)
    assert text.splitlines()[0] == "small"
    test = run.summary["test"]
    (row,) = (line.split() for line in text.splitlines() if line.startswith("test "))
    assert row == ["test", f"{test['loss']:.4f}", f"{test['accuracy']:.2%}".removesuffix("%"), "%"]
    assert f"{run.network.graph.parameter_count} parameters after {run.summary['steps']} growth steps" in text
    assert f"growth ended: {run.summary['reason']}" in text
    assert len(text.splitlines()) < 10


def test_an_event_is_a_line_and_prints_its_candidates(run: Run) -> None:
    (event, *_) = (event for event in run.events if event.decision)
    assert event.decision is not None
    assert "\n" not in repr(event)
    assert f"epoch {event.epoch}" in repr(event)
    assert f"{event.decision.target}: +{event.decision.neurons}" in repr(event)
    lines = str(event).splitlines()
    assert lines[0] == repr(event)
    assert lines[1] == event.reason
    assert len(lines) == 3 + len(event.candidates)
    nothing = GrowthEvent(0, 2, None, "γ = 0", 0.0, None, 0.5, 0.5, 10, 8)
    assert "γ = 0" in repr(nothing)
    assert str(nothing) == repr(nothing)


def test_a_difference_names_nodes_edges_values_and_costs(run: Run) -> None:
    grown = diff(parse_spec(IRIS), run.spec)
    assert isinstance(grown, Difference)
    assert repr(grown).splitlines()[0].split() == [
        "node",
        "kind",
        "shape",
        "options",
        "parameters",
        "multiply-adds",
    ]
    assert f"({grown.delta_parameters:+d})" in str(grown)
    assert str(diff(run.spec, run.spec)) == "no difference"


def test_columns_stand_below_each_other() -> None:
    plan = Plan(
        (
            Candidate("widen", "a", neurons=12, slope=0.25, predicted=1.5, delta_parameters=1000),
            Candidate("new_edge", "long name->b", slope=2.0, predicted=2.0, delta_parameters=-3),
        )
    )
    heading, titles, *rows = repr(plan).splitlines()
    assert heading == "2 candidates"
    end = titles.index("slope") + len("slope")
    assert [row[:end].split()[-1] for row in rows] == ["0.25", "2"]


def test_a_value_that_cannot_be_told_is_shown_all_the_same() -> None:
    assert "Plan object" in repr(Plan(({},)))  # type: ignore[arg-type]


def test_no_text_commands_the_terminal() -> None:
    plan = Plan((Candidate("widen", "\x1b[31mred", reason="\x07"),))
    assert "\x1b" not in repr(plan)
    assert "\x07" not in repr(plan)
