"""Mermaid text: every node and edge, escaped, with what an event changed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from gromo_graph import RenderError, Spec, diff, grow, parse_spec, render
from gromo_graph.graph import build_graph
from gromo_graph.records import Decision
from gromo_graph.render.drawing import fills, style
from gromo_graph.render.drawing.mermaid import to_mermaid
from tests.render.samples import RESIDUAL, WIDENED
from tests.render.test_looks import BLOCKS
from tests.run.specs import IRIS
from tests.spec.strategies import specs

PART = re.compile(r'  n\d+(\[/"[^"\n]*"/\]|\("[^"\n]*"\)|\(\("[^"\n]*"\)\)| -->\|"[^"\n]*"\| n\d+)')
LOOK = re.compile(r'  (classDef \w+ [\w#:,-]+|class n[\dn,]+ \w+|subgraph f[\d_]+\["[^"\n]*"\]|n\d+|end)')


@given(specs())
def test_any_spec_is_written_line_by_line(spec: Spec) -> None:
    graph = build_graph(spec)
    first, *lines = to_mermaid(graph).splitlines()
    assert first == "flowchart LR"
    parts = len(spec.nodes) + len(graph.edges)
    assert all(PART.fullmatch(line) for line in lines[:parts])
    assert all(LOOK.fullmatch(line) for line in lines[parts:])
    coloured = [each for line in lines if line.startswith("  class ") for each in line.split()[1].split(",")]
    assert sorted(coloured) == sorted(f"n{place}" for place in range(len(spec.nodes)))


def test_it_has_the_colours_and_frames_of_the_other_drawings() -> None:
    graph = build_graph(BLOCKS)
    text = to_mermaid(graph)
    assert f"classDef growable fill:{style.PAPER},stroke:{style.GROWABLE_LINE}" in text
    assert f"classDef input fill:{style.DATA_FILL}" in text
    first = text.index('subgraph f_0["body ×3"]')
    assert first < text.index('subgraph f_0_0["body.1"]') < text.index('subgraph f_0_2["body.3"]')
    assert text.count("  end\n") == 4
    linear = fills._KINDS["linear"]
    assert f"fill:{linear.fill},stroke:{linear.line}" in str(render(BLOCKS, format="mermaid", colour="kind"))


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


def test_a_step_that_took_neurons_out_has_its_own_colour() -> None:
    event = replace(WIDENED, decision=Decision("prune", "lift", 2, ("lift",), -10, -10), candidates=())
    text = to_mermaid(build_graph(RESIDUAL), event)
    assert f"classDef narrower fill:{style.REMOVED_FILL},stroke:{style.REMOVED}" in text
    assert "class n2 narrower" in text
    assert style.GROWN not in text


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
