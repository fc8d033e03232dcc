"""The page that shows several runs side by side: without scripts, with the inspector's style."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from gromo_graph.errors import RenderError
from gromo_graph.render.comparison import ComparedRun, size_plots_of_runs, training_plots_of
from gromo_graph.render.curves import Plot
from gromo_graph.render.pages.page import page_html, policy_of
from gromo_graph.render.pages.svg_plot import svg_plot

MOST_RUNS = 12
"""The number of runs for which the page has line styles."""

Row = tuple[str, Sequence[str]]
"""A label, and a text for each run."""


def comparison_html(
    runs: Sequence[ComparedRun],
    *,
    facts: Sequence[Row],
    differences: Sequence[Row],
    notes: Sequence[str] = (),
) -> str:
    """The page, complete in itself.

    Args:
        runs: with their journals; they may still go on.
        facts: sizes, measures and so on. differences: of the specs. Each row has a text for each run.
        notes: sentences about what cannot be compared.

    Raises:
        RenderError: there are more runs than a page has room for.
    """
    if len(runs) > MOST_RUNS:
        raise RenderError(f"{len(runs)} runs: a page has room for {MOST_RUNS}: leave some out")
    return page_html(
        "comparison.html.j2",
        policy=policy_of(),
        name=", ".join(run.label for run in runs),
        labels=[run.label for run in runs],
        facts=facts,
        differences=differences,
        notes=notes,
        training=_drawn(training_plots_of(runs)),
        sizes=_drawn(size_plots_of_runs(runs)),
    )


def _drawn(plots: Sequence[Plot]) -> list[tuple[str, Markup]]:
    return [(plot.words, Markup(svg_plot(plot))) for plot in plots]
