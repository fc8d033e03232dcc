"""The inspector's page in a browser, of a real run: everything a person does with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gromo_graph.graph import AddPath
from gromo_graph.graph.diff import diff
from gromo_graph.records import Journal, read_journal
from gromo_graph.render.numbers import count, signed
from gromo_graph.render.pages.inspector import inspector_html
from gromo_graph.spec import Spec, parse_spec
from gromo_graph.spec.kinds import Input, Linear, Merge
from tests.render.samples import write_journal, write_large_journal
from tests.render.test_inspector import write_blocks

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

Opened = Callable[..., "Page"]
EVIL = "</script><script>alert(1)</script> \"' ]]> <!-- &amp; \\N"
RTL = "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd"
LONG = "encoder.block.12.attention.query.projection." * 8


@pytest.fixture(scope="module")
def journal(run: Path) -> Journal:
    return read_journal(run)


@pytest.fixture
def page(opened: Opened, page_file: Path) -> Page:
    return opened(page_file)


def text(page: Page, selector: str) -> str:
    return page.locator(selector).inner_text()


def step_of(page: Page) -> str:
    return text(page, "#at")


def named(page: Page, name: str) -> Any:
    """A node or edge of the drawing."""
    return page.locator(f'#drawing [data-name="{name}"]:not([data-what="output"])')


def places(page: Page) -> dict[str, tuple[float, float]]:
    """The middle of each node that is to be seen."""
    return page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("#drawing .node:not(.absent)")].map((node) => {
            const box = node.querySelector(node.classList.contains("circle") ? "circle" : "rect").getBBox();
            return [node.dataset.what + node.dataset.name, [box.x + box.width / 2, box.y + box.height / 2]];
        }))"""
    )


def test_it_begins_at_the_last_step_and_the_slider_goes_through_all(page: Page, journal: Journal) -> None:
    last = len(journal.applied)
    assert last >= 3
    assert step_of(page).startswith(f"Step {last} of {last}")
    for step, event in enumerate(journal.applied, start=1):
        page.locator("#slider").fill(str(step))
        assert step_of(page) == f"Step {step} of {last} · epoch {event.epoch}"
        assert event.reason in text(page, "#decision")
    page.locator("#slider").fill("0")
    assert "Before any growth" in text(page, "#decision")


def test_nodes_keep_their_places_and_appear(page: Page, journal: Journal) -> None:
    page.locator("#slider").fill("0")
    before = places(page)
    seen = {name.removeprefix("node") for name in before if name.startswith("node")}
    assert seen == set(parse_spec(journal.header.spec).nodes)
    for step, event in enumerate(journal.applied, start=1):
        page.locator("#slider").fill(str(step))
        now = places(page)
        assert {name.removeprefix("node") for name in now if name.startswith("node")} == set(
            parse_spec(event.spec).nodes
        )
        for name in before.keys() & now.keys():
            assert now[name] == pytest.approx(before[name], abs=0.1)
        before = now


def test_boxes_hold_their_texts(opened: Opened, page_file: Path, hostile: Path) -> None:
    for file in (page_file, hostile):
        page = opened(file)
        for base in ("", "0"):
            page.locator("#base").select_option(base)
            over = page.evaluate(
                """() => [...document.querySelectorAll("#drawing .node.box:not(.absent)")].flatMap((node) => {
                    const box = node.querySelector("rect").getBBox();
                    return [...node.querySelectorAll("text")].filter((text) => text.textContent).map((text) => {
                        const inner = text.getBBox();
                        const right = inner.x + inner.width - box.x - box.width, left = box.x - inner.x;
                        const down = inner.y + inner.height - box.y - box.height, up = box.y - inner.y;
                        return [text.textContent, Math.max(right, left, down, up)];
                    });
                })"""
            )
            assert len(over) >= 6
            assert [each for each in over if each[1] > 0] == []


