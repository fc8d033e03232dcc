"""The report of a run: a page without scripts, made from the journal alone with the inspector's style and data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

from gromo_graph.records.journal import Journal
from gromo_graph.render.curves import plots_of
from gromo_graph.render.highlights import decision_words
from gromo_graph.render.pages.inspection import shown_results
from gromo_graph.render.pages.page import page_html, policy_of
from gromo_graph.render.pages.svg_plot import svg_plot
from gromo_graph.render.placing.step_drawings import StepDrawing, drawings_of_steps
from gromo_graph.spec import Spec, parse_spec

_PARTS = ("train", "validation", "test")


def report_html(
    journal: Journal,
    *,
    results: Mapping[str, Any] | None = None,
    parse: Callable[[str], Spec] = parse_spec,
) -> str:
    """The report as one HTML page.

    Args:
        journal: of the run; the run may still go on, or have been cut off.
        results: the content of the run's `summary.json`, as far as it is known: `reason`, `parameters`, and the
            measures of `train`, `validation` and `test`. The last epoch of the journal stands in for missing measures.
        parse: gives the spec of a text of the journal; whoever wrote the journal knows its specs.

    Raises:
        SpecError: a spec in the journal is invalid (the journal is of a later version).
        RenderError: a drawing could not be made.
    """
    shown = shown_results(results) or {}
    steps = drawings_of_steps(journal, parse=parse)
    parameters = (results or {}).get("parameters") or steps[-1].graph.parameter_count
    measured = _measured(journal, shown)
    return page_html(
        "report.html.j2",
        policy=policy_of(),
        name=journal.header.name,
        journal=journal,
        reason=shown.get("reason"),
        measured=measured,
        threshold=shown.get("threshold"),
        matrix=shown.get("matrix"),
        notes=shown.get("notes", ()),
        measures=dict.fromkeys(name for values in measured.values() for name in values),
        parameters=(steps[0].graph.parameter_count, parameters),
        tall=steps[-1].drawing.direction == "down",
        # The last drawing stands at the top too, and an id may stand in a page only once.
        last=Markup(steps[-1].svg(prefix="last-")),
        drawings=[
            (step.step, _words(step), Markup(step.svg(prefix=f"s{index}-")))
            for index, step in enumerate(steps)
        ],
        plots={plot.title: Markup(svg_plot(plot)) for plot in plots_of(journal.epochs, journal.events)},
    )


def _measured(journal: Journal, shown: Mapping[str, Any]) -> dict[str, Mapping[str, float | None]]:
    """The measures of each part of the data that has any."""
    last = journal.epochs[-1] if journal.epochs else None
    known = {"train": last.train, "validation": last.validation} if last else {}
    found = {part: shown.get(part) or known.get(part, {}) for part in _PARTS}
    return {part: values for part, values in found.items() if values}


def _words(step: StepDrawing) -> str:
    if step.event is None or step.event.decision is None:
        return "before any growth"
    return decision_words(step.event.decision)
