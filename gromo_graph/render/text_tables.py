"""Plans, events, differences and results of runs as text: what Python prints of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gromo_graph.amounts import amount
from gromo_graph.graph.diff import Difference, NodeChange
from gromo_graph.records import Candidate, GrowthEvent, Plan
from gromo_graph.render.drawing.difference import value_words
from gromo_graph.render.drawing.text import clean
from gromo_graph.render.drawing.title_block import outcome, step_words
from gromo_graph.render.numbers import change, count, real, shape, shape_change, signed

_SIGNS = {"added": "+", "removed": "−", "changed": "~"}
CANDIDATE_COLUMNS = (
    "what",
    "target",
    "neurons",
    "slope",
    "predicted",
    "parameters",
    "multiply-adds",
    "left out",
)
_NODE = ("", "node", "kind", "shape", "options", "parameters", "multiply-adds")
_NUMBERS = frozenset(("neurons", "slope", "predicted", "parameters", "multiply-adds", "loss", "accuracy"))


def text_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lines with columns of equal width, numbers to the right; empty without rows.

    >>> print(text_table(("layer", "parameters"), [("hidden", "8"), ("y", "120")]))
    layer   parameters
    hidden           8
    y              120
    """
    cells = [tuple(columns), *(tuple(clean(cell) for cell in row) for row in rows)]
    if len(cells) == 1:
        return ""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]

    def line(row: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if name in _NUMBERS else cell.ljust(width)
            for cell, width, name in zip(row, widths, columns, strict=True)
        )
        return "  ".join(padded).rstrip()

    return "\n".join(map(line, cells))


def plan_heading(plan: Plan) -> str:
    """The number of candidates and of samples."""
    many = len(plan.candidates)
    on = f", measured on {amount(plan.samples, 'sample')}" if plan.samples else ""
    return f"{amount(many, 'candidate')}{on}"


def plan_text(plan: Plan) -> str:
    """A row for each candidate."""
    return _joined(plan_heading(plan), _candidates(plan.candidates))


def event_line(event: GrowthEvent) -> str:
    """One growth step in a line."""
    told = clean(f"{step_words(event)}: {outcome(event)}")
    if event.decision is None:
        return told
    loss = change(event.loss_before, event.loss_after)
    return f"{told}; γ {real(event.gamma)}, held-out loss {loss}, {count(event.parameters)} parameters"


def event_text(event: GrowthEvent) -> str:
    """One growth step with its reason and a row for each candidate."""
    reason = "" if event.decision is None else clean(event.reason)
    return _joined(event_line(event), reason, _candidates(event.candidates))


def difference_text(found: Difference) -> str:
    """A row for each node that differs, then edges, values and the costs."""
    if not found:
        return "no difference"
    edges = [f"+  edge {clean(edge)}" for edge in found.added_edges]
    edges += [f"−  edge {clean(edge)}" for edge in found.removed_edges]
    costs = (
        f"parameters {found.old.parameter_count:,} → {found.new.parameter_count:,} "
        f"({signed(found.delta_parameters)}), multiply-adds {found.old.multiply_adds:,} → "
        f"{found.new.multiply_adds:,} ({signed(found.delta_madds)})"
    )
    values = [f"~  {clean(value_words(each))}" for each in found.values]
    return _joined(text_table(_NODE, [_node(found, node) for node in found.nodes]), *edges, *values, costs)


def summary_text(summary: Mapping[str, Any]) -> str:
    """The measures of each part of the data, the size, and why growth ended.

    Args:
        summary: as `Run.summary`.
    """
    parts = [part for part in ("train", "validation", "test") if summary.get(part) is not None]
    rows = [
        (part, _measure(summary[part].get("loss"), ".4f"), _measure(summary[part].get("accuracy"), ".2%"))
        for part in parts
    ]
    facts = [
        f"{amount(summary['parameters'], 'parameter')} after {amount(summary['steps'], 'growth step')}",
        f"growth ended: {clean(str(summary['reason']))}",
        f"run folder: {clean(str(summary['run']))}" if summary.get("run") else "",
    ]
    return _joined(text_table(("data", "loss", "accuracy"), rows), *facts)


def _joined(*lines: str) -> str:
    return "\n".join(filter(None, lines))


def _measure(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form).replace("%", " %")


def _candidates(candidates: Iterable[Candidate]) -> str:
    return text_table(CANDIDATE_COLUMNS, map(candidate_cells, candidates))


def candidate_cells(candidate: Candidate) -> tuple[str, ...]:
    """The cells of a candidate: kind, target, neurons, slopes, costs, and why it was left out."""
    numbers = ("", "", "", "", "")
    if candidate.reason is None:
        numbers = (
            count(candidate.neurons),
            real(candidate.slope) + (" ≈" if candidate.inexact else ""),
            real(candidate.predicted),
            signed(candidate.delta_parameters),
            signed(candidate.delta_madds),
        )
    return candidate.kind.replace("_", " "), candidate.target, *numbers, candidate.reason or ""


def _node(found: Difference, node: NodeChange) -> tuple[str, ...]:
    graph = found.old if node.what == "removed" else found.new
    return (
        _SIGNS[node.what],
        node.name,
        graph.spec.nodes[node.name].kind,
        _shape(node),
        ", ".join(value_words(each) for each in node.values if each.key != "features"),
        signed(node.delta_parameters) if node.delta_parameters else "",
        signed(node.delta_madds) if node.delta_madds else "",
    )


def _shape(node: NodeChange) -> str:
    if node.before is None or node.after is None or node.before == node.after:
        return shape(node.after or node.before or ())
    return shape_change(node.before, node.after)
