"""Mermaid text: every node and edge, escaped, with what an event changed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given

from gromo_graph import RenderError, Spec, diff, grow, parse_spec, render
from gromo_graph.graph import build_graph
from gromo_graph.render.drawing.mermaid import to_mermaid
from tests.run.specs import IRIS
from tests.spec.strategies import specs

LINE = re.compile(
    r'  (n\d+(\[/"[^"\n]*"/\]|\("[^"\n]*"\)|\(\("[^"\n]*"\)\))|n\d+ -->\|"[^"\n]*"\| n\d+|classDef .*|class .*)'
)


@given(specs())
def test_any_spec_is_written_line_by_line(spec: Spec) -> None:
    graph = build_graph(spec)
    first, *lines = to_mermaid(graph).splitlines()
    assert first == "flowchart LR"
    assert all(LINE.fullmatch(line) for line in lines)
    assert len(lines) == len(spec.nodes) + len(graph.edges)


def test_a_run_shows_what_grew_and_nothing_can_command_it(tmp_path: Path) -> None:
    run = grow(parse_spec(IRIS), out=tmp_path / "run")
    file = render(tmp_path / "run", tmp_path / "x.mmd")
    drawn = Path(file).read_text()
    assert "class n1" in drawn
    assert re.search(r"\+\d+ features", drawn)
    assert render(run, format="mermaid", direction="down").startswith("flowchart TD")
    name = '"]:::a; click'
    nodes = f"{{x: {{kind: input, shape: [2]}}, '{name}': {{kind: linear, from: x, features: 1}}}}"
    hostile = parse_spec(f"nodes: {nodes}\noutput: '{name}'\n")
    assert '"]:::a' not in str(render(hostile, format="mermaid"))
    with pytest.raises(RenderError, match="mermaid has no dashed boxes"):
        render(diff(hostile, hostile), format="mermaid")


def test_edges_into_an_attention_say_what_they_are() -> None:
    spec = parse_spec(
        """
nodes:
  x: {kind: input, shape: [3, 5]}
  a: {kind: conv1d, from: x, features: 2, kernel: 1}
  b: {kind: conv1d, from: x, features: 2, kernel: 1}
  c: {kind: conv1d, from: x, features: 2, kernel: 1}
  m: {kind: attention, from: [c, a, b]}
output: m
"""
    )
    roles = ("query 2×5", "key 2×5", "value 2×5")
    text, drawing = to_mermaid(build_graph(spec)), render(spec)
    for role in roles:
        assert f'|"{role}"|' in text
        assert f">{role}<" in drawing
