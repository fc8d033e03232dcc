"""Specs and graphs as a notebook shows them."""

from __future__ import annotations

import pytest

from gromo_graph.display import Displayed
from gromo_graph.graph import build_graph
from gromo_graph.render import render
from gromo_graph.spec import Spec
from gromo_graph.spec.kinds import Linear
from tests.render.samples import RESIDUAL


@pytest.mark.parametrize("shown", [RESIDUAL, build_graph(RESIDUAL)])
def test_a_notebook_gets_the_drawing_and_the_text(shown: Displayed) -> None:
    bundle = shown._repr_mimebundle_(include=None, exclude=None)
    assert bundle == {"image/svg+xml": render(RESIDUAL), "text/plain": repr(shown)}
    assert shown._repr_svg_() == render(RESIDUAL)


def test_they_are_printed_in_a_line() -> None:
    assert repr(RESIDUAL) == f"<Spec {RESIDUAL.name}: {len(RESIDUAL.nodes)} nodes, pixels -> logits>"
    graph = build_graph(RESIDUAL)
    sizes = f"{len(graph.order)} nodes, {len(graph.edges)} edges, {graph.parameter_count:,} parameters"
    assert repr(graph) == f"<Graph {RESIDUAL.name}: {sizes}, pixels -> logits>"


def test_what_cannot_be_drawn_shows_its_text() -> None:
    broken = Spec("broken", {"y": Linear(sources=("x",), features=2)}, ("y",))
    assert broken._repr_svg_() is None
    assert broken._repr_mimebundle_() == {"text/plain": repr(broken)}


def test_a_fault_in_the_drawing_shows_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gromo_graph.render.drawing.graphviz._graphviz", lambda *_: 1 / 0)
    assert list(RESIDUAL._repr_mimebundle_()) == ["text/plain"]