def test_what_a_step_changed_lights_up(page: Page, journal: Journal) -> None:
    index, event = next(
        (index, event)
        for index, event in enumerate(journal.applied, start=1)
        if event.decision and event.decision.kind == "widen"
    )
    assert event.decision is not None
    page.locator("#slider").fill(str(index))
    grown = named(page, event.decision.nodes[0])
    assert "changed" in (grown.get_attribute("class") or "")
    assert f"+{event.decision.neurons} feature" in grown.locator(".badge").inner_html()
    before, after = (
        [journal.header.spec, *(e.spec for e in journal.applied)][at] for at in (index - 1, index)
    )
    for node in diff(parse_spec(before), parse_spec(after)).nodes:
        assert ("changed" in (named(page, node.name).get_attribute("class") or "").split()) == node.is_own
    new = next(e for e in journal.applied if e.decision and e.decision.kind == "new_edge")
    page.locator("#slider").fill(str(journal.applied.index(new) + 1))
    assert new.decision is not None
    assert named(page, new.decision.nodes[0]).locator(".badge").inner_html() == "new"


def test_growth_steps_stand_at_their_training_steps_in_the_curves(opened: Opened, tmp_path: Path) -> None:
    """The first of three is from an older release, which told its epoch alone: 2 of 6."""
    write_journal(tmp_path / "journal.jsonl", groups=(("stem", "mix"), ("lift",), ("lift",)))
    journal, places = read_journal(tmp_path), (None, 3.25, 5.5)
    events = (replace(each, epochs_done=at) for each, at in zip(journal.events, places, strict=True))
    (tmp_path / "page.html").write_text(inspector_html(replace(journal, events=tuple(events))))
    page = opened(tmp_path / "page.html")
    plot = page.locator("#plots figure", has_text="parameters")
    marks = [float(mark.get_attribute("x1") or 0) for mark in plot.locator(".growth line").all()]
    start, end = (float(plot.locator(".grid").first.get_attribute(side) or 0) for side in ("x1", "x2"))
    assert marks == pytest.approx([start + (end - start) * at / 6 for at in (2, 3.25, 5.5)], abs=0.1)
    stairs = plot.locator(".curve path").get_attribute("d") or ""
    rises = [float(at) for at in re.findall(r"H([\d.]+)", stairs)]
    assert set(marks[1:]) < set(rises), "the size changes at the steps whose places are known"


def test_what_is_narrower_has_a_colour_of_its_own(page: Page, journal: Journal) -> None:
    event = next(each for each in journal.applied if each.decision and each.decision.kind == "widen")
    assert event.decision is not None
    node, at = event.decision.nodes[0], journal.applied.index(event) + 1
    gone = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--gone').trim()")

    def line() -> str:
        stroke = named(page, node).locator("rect").evaluate("each => getComputedStyle(each).stroke")
        return "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", stroke))

    page.locator("#slider").fill(str(at))
    assert line() != gone
    page.locator("#slider").fill(str(at - 1))
    page.locator("#base").select_option(str(at))
    assert "−" in named(page, node).locator(".badge").inner_html()
    assert line() == gone
    assert page.locator("#drawing .edge.narrower").count() > 0


def test_keys_buttons_and_play(page: Page, journal: Journal) -> None:
    last = len(journal.applied)
    page.locator("body").press("ArrowLeft")
    assert step_of(page).startswith(f"Step {last - 1} ")
    page.locator("body").press("ArrowRight")
    assert step_of(page).startswith(f"Step {last} ")
    assert page.locator("#next").is_disabled()
    page.locator("#first").click()
    assert step_of(page).startswith("Beginning")
    page.locator("#next").click()
    page.locator("#slider").press("ArrowRight")
    assert step_of(page).startswith("Step 2 ")
    page.locator("#first").click()
    page.locator("#play").click()
    assert page.locator("#play").get_attribute("aria-label") == "pause"
    expect(page.locator("#at")).to_contain_text("Step 2 ")
    page.locator("#play").click()
    assert page.locator("#play").get_attribute("aria-pressed") == "false"


