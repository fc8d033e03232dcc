"""The report of a run: one page that loads and runs nothing."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from gromo_graph.records import GrowthEvent, Journal, read_journal
from gromo_graph.render.curves import Curve, GrowthMark, Plot, plots_of
from gromo_graph.render.pages.report import report_html
from gromo_graph.render.pages.svg_plot import nice_ticks, svg_plot
from gromo_graph.spec import Spec
from gromo_graph.spec.kinds import Input, Linear
from tests.render.samples import write_journal

EVIL = "</style><script>alert(1)</script>\"'&"
VOID = {"meta", "br", "link", "img", "input"}


class Page(HTMLParser):
    """Tags, attributes and texts of a page; every tag must be closed in its order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(re.sub(r"[ \n]+", " ", data).strip(" "))

    def count(self, name: str) -> int:
        return sum(tag == name for tag, _ in self.tags)


def test_a_step_of_random_neurons_took_no_candidate(tmp_path: Path) -> None:
    write_journal(tmp_path / "journal.jsonl", groups=(("stem", "mix"),))
    found = read_journal(tmp_path)
    solved = Page(report_html(found))
    events = tuple(replace(each, decision=replace(each.decision, random=4)) for each in found.events)
    page = Page(report_html(replace(found, events=events)))
    assert "chosen" in solved.text
    assert "chosen" not in page.text
    assert page.text.count("random") == 1


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    write_journal(tmp_path / "journal.jsonl", groups=(("stem", "mix"), (), ("lift",)))
    return read_journal(tmp_path)


def test_it_tells_the_run(journal: Journal) -> None:
    results = {
        "reason": "the time to grow is over",
        "parameters": 1790,
        "test": {"loss": 0.21, "accuracy": 0.9611},
    }
    page = Page(report_html(journal, results=results))
    words = " | ".join(page.text)
    for expected in (
        "digits_residual",
        "Grown in 2 steps from 1,022 to 1,790 parameters over 6 epochs.",
        "the time to grow is over",
        "2 of 3 tried",
        "test | – | 0.21 | 96.11 %",
        "train | 1,077 | 0.1667 | 91.67 %",
        "stem, mix: +4 features",
        "1 → 0.9 | −10\u202f%",
        "nothing applied: γ came out 0",
        "its width is that of the output `logits`",
    ):
        assert expected in words


def test_every_state_is_drawn_and_the_last_once_more_on_top(journal: Journal) -> None:
    page = Page(report_html(journal))
    assert [tag for tag, at in page.tags if tag == "figure" and "sheet" in (at.get("class") or "")] == [
        "figure"
    ] * 4
    assert page.count("svg") == 4 + 3, "drawings and curves"


def test_growth_steps_are_marked_in_each_curve(journal: Journal) -> None:
    page = Page(report_html(journal))
    assert sum(at.get("class") == "growth" for tag, at in page.tags if tag == "g") == 3 * 2


def test_steps_that_took_neurons_out_have_marks_of_their_own(journal: Journal) -> None:
    pruned = replace(journal.applied[-1].decision, kind="prune")
    events = (*journal.events[:-1], replace(journal.applied[-1], decision=pruned))
    page = Page(report_html(replace(journal, events=events)))
    classes = [at.get("class") for tag, at in page.tags if tag == "g"]
    assert (classes.count("growth"), classes.count("growth prune")) == (3, 3)


def test_growth_steps_stand_at_their_training_steps(journal: Journal) -> None:
    """A journal of an older release knows their epochs alone."""

    def drawn(events: Sequence[GrowthEvent]) -> tuple[list[float], list[tuple[float, float]]]:
        plot = plots_of(journal.epochs, events)[-1]
        return [mark.epoch for mark in plot.marks], list(plot.curves[0].points)

    ends = [(float(epoch.epoch), epoch.parameters) for epoch in journal.epochs]
    assert drawn(journal.events) == ([2, 6], [(0, 1022), *ends])
    first, last = journal.applied
    inside = (replace(first, epochs_done=2.25), replace(last, epochs_done=5.5))
    steps = [(2.25, first.parameters), (5.5, last.parameters)]
    assert drawn(inside) == ([2.25, 5.5], sorted([(0, 1022), *ends, *steps]))


