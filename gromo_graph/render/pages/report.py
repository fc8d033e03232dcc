"""The one-page report of a run, made from its journal alone.

The page loads nothing and runs nothing: its content security policy allows its own style, by hash, and no more.
Every text goes through jinja2's escaping; only the SVG made here is put in as it is.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from gromo_graph.graph import build_graph
from gromo_graph.records.events import GrowthEvent
from gromo_graph.records.journal import Journal
from gromo_graph.render import numbers
from gromo_graph.render.drawing.dot import direction_of, to_dot
from gromo_graph.render.drawing.graphviz import draw_svg
from gromo_graph.render.drawing.labels import Direction
from gromo_graph.render.highlights import decision_words, plural
from gromo_graph.render.pages.curves import Line, Mark, plot

_TEMPLATES = Path(__file__).parent / "templates"
_PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Picture:
    """A drawing of the page: the network at the start (step 0) or after a growth step.

    Attributes:
        step, words: which, and what it did.
        svg: the drawing. tall: whether it is, so that several stand side by side.
    """

    step: int
    words: str
    svg: Markup
    tall: bool


@dataclass(frozen=True)
class Measured:
    """A row of the summary: a part of the data with its loss and its accuracy."""

    part: str
    samples: int | None
    loss: float | None
    accuracy: float | None


def report_html(journal: Journal, *, results: Mapping[str, Any] | None = None) -> str:
    """The report as one HTML page.

    Args:
        journal: of the run, also of one that is still going on or was cut off.
        results: what `gromo-graph grow --json` gives, as far as it is known: `reason`, `parameters`,
            and `train`, `validation`, `test` with `loss` and `accuracy`. What is missing is taken
            from the last epoch of the journal.

    Raises:
        SpecError: a spec in the journal is none (the journal is of a later version).
        RenderError: a drawing could not be made.
    """
    results = results or {}
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": numbers.count,
        "signed": numbers.signed,
        "real": numbers.real,
        "done": decision_words,
    }
    environment.globals |= {
        "change": numbers.change,
        "share": numbers.share,
        "rises": numbers.rises,
        "plural": plural,
    }
    return environment.get_template("report.html.j2").render(
        journal=journal,
        reason=results.get("reason"),
        measured=_measured(journal, results),
        parameters=_parameters(journal, results),
        pictures=tuple(_pictures(journal)),
        last=_last(journal),
        plots={title: Markup(svg) for title, svg in _plots(journal) if svg},
        style=Markup(style),
        style_hash=b64encode(sha256(style.encode()).digest()).decode(),
    )


def _measured(journal: Journal, results: Mapping[str, Any]) -> list[Measured]:
    last = journal.epochs[-1] if journal.epochs else None
    known = {"train": last.train, "validation": last.validation} if last else {}
    parts = {part: results.get(part) or known.get(part) for part in _PARTS}
    return [
        Measured(part, journal.header.data.get(part), values.get("loss"), values.get("accuracy"))
        for part, values in parts.items()
        if values
    ]


def _parameters(journal: Journal, results: Mapping[str, Any]) -> tuple[int, int]:
    first = build_graph(_spec(journal.header.spec)).parameter_count
    applied = journal.applied
    return first, results.get("parameters") or (applied[-1].parameters if applied else first)


def _pictures(journal: Journal) -> Iterator[Picture]:
    """All in the direction of the last one, so that nothing turns between two steps."""
    applied = journal.applied
    last = applied[-1].spec if applied else journal.header.spec
    direction = direction_of(build_graph(_spec(last)))
    yield _picture(0, "before any growth", journal.header.spec, None, "s0-", direction)
    for index, event in enumerate(applied, start=1):
        assert event.decision is not None
        words = decision_words(event.decision)
        yield _picture(event.step, words, event.spec, event, f"s{index}-", direction)


def _last(journal: Journal) -> Picture:
    """The last state once more, for the top of the page: an element's id may stand in a page only once."""
    event = journal.applied[-1] if journal.applied else None
    text = event.spec if event else journal.header.spec
    return _picture(len(journal.applied), "the network as it now stands", text, event, "last-")


def _picture(
    step: int,
    words: str,
    text: str,
    event: GrowthEvent | None,
    prefix: str,
    direction: Direction | None = None,
) -> Picture:
    drawing = to_dot(build_graph(_spec(text)), event, direction=direction)
    return Picture(step, words, Markup(draw_svg(drawing, prefix=prefix)), tall=drawing.direction == "down")


def _spec(text: str) -> Any:
    from gromo_graph.spec import parse_spec

    return parse_spec(text)


def _plots(journal: Journal) -> Iterator[tuple[str, str]]:
    marks = [
        Mark(event.epoch, f"step {event.step}: {decision_words(event.decision)}")
        for event in journal.applied
        if event.decision
    ]
    for name, from_zero in (("loss", True), ("accuracy", False)):
        lines = [_line(journal, part, name) for part in ("train", "validation")]
        yield name, plot(name, lines, marks, from_zero=from_zero, id=name)
    first = build_graph(_spec(journal.header.spec)).parameter_count
    begin = [(0, float(first))] if journal.epochs else []
    sizes = (*begin, *((epoch.epoch, float(epoch.parameters)) for epoch in journal.epochs))
    line = Line("", "size", sizes, stairs=True)
    yield "parameters", plot("parameters", [line], marks, from_zero=True, id="parameters")


def _line(journal: Journal, part: str, name: str) -> Line:
    values = [(epoch.epoch, getattr(epoch, part).get(name)) for epoch in journal.epochs]
    return Line(part, part, tuple((epoch, value) for epoch, value in values if value is not None))