def test_a_node_by_click_and_an_edge_by_the_keyboard_alone(page: Page, journal: Journal) -> None:
    named(page, "hidden").click()
    told = text(page, "#selection")
    spec = parse_spec(journal.applied[-1].spec)
    assert told.startswith("hidden")
    assert f"features: {spec.nodes['hidden'].features}" in told  # type: ignore[union-attr]
    assert "features" in told
    assert "slope of widening it" in told
    assert page.locator("#selection svg.plot").count() == 2
    page.keyboard.press("Escape")
    assert "Choose one" in text(page, "#selection")

    page.locator("#sheet").focus()
    page.keyboard.press("Tab")
    for _ in range(20):
        if page.evaluate("document.activeElement.dataset.name") == "x->hidden":
            break
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert text(page, "#selection h2") == "x → hidden"
    assert "carries\n4" in text(page, "#selection")
    page.keyboard.press("ArrowLeft")
    assert step_of(page).startswith(f"Step {len(journal.applied) - 1} ")
    assert page.evaluate("document.activeElement.dataset.name") == "x->hidden", "the focus stays"


def test_the_table_of_candidates_is_that_of_the_journal(page: Page, journal: Journal) -> None:
    event = journal.applied[0]
    page.locator("#slider").fill("1")
    rows = page.locator("#candidates tbody tr")
    assert rows.count() == len(event.candidates)
    for row, candidate in zip(rows.all(), event.candidates, strict=True):
        told = row.inner_text()
        assert candidate.target in told
        assert (candidate.reason or "") in told
        if candidate.reason is None:
            assert signed(candidate.delta_parameters) in told
    chosen = page.locator("#candidates tr.chosen")
    assert chosen.count() == 1
    assert event.decision is not None
    assert event.decision.target in chosen.inner_text()
    ranks = [
        (c.slope, row.inner_text().split("\t")[0])
        for row, c in zip(rows.all(), event.candidates, strict=True)
        if c.slope is not None
    ]
    assert [rank for _, rank in sorted(ranks, key=lambda pair: -pair[0])] == [
        str(n + 1) for n in range(len(ranks))
    ]


def test_predicted_and_realised(page: Page, journal: Journal) -> None:
    event = journal.applied[0]
    page.locator("#slider").fill("1")
    told = text(page, "#decision")
    assert event.slope is not None
    ratio = (event.loss_before - event.loss_after) / (event.slope * event.gamma)
    assert f"{100 * ratio:.{1 if ratio < 0.0995 else 0}f}\u202f% of it" in told.replace("−", "-")
    assert page.locator("#plots .growth.point").count() == len(journal.applied)


def test_random_neurons_took_no_candidate(opened: Opened, tmp_path: Path) -> None:
    write_journal(tmp_path / "journal.jsonl", groups=(("stem", "mix"), ("lift",), ("lift",)))
    found = read_journal(tmp_path)
    random = replace(
        found.events[0], decision=replace(found.events[0].decision, random=4), slope=0.0, gamma=1.0
    )
    partly = replace(found.events[1], decision=replace(found.events[1].decision, random=1))
    file = tmp_path / "page.html"
    file.write_text(
        inspector_html(replace(found, events=(random, partly, found.events[2]))), encoding="utf-8"
    )
    page = opened(file)
    page.locator("#slider").fill("1")
    told = text(page, "#decision")
    assert "random, not solved" in told
    for word in ("slope", "γ", "rank", "solved by", "promised"):
        assert word not in told.replace("not solved", "")
    assert page.locator("#candidates tr.chosen").count() == 0
    assert "not applied: random ones instead" in text(page, "#candidates")
    assert "1 step of 3 promised nothing" in text(page, "#plots")
    page.locator("#slider").fill("2")
    assert "the last 1 random, not solved" in text(page, "#decision")
    assert "promised, slope × γ" in text(page, "#decision")


