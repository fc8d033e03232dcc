"""Sound specs with parts that are seldom meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gromo_graph.cli import app
from gromo_graph.graph import build_graph
from gromo_graph.graph.doubts import doubts
from gromo_graph.spec import parse_spec

SHIFTED = """
nodes:
  x: {kind: input, shape: [3, 4, 6]}
  moved: {kind: roll, from: x, shifts: SHIFTS}
  q: {kind: conv2d, from: moved, features: 2, kernel: 1}
  k: {kind: conv2d, from: moved, features: 2, kernel: 1}
  v: {kind: conv2d, from: moved, features: 2, kernel: 1}
  a: {kind: attention, from: [q, k, v], window: 2, rolled: ROLLED}
output: a
"""


@pytest.mark.parametrize(
    ("shifts", "rolled", "told"),
    [
        ("-1", "1", ""),
        ("[3, 5]", "1", ""),  # the same around the edges
        ("[-1, 0]", "[1, 0]", ""),
        ("1", "1", "`shifts: -1`"),
        ("-1", "[1, 0]", "`shifts: [-1, 0]`"),
        ("-1", "0", ""),
    ],
)
def test_windows_are_rolled_as_they_say(shifts: str, rolled: str, told: str) -> None:
    spec = parse_spec(SHIFTED.replace("SHIFTS", shifts).replace("ROLLED", rolled))
    found = list(doubts(build_graph(spec)))
    assert len(found) == bool(told)
    assert told in "".join(found)


@pytest.mark.parametrize(
    ("growth", "told"),
    [
        ("{stop: {parameters: 10}}", "nothing will grow: over budget as it is: 11 of 10 parameters"),
        ("{stop: {madds: 6}}", "7 of 6 multiply-adds"),
        ("{stop: {parameters: 11}}", ""),
        ("{stop: {parameters: 10}, actions: [widen, prune]}", ""),
        ("{stop: {parameters: 10}, beyond: 2}", ""),  # it is pruned back to it
        ("{stop: {steps: 4}, beyond: 2}", "`growth.beyond` does nothing without a budget"),
        ("{stop: {parameters_per_sample: none}, beyond: 2}", "`growth.beyond` does nothing without a budget"),
        ("{beyond: 2}", ""),  # the data set one
    ],
)
def test_budgets_by_which_nothing_grows_or_comes_back(growth: str, told: str) -> None:
    text = """
nodes:
  x: {kind: input, shape: [4]}
  h: {kind: linear, from: x, features: 1, activation: relu}
  y: {kind: linear, from: h, features: 3}
output: y
"""
    found = list(doubts(build_graph(parse_spec(f"{text}growth: {growth}"))))
    assert len(found) == bool(told)
    assert told in "".join(found)


@pytest.mark.filterwarnings("always::UserWarning")
def test_validate_warns_of_windows_that_nothing_rolls(tmp_path: Path) -> None:
    path = tmp_path / "swin.yaml"
    text = SHIFTED.replace("{kind: roll, from: x, shifts: SHIFTS}", "{kind: dropout, from: x, p: 0.1}")
    path.write_text(text.replace("ROLLED", "1"))
    result = CliRunner().invoke(app, ["validate", str(path)])
    assert result.exit_code == 0
    assert "sound" in result.stdout
    assert "warning: `a` says `rolled: 1`, and no `roll` before it moves its positions" in result.stderr
