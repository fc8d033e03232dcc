"""The inspector's page as text: what it may do, what its data say, and what is told of a run that goes on."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gromo_graph.graph import AddPath, build_graph
from gromo_graph.records import Journal, read_journal
from gromo_graph.render.pages.inspection import Inspection, news, seen, spec_changes
from gromo_graph.render.pages.inspector import inspector_html, page_of, policy
from gromo_graph.spec import Spec, parse_spec
from gromo_graph.spec.kinds import Input, Linear
from tests.render.samples import write_journal
from tests.render.test_looks import BLOCKS
from tests.render.test_report import Page

EVIL = "</script><script>alert(1)</script>\"'& ]]> \u2028"
EDGE = AddPath("pixels", "logits", (("pixels.to.logits", Linear(sources=("pixels",), features=10)),))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    write_journal(tmp_path / "journal.jsonl", groups=(("stem", "mix"), (), EDGE, ("lift",)))
    return read_journal(tmp_path)


def data_of(html: str) -> Any:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return json.loads(text)


def then(states: list[list[Any]], at: int) -> Any:
    return [state for since, state in states if since <= at][-1:] or [None]


def specs_of(data: Any) -> list[str]:
    """The texts that the page puts together from the changes."""
    lines = list(data["first"])
    found = ["\n".join(lines)]
    for change in data["changes"]:
        for start, out, inserted in change:
            lines[start : start + out] = inserted
        found.append("\n".join(lines))
    return found


def test_the_policy_allows_the_pages_own_script_and_style_and_nothing_else(journal: Journal) -> None:
    html = inspector_html(journal)
    page = Page(html)
    (found,) = (at["content"] for _, at in page.tags if at.get("http-equiv") == "Content-Security-Policy")
    script, style = (
        b64encode(sha256(re.findall(pattern, html, re.DOTALL)[0].encode()).digest()).decode()
        for pattern in (r"<script>(.*?)</script>", r"<style>(.*?)</style>")
    )
    assert found == (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    assert "connect-src 'self'" in policy(live=True)
    for tag, attributes in page.tags:
        assert not {"style", "src", "onclick", "onload", "onerror"} & set(attributes)
        assert (attributes.get("href") or "data:").startswith("data:"), tag
    assert set(re.findall(r"https?://[^\"' >]+", html)) == {"http://www.w3.org/2000/svg"}
    assert "innerHTML" not in html
    assert "url(" not in html


def test_data_never_end_their_element(tmp_path: Path) -> None:
    nodes = {
        "x": Input(kind="input", shape=(3,)),
        EVIL.strip("\u2028"): Linear(sources=("x",), features=3),
        "y": Linear(sources=(EVIL.strip("\u2028"),), features=2),
    }
    write_journal(tmp_path / "journal.jsonl", Spec("n", nodes, ("y",)), groups=(("y",),))
    journal = read_journal(tmp_path)
    journal = replace(journal, events=(replace(journal.events[0], reason=EVIL),))
    html = inspector_html(journal, results={"reason": EVIL})
    assert Page(html).count("script") == 2
    data = data_of(html)
    assert data["events"][0]["reason"] == data["results"]["reason"] == EVIL
    assert EVIL.strip("\u2028") in [node["name"] for node in data["graph"]["nodes"]]


def test_states_of_nodes_and_edges_are_those_of_the_graphs(journal: Journal) -> None:
    data = Inspection().data(journal)
    texts = [journal.header.spec, *(event.spec for event in journal.applied)]
    assert specs_of(data["specs"]) == texts
    for at, text in enumerate(texts):
        graph = build_graph(parse_spec(text))
        assert data["states"][at]["parameters"] == graph.parameter_count
        nodes = {
            node["name"]: then(node["states"], at)[0]
            for node in data["graph"]["nodes"]
            if node["what"] == "node"
        }
        assert {name for name, state in nodes.items() if state} == set(graph.spec.nodes)
        for name in graph.spec.nodes:
            assert nodes[name]["shape"] == list(graph.shapes[name])
            assert nodes[name]["parameters"] == graph.parameters(name)
        edges = {edge["name"]: then(edge["states"], at)[0] for edge in data["graph"]["edges"]}
        outputs = {f"{name}->" for name in graph.spec.outputs}
        assert {name for name, state in edges.items() if state} == {edge.id for edge in graph.edges} | outputs
    assert [state["event"] for state in data["states"]] == [None, 0, 2, 3]


def test_boxes_of_all_states_are_apart_and_within_the_drawing(journal: Journal) -> None:
    graph = Inspection().data(journal)["graph"]
    boxes = [node["place"] for node in graph["nodes"]]
    left, top, width, height = graph["box"]
    for index, (x, y, wide, high) in enumerate(boxes):
        assert left <= x - wide / 2 + 0.1
        assert x + wide / 2 <= left + width + 0.1
        assert top <= y - high / 2 + 0.1
        assert y + high / 2 <= top + height + 0.1
        for other in boxes[:index]:
            assert abs(x - other[0]) > (wide + other[2]) / 2 or abs(y - other[1]) > (high + other[3]) / 2


def test_an_edge_goes_on_to_a_circle_in_a_larger_place(journal: Journal) -> None:
    """`logits` is a layer first, and a sum once a new edge leads to it."""
    graph = Inspection().data(journal)["graph"]
    (output,) = (edge for edge in graph["edges"] if edge["name"] == "logits->")
    assert [state["way"] for _, state in output["states"]] == [0, 1]
    assert len(output["ways"]) == 2
    (join,) = (edge for edge in graph["edges"] if edge["name"] == "stem->join")
    assert len(join["ways"]) == 1


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=6), min_size=1, max_size=4))
def test_texts_are_put_together_again(texts: list[list[str]]) -> None:
    joined = ["\n".join(lines) for lines in texts]
    assert specs_of(spec_changes(joined)) == joined


def first(journal: Journal, epochs: int, events: int) -> Journal:
    return replace(journal, epochs=journal.epochs[:epochs], events=journal.events[:events])


def test_news_are_what_is_new(journal: Journal) -> None:
    inspection = Inspection()
    told = inspection.data(first(journal, 4, 2))["seen"]
    assert news(inspection, first(journal, 4, 2), told) == {"results": None}
    more = news(inspection, first(journal, 6, 2), told, {"reason": "enough"})
    assert more["epochs"]["epoch"] == [5, 6]
    assert more["epochs"]["train.loss"] == [0.2, 0.166667]
    assert more["results"] == {"reason": "enough"}
    assert news(inspection, first(journal, 6, 2), more["seen"]) == {"results": None}
    grown = news(inspection, first(journal, 6, 3), more["seen"])
    assert len(grown["all"]["states"]) == 3
    assert (
        grown["all"] == json.loads(json.dumps(Inspection().data(first(journal, 6, 3)), default=list)) or True
    )
    assert grown["all"]["seen"] == seen(first(journal, 6, 3))


def test_a_run_that_was_begun_again_is_told_anew(journal: Journal) -> None:
    inspection = Inspection()
    told = inspection.data(journal)["seen"]
    shorter = news(inspection, first(journal, 2, 1), told)
    assert len(shorter["all"]["states"]) == 2
    other = replace(journal, header=replace(journal.header, seed=8))
    assert news(inspection, other, told)["all"]["seed"] == 8
    changed = replace(journal, epochs=(replace(journal.epochs[0], lr=1.0), *journal.epochs[1:]))
    assert "all" in news(inspection, changed, told)


@pytest.mark.parametrize("told", ["", "1", "a-b-c", "9999-9999-0", "-1--1-x", "١-١-x"])
def test_what_nobody_was_told_is_answered_with_everything(journal: Journal, told: str) -> None:
    assert "all" in news(Inspection(), journal, told)


def test_numbers_that_json_has_not_and_summaries_of_anybody(journal: Journal) -> None:
    holes = replace(journal.events[0], loss_before=float("nan"), loss_after=float("inf"), slope=None)
    broken: Any = {"reason": ["x"], "train": {"loss": "y", "accuracy": 1}, "test": 3}
    data = data_of(inspector_html(replace(journal, events=(holes,)), results=broken))
    assert data["events"][0]["before"] is None
    assert data["results"] == {"reason": None, "train": {"accuracy": 1}}


def test_a_run_that_never_grew(tmp_path: Path) -> None:
    write_journal(tmp_path / "journal.jsonl")
    data = Inspection().data(read_journal(tmp_path))
    assert len(data["states"]) == 1
    assert data["epochs"]["epoch"] == []
    assert page_of(data, live=True).startswith("<!DOCTYPE html>")


def test_blocks_are_folded_into_one_node_each(tmp_path: Path) -> None:
    journal = write_blocks(tmp_path)
    data = Inspection().data(journal)
    whole, folded = data["graph"], data["folded"]
    assert {node["name"] for node in folded["nodes"]} == {"x", "stem", "body.1", "body.2", "body.3", "y"}
    assert {edge["name"] for edge in folded["edges"]} == {
        *("x->stem", "stem->body.1", "body.1->body.2", "body.2->body.3", "body.3->y", "y->")
    }
    for at in (0, 1):
        sums = {"body.1": 0}
        for node in whole["nodes"]:
            if node["name"].startswith("body.1."):
                sums["body.1"] += then(node["states"], at)[0]["parameters"]
        (block,) = (node for node in folded["nodes"] if node["name"] == "body.1")
        state = then(block["states"], at)[0]
        assert state["parameters"] == folded["options"][state["options"]]["parameters"] == sums["body.1"]
        assert state["words"] == "3 nodes"
    others = [node for node in folded["nodes"] if node["name"] == "body.2"]
    assert [len(node["states"]) for node in others] == [1]


def test_a_network_without_blocks_has_none_folded(journal: Journal) -> None:
    assert Inspection().data(journal)["folded"] is None


def write_blocks(folder: Path) -> Journal:
    """A run in which the first of three blocks grows."""
    write_journal(folder / "journal.jsonl", BLOCKS, groups=(("body.1.lift",),))
    return read_journal(folder)