def test_hovering_one_curve_marks_the_others(page: Page, journal: Journal) -> None:
    figures = page.locator("#plots figure")
    assert figures.count() == 5
    for figure in figures.all()[:4]:
        assert figure.locator(".growth").count() == len(journal.applied)
    loss = figures.first.locator("svg")
    loss.scroll_into_view_if_needed()
    box = loss.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2)
    told = [each.inner_text() for each in page.locator("#plots .readout").all()[:4]]
    epochs = {match[0] for words in told if (match := re.match(r"epoch \d+", words))}
    assert len(epochs) == 1
    (epoch,) = (int(words.split()[1]) for words in epochs)
    assert told[2].endswith(count(journal.epochs[epoch - 1].parameters))
    assert page.locator("#plots .guide[visibility=visible]").count() == 4
    page.mouse.move(5, 5)
    shown = f"epoch {journal.applied[-1].epoch}"
    assert text(page, "#plots figure:first-child .readout").startswith(shown), "that of the step shown"

    figures.first.locator('.growth[data-event="0"] .reach').hover()
    assert page.locator("#plots .growth.lit").count() == 5
    assert page.locator("#steps tr.lit").count() == 1
    page.mouse.move(5, 5)
    assert page.locator(".lit").count() == 0


def test_choosing_a_mark_goes_to_its_step(page: Page) -> None:
    page.locator('#plots figure:nth-child(3) .growth[data-event="1"] .reach').click()
    assert step_of(page).startswith("Step 2 ")
    page.locator("#steps tbody button").first.click()
    assert step_of(page).startswith("Step 1 ")
    assert page.locator("#plots .here").count() == 5


@pytest.mark.parametrize("pair", ["0 last", "1 2", "last 0", "1 1"])
def test_the_difference_of_any_two_steps(page: Page, journal: Journal, pair: str) -> None:
    """As `graph.diff` finds it."""
    specs = [journal.header.spec, *(event.spec for event in journal.applied)]
    one, other = (len(specs) - 1 if word == "last" else int(word) for word in pair.split())
    page.locator("#slider").fill(str(other))
    page.locator("#base").select_option(str(one))
    found = diff(parse_spec(specs[one]), parse_spec(specs[other]))
    if not found:
        assert "Nothing differs" in text(page, "#difference")
        return
    rows = [row.inner_text().split("\t") for row in page.locator("#differences tbody tr").all()]
    signs = {"added": "+", "removed": "−", "changed": "~"}
    expected = {
        (signs[node.what], node.name, signed(node.delta_parameters), signed(node.delta_madds))
        for node in found.nodes
    }
    assert {(row[0], row[1], row[4], row[5]) for row in rows if len(row) > 2} == expected
    edges = {("+", name) for name in found.added_edges} | {("−", name) for name in found.removed_edges}
    told = {(row[0], row[1].removeprefix("edge ").replace(" → ", "->")) for row in rows if len(row) == 2}
    assert told == edges
    for node in found.nodes:
        (row,) = (row for row in rows if row[1] == node.name)
        for value in node.values:
            assert value.key in row[3]
    ghosts = page.locator("#drawing .node.ghost")
    assert ghosts.count() == sum(node.what == "removed" for node in found.nodes)


def test_the_spec_with_what_changed_and_copied(opened: Opened, page_file: Path, journal: Journal) -> None:
    page = opened(page_file, permissions=["clipboard-read", "clipboard-write"])
    for step in (1, 2):
        event = journal.applied[step - 1]
        page.locator("#slider").fill(str(step))
        lines = [each.text_content() or "" for each in page.locator("#lines li:not(.removed) code").all()]
        assert "\n".join(lines) + "\n" == event.spec
        before = (journal.applied[step - 2].spec if step > 1 else journal.header.spec).splitlines()
        marked = [each.text_content() for each in page.locator("#lines li.added code").all()]
        assert marked
        assert not set(marked) & set(before)
        page.locator("#copy").click()
        expect(page.locator("#copied")).to_have_text("copied")
        assert page.evaluate("navigator.clipboard.readText()") == event.spec