def test_no_id_stands_twice(journal: Journal) -> None:
    page = Page(report_html(journal))
    ids = [at["id"] for _, at in page.tags if "id" in at]
    assert len(ids) == len(set(ids))
    known = set(ids)
    for _, at in page.tags:
        assert set((at.get("aria-labelledby") or "").split()) <= known


def test_the_policy_allows_the_pages_own_style_and_nothing_else(journal: Journal) -> None:
    html = report_html(journal)
    page = Page(html)
    (policy,) = (at["content"] for _, at in page.tags if at.get("http-equiv") == "Content-Security-Policy")
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert page.count("script") == 0
    for _, attributes in page.tags:
        assert not {"style", "src", "href", "xlink:href", "onclick", "onload"} & set(attributes)
    assert set(re.findall(r"https?://[^\"' ]+", html)) == {"http://www.w3.org/2000/svg"}
    assert "@import" not in style
    assert "url(" not in style


def test_names_and_reasons_stay_text(tmp_path: Path) -> None:
    nodes = {
        "x": Input(kind="input", shape=(3,)),
        EVIL: Linear(sources=("x",), features=3),
        "y": Linear(sources=(EVIL,), features=2),
    }
    write_journal(tmp_path / "journal.jsonl", Spec(EVIL, nodes, ("y",)), groups=((EVIL,),))
    journal = read_journal(tmp_path)
    journal = replace(journal, events=(replace(journal.events[0], reason=EVIL),))
    html = report_html(journal, results={"reason": EVIL, "test": {"loss": 1.0, "accuracy": None}})
    page = Page(html)
    assert page.count("script") == 0
    assert page.text.count(EVIL) >= 4


def test_a_run_that_did_not_grow_or_was_cut_off(tmp_path: Path) -> None:
    write_journal(tmp_path / "journal.jsonl")
    journal = replace(read_journal(tmp_path), torn=True)
    page = Page(report_html(journal))
    words = " ".join(page.text)
    assert "no growth step was applied in 0 epochs" in words
    assert "No growth step was tried." in words
    assert "cut off" in words
    assert "not finished" in words
    assert page.count("svg") == 2


def test_numbers_that_the_journal_could_not_hold(journal: Journal) -> None:
    holes = replace(journal.events[0], loss_before=None, loss_after=None, slope=None)
    epoch = replace(journal.epochs[0], train={"loss": None}, validation={})
    page = Page(report_html(replace(journal, events=(holes,), epochs=(epoch,))))
    assert "– → –" in " ".join(page.text)


def test_the_same_journal_gives_the_same_page(journal: Journal) -> None:
    assert report_html(journal) == report_html(journal)


def test_it_follows_the_readers_screen_and_paper(journal: Journal) -> None:
    html = report_html(journal)
    for media in ("prefers-color-scheme: dark", "@media print", "width=device-width"):
        assert media in html


def test_a_plot_without_points_is_empty() -> None:
    assert svg_plot(Plot("loss", (Curve("train", "train", ()),))) == ""


def test_curves_leave_out_what_is_not_finite() -> None:
    values = ((1, 1.0), (2, float("nan")), (3, 2.0))
    svg = svg_plot(Plot("loss", (Curve("a", "train", values),), from_zero=True))
    assert svg.count("<circle") == 2
    assert "nan" not in svg


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_names_of_curves_that_end_together_do_not_touch(value: float) -> None:
    curves = tuple(Curve(name, "train", ((1, value),)) for name in ("a", "b", "c"))
    svg = svg_plot(Plot("loss", curves, (GrowthMark(1, "<b>"),), from_zero=True))
    heights = sorted(float(y) for y in re.findall(r'class="name train" x="\S+" y="(\S+?)"', svg))
    assert min(b - a for a, b in pairwise(heights)) >= 12
    assert min(heights) > 10, "not above the picture"
    assert max(heights) < 210, "not on the axis"
    assert "&lt;b&gt;" in svg


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1e-9), (0, 2.3), (0.9, 0.91), (-3, 5), (0, 0), (7, 7), (0, 4982)]
)
def test_ticks_enclose_the_values_and_are_few(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 3 <= len(ticks) <= 7
    assert len(set(ticks)) == len(ticks)
