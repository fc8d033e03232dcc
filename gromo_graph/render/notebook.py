"""Plans and events as HTML for a notebook: their candidates as a table, an event with its drawing above it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from gromo_graph.amounts import amount
from gromo_graph.records import Candidate, GrowthEvent, Plan
from gromo_graph.render.drawing.text import clean
from gromo_graph.render.drawing.title_block import outcome, step_words
from gromo_graph.render.numbers import change, real
from gromo_graph.render.text_tables import CANDIDATE_COLUMNS, candidate_cells, plan_heading


def html_of(value: Any) -> str:
    """The HTML of a plan or an event; every text in it is escaped.

    Raises:
        TypeError: it is neither.

    >>> html_of(Plan((Candidate("widen", "<b>", neurons=2, slope=0.5),), samples=10))[:56]
    '<p>1 candidate, measured on 10 samples</p><table><thead>'
    """
    if isinstance(value, Plan):
        return f"<p>{plan_heading(value)}</p>{_table(value.candidates)}"
    if isinstance(value, GrowthEvent):
        return _event(value)
    raise TypeError(f"{type(value).__name__} has no table")


def _event(event: GrowthEvent) -> str:
    told = f"{step_words(event)}: {outcome(event)}"
    loss = change(event.loss_before, event.loss_after) if event.decision else real(event.loss_before)
    rest = f"held-out loss {loss}, γ {real(event.gamma)}, {amount(event.parameters, 'parameter')}; {event.reason}"
    head = f"<p><b>{_text(told)}</b><br/>{_text(rest)}</p>"
    return f"{head}{_drawing(event)}{_table(event.candidates)}"


def _drawing(event: GrowthEvent) -> str:
    from gromo_graph.render import render
    from gromo_graph.spec import parse_spec

    return render(parse_spec(event.spec), event=event) if event.spec else ""


def _table(candidates: Iterable[Candidate]) -> str:
    head = "".join(f"<th>{column}</th>" for column in CANDIDATE_COLUMNS)
    rows = "".join(
        f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in candidate_cells(each))}</tr>"
        for each in candidates
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""


def _text(text: str) -> str:
    return escape(clean(text))