def test_dark_and_light(opened: Opened, page_file: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page = opened(page_file, color_scheme="dark")
    dark = page.evaluate(ground)
    page.locator("#theme").click()
    light = page.evaluate(ground)
    assert dark == "rgb(18, 22, 27)"
    assert light == "rgb(244, 245, 248)"
    page.reload()
    page.wait_for_selector("body.ready")
    assert page.evaluate(ground) == light, "the choice is kept"
    page.evaluate("localStorage.clear()")
    page.reload()
    page.wait_for_selector("body.ready")
    assert page.evaluate(ground) == light, "also where a browser keeps nothing"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    assert not page.locator("#play").is_visible()


@pytest.mark.parametrize(("motion", "seconds"), [("reduce", "0s"), ("no-preference", "0.35s")])
def test_nothing_moves_for_those_who_ask_for_that(
    opened: Opened, page_file: Path, motion: str, seconds: str
) -> None:
    page = opened(page_file, reduced_motion=motion)
    duration = "getComputedStyle(document.querySelector('#drawing .node')).transitionDuration"
    assert page.evaluate(duration) == seconds


def test_a_place_outlives_a_reload(page: Page) -> None:
    page.locator("#slider").fill("1")
    named(page, "hidden").click()
    page.reload()
    page.wait_for_selector("body.ready")
    assert step_of(page).startswith("Step 1 ")
    assert text(page, "#selection h2") == "hidden"


def test_nodes_are_found_by_a_part_of_their_name(page: Page) -> None:
    page.locator("#find").fill("hid")
    page.locator("#find").press("Enter")
    assert text(page, "#selection h2") == "hidden"
    assert not page.locator("#map").is_visible(), "the whole of it is to be seen"
    scale = text(page, "#scale")
    page.locator("#closer").click()
    assert text(page, "#scale") != scale


@pytest.mark.parametrize("width", [360, 1300])
def test_no_page_scrolls_to_the_side(opened: Opened, page_file: Path, width: int) -> None:
    page = opened(page_file, viewport={"width": width, "height": 740})
    named(page, "hidden").click()
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize(("scheme", "width"), [("light", 1300), ("dark", 360)])
def test_nothing_stands_in_the_way_of_anybody(
    opened: Opened, page_file: Path, scheme: str, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    page = opened(page_file, color_scheme=scheme, viewport={"width": width, "height": 800})
    named(page, "hidden").click()
    page.locator("#base").select_option("0")
    found = axe.run(page).response["violations"]
    assert [(each["impact"], each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    nodes = {
        "x": Input(kind="input", shape=(3,)),
        EVIL: Linear(sources=("x",), features=3, activation="relu"),
        RTL: Linear(sources=(EVIL,), features=4),
        LONG: Linear(sources=(RTL,), features=4),
        "sum <b>": Merge(sources=(RTL, LONG)),
        "y": Linear(sources=("sum <b>",), features=2),
    }
    folder = tmp_path_factory.mktemp("hostile")
    path = AddPath("x", "sum <b>", ((f"{EVIL}2", Linear(sources=("x",), features=8)),))
    write_journal(
        folder / "journal.jsonl", Spec(EVIL + LONG, nodes, ("y",)), groups=((EVIL,), (), (RTL, LONG), path)
    )
    page = folder / "page.html"
    page.write_text(
        inspector_html(read_journal(folder), results={"reason": EVIL, "test": {"loss": "x"}}),
        encoding="utf-8",
    )
    return page


def test_names_are_text_wherever_they_stand(opened: Opened, hostile: Path) -> None:
    page = opened(hostile, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.scripts.length") == 2
    assert page.evaluate("document.querySelectorAll('main b, main script').length") == page.evaluate(
        "document.querySelectorAll('main .legend b, main .why b, main figcaption b, main b.tag, main #at b').length"
    )
    assert page.title() == f"{EVIL}{LONG} · growth"
    assert page.locator("h1").text_content() == EVIL + LONG
    names = page.evaluate("[...document.querySelectorAll('#drawing .node')].map((node) => node.dataset.name)")
    for name in (EVIL, RTL, LONG, "sum <b>", f"{EVIL}2"):
        assert name in names
        page.locator("#find").fill(name)
        page.locator("#find").press("Enter")
        assert page.locator("#selection h2").text_content() == name
        assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert EVIL in text(page, "#summary")
    page.locator("#base").select_option("0")
    assert EVIL in [each.text_content() for each in page.locator("#differences bdi").all()]
    for step in (0, 1, 2):
        page.locator("#slider").fill(str(step))
    assert EVIL.replace("\\", "\\\\").replace('"', '\\"') in "".join(
        each.text_content() or "" for each in page.locator("#lines code").all()
    )


def test_200_nodes_and_200_steps(opened: Opened, tmp_path: Path) -> None:
    write_large_journal(tmp_path / "journal.jsonl")
    journal = read_journal(tmp_path)
    file = tmp_path / "page.html"
    file.write_text(inspector_html(journal), encoding="utf-8")
    assert file.stat().st_size < 10_000_000
    page = opened(file)
    assert len(parse_spec(journal.applied[-1].spec).nodes) == 201
    assert step_of(page).startswith("Step 200 of 200")
    page.locator("#slider").fill("120")
    page.locator("body").press("ArrowLeft")
    assert step_of(page).startswith("Step 119 ")
    page.locator("#base").select_option("0")
    assert page.locator("#differences tbody tr").count() > 50
    page.locator("#find").fill("block.40.lift")
    page.locator("#find").press("Enter")
    assert text(page, "#selection h2") == "block.40.lift"
    box = named(page, "block.40.lift").bounding_box()
    sheet = page.locator("#sheet").bounding_box()
    assert box is not None
    assert sheet is not None
    assert sheet["y"] <= box["y"] <= sheet["y"] + sheet["height"], "it has been scrolled to"

    page.locator("#map").click(position={"x": 20, "y": 3})
    assert page.evaluate("document.getElementById('sheet').scrollTop") == 0
    assert page.locator("#map .changed").count() == page.locator("#drawing .node.changed").count() > 50


def test_all_candidates_by_the_keyboard_and_what_is_unfolded_stays(opened: Opened, tmp_path: Path) -> None:
    write_large_journal(tmp_path / "journal.jsonl", blocks=20, steps=4)
    file = tmp_path / "page.html"
    file.write_text(inspector_html(read_journal(tmp_path)), encoding="utf-8")
    page = opened(file)
    rows = page.locator("#candidates tbody tr")
    few = rows.count()
    page.locator("#more").press("Enter")
    assert rows.count() == 20 + 19 + 1 > few
    assert page.evaluate("document.activeElement.id") == "more"
    named(page, "block.3.lift").click()
    page.locator("#selection summary").click()
    page.locator("body").press("ArrowLeft")
    assert step_of(page).startswith("Step 3 of 4")
    assert page.locator("#selection details").get_attribute("open") is not None
    page.locator("#candidates button.link").first.click()
    assert text(page, "#selection h2") == "block.0.lift"


def test_candidates_are_sorted_by_any_column(page: Page, journal: Journal) -> None:
    event = max(journal.applied, key=lambda event: len({c.slope for c in event.candidates}))
    assert len({c.slope for c in event.candidates}) > 2
    page.locator("#slider").fill(str(event.step))
    rows, heads = page.locator("#candidates tbody tr"), page.locator("#candidates thead th")
    as_recorded = [row.inner_text() for row in rows.all()]

    def column(place: int) -> list[str]:
        return [row.locator("td").nth(place).inner_text() for row in rows.all()]

    heads.nth(3).locator("button").press("Enter")
    slopes = sorted((c.slope for c in event.candidates if c.slope is not None), reverse=True)
    shown = [text for text in column(0) if text]
    assert shown == [str(rank) for rank in range(1, len(slopes) + 1)], "the steepest first"
    assert column(0)[len(slopes) :] == [""] * (len(event.candidates) - len(slopes)), (
        "none without a slope between"
    )
    assert heads.nth(3).get_attribute("aria-sort") == "descending"
    assert page.evaluate("document.activeElement.textContent").startswith("slope"), "the focus stays"
    heads.nth(3).locator("button").click()
    assert [text for text in column(0) if text] == shown[::-1]
    heads.nth(3).locator("button").click()
    assert [row.inner_text() for row in rows.all()] == as_recorded
    heads.nth(1).locator("button").click()
    words = [row.locator("td.what button").inner_text().lower() for row in rows.all()]
    assert words == sorted(words)
    page.locator("#next").click() if page.locator("#next").is_enabled() else page.locator("#back").click()
    assert heads.nth(1).get_attribute("aria-sort") == "ascending", "also at another step"


def test_curves_are_smoothed_and_drawn_on_powers_of_ten(page: Page) -> None:
    def drawn(place: int) -> list[float]:
        path = page.locator("#plots figure").nth(place).locator(".curve.train path, .curve.size path").first
        return [float(number) for number in re.findall(r"[\d.]+", path.get_attribute("d") or "")][1::2]

    loss, parameters = drawn(0), drawn(2)
    page.locator("#smoothing").fill("0.9")
    changed = drawn(0)
    assert len(changed) == len(loss)

    def roughness(heights: list[float]) -> float:
        return sum(abs(a - 2 * b + c) for a, b, c in zip(heights, heights[1:], heights[2:], strict=False))

    assert roughness(changed) < roughness(loss)
    assert drawn(2) == parameters, "sizes are as they are"
    page.locator("#smoothing").fill("0")
    assert drawn(0) == loss
    page.locator("#powers").check()
    assert drawn(0) != loss
    ticks = page.locator("#plots figure").nth(2).locator(".tick[text-anchor=end]").all_text_contents()
    assert all(re.fullmatch(r"10*", tick.replace("\u202f", "")) for tick in ticks)


def test_every_curve_is_saved_as_csv(page: Page, journal: Journal) -> None:
    with page.expect_download() as download:
        page.locator("#csv").click()
    assert download.value.suggested_filename == "curves.csv"
    first, *rows = (line.split(",") for line in Path(download.value.path()).read_text().splitlines())
    assert {"epoch", "parameters", "madds", "lr", "train.loss", "validation.accuracy"} <= set(first)
    assert len(rows) == len(journal.epochs)
    for row, epoch in zip(rows, journal.epochs, strict=True):
        values = dict(zip(first, map(float, row), strict=True))
        assert values["epoch"] == epoch.epoch
        assert values["train.loss"] == pytest.approx(epoch.train["loss"], rel=1e-5)
        assert values["parameters"] == epoch.parameters


def test_the_curves_of_a_node_are_saved_as_csv(page: Page, journal: Journal) -> None:
    named(page, "hidden").first.click()
    with page.expect_download() as download:
        page.locator("#save-selected").click()
    assert download.value.suggested_filename == "hidden.csv"
    first, *rows = (line.split(",") for line in Path(download.value.path()).read_text().splitlines())
    assert first == ["curve", "across", "at", "value"]
    widths = [int(value) for curve, across, _, value in rows if (curve, across) == ("features", "step")]
    assert len(widths) == 1 + sum(event.decision is not None for event in journal.events)
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]
    slopes = [row for row in rows if row[0] == "slope of widening it"]
    assert slopes
    assert all(float(value) > 0.0 for *_, value in slopes)


def test_the_result_comes_first_at_the_end_and_terms_are_explained(page: Page) -> None:
    def place(selector: str) -> tuple[float, float]:
        box = page.locator(selector).bounding_box()
        assert box is not None
        return box["y"], box["x"]

    assert place("#result") < place("#decision")
    page.locator("#back").click()
    assert place("#result") > place("#decision")
    assert "line search" in (page.locator("#decision .term", has_text="γ").first.get_attribute("title") or "")
    page.locator("#terms summary").click()
    assert "Cholesky" in text(page, "#glossary")
    page.locator("#slider").fill("0")
    assert "before any growth" in text(page, "#candidates")


def test_a_term_leads_to_its_entry_which_names_a_page(page: Page) -> None:
    page.locator("#decision .term", has_text="slope").first.click()
    assert page.locator("#terms").get_attribute("open") is not None
    focused = page.evaluate("document.activeElement.innerText")
    assert "per unit of γ" in focused
    assert "#exact-slopes" in focused


def test_a_node_shows_histograms_of_its_step(page: Page, journal: Journal) -> None:
    page.locator("#first").click()
    named(page, "hidden").click()
    assert page.locator("#selection .bar").count() == 0  # before any growth none was taken
    page.locator("#next").click()
    figures = page.locator("#selection figure", has=page.locator(".bar"))
    assert figures.count() == 2
    assert "after step 1" in figures.first.inner_text()
    expected = journal.applied[0].histograms["hidden"][0]
    assert expected is not None
    assert figures.first.locator(".bar").count() == sum(digit != "0" for digit in expected.counts)
    heights = [float(bar.get_attribute("height") or 0) for bar in figures.first.locator(".bar").all()]
    assert max(heights) == pytest.approx(116.0)
    named(page, "x").click()
    assert page.locator("#selection .bar").count() == 0


def test_blocks_are_folded_and_unfolded(opened: Opened, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(inspector_html(write_blocks(tmp_path)), encoding="utf-8")
    page = opened(file)
    assert named(page, "body.1.lift").is_visible()
    page.locator("#fold").click()
    assert page.locator("#fold").get_attribute("aria-pressed") == "true"
    shown = page.locator("#drawing .node:not(.absent)")
    assert {node.get_attribute("data-name") for node in shown.all()} == {
        "x",
        "stem",
        "body.1",
        "body.2",
        "body.3",
        "y",
    }
    assert "changed" in (named(page, "body.1").get_attribute("class") or "")
    assert "changed" not in (named(page, "body.2").get_attribute("class") or "")
    badge, frame = (named(page, "body.1").locator(part).bounding_box() for part in (".badge", "rect"))
    assert badge
    assert frame
    assert named(page, "body.1").locator(".badge").text_content() == "+36 parameters"
    assert badge["x"] + badge["width"] < frame["x"] + frame["width"]
    named(page, "body.1").click()
    assert "block" in text(page, "#selection")
    page.reload()
    page.wait_for_selector("body.ready")
    assert named(page, "body.1").is_visible(), "the address keeps it"
    assert text(page, "#selection h2") == "body.1"
    page.locator("#fold").click()
    assert named(page, "body.1.lift").is_visible()


def test_the_sizes_lead_to_their_steps(opened: Opened, page_file: Path, journal: Journal) -> None:
    page = opened(page_file)
    rows = page.locator("#sizes tbody tr")
    expect(rows).to_have_count(len({event.epoch for event in journal.applied}) + 1)
    expect(rows.first).to_contain_text("until the next step")
    expect(page.locator("#sizes figure")).to_have_count(4)
    rows.nth(1).locator("button").click()
    expect(page.locator("#at")).to_contain_text("Step 1")
    page.locator("#sizes figure").first.locator("g.size").first.click()
    expect(page.locator("#at")).to_contain_text("Beginning")
