"""The title block of a drawing: the network, the step, its change and its effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gromo_graph.amounts import amount
from gromo_graph.graph import Graph
from gromo_graph.records import GrowthEvent
from gromo_graph.render.drawing.labels import Cell, Text, table
from gromo_graph.render.drawing.style import (
    GROWN,
    INK,
    NAME_SIZE,
    QUIET,
    REMOVED,
    SMALL_SIZE,
    TEXT_SIZE,
    TITLE_SIZE,
    ink_of_change,
)
from gromo_graph.render.drawing.text import clean, shortened
from gromo_graph.render.highlights import decision_words
from gromo_graph.render.numbers import change, count, real, rises, share

_TITLE_EMS = 40.0
_REASON_EMS = 70.0


@dataclass(frozen=True)
class Fact:
    """A number of the title block: a small word above, the value below, its relative change, and if it got worse."""

    word: str
    value: str
    share: str = ""
    worse: bool = False


@dataclass(frozen=True)
class Phrase:
    """Words of a row of the title block, in one style; with a `fill`, in a box of this colour."""

    words: str
    color: str = INK
    bold: bool = False
    fill: str = ""


def facts(graph: Graph, event: GrowthEvent | None) -> tuple[Fact, ...]:
    """The numbers of the step, or of the network if there is no step."""
    if event is None:
        return (
            Fact("parameters", count(graph.parameter_count)),
            Fact("multiply-adds", count(graph.multiply_adds)),
        )
    if event.decision is None:
        return (
            Fact("held-out loss", real(event.loss_before)),
            Fact("parameters", count(event.parameters)),
        )
    before, after = event.parameters_before, event.parameters
    measured = (
        (Fact("neurons", "random, not solved"),)
        if event.decision.is_random
        else (Fact("slope", real(event.slope)), Fact("γ", real(event.gamma)))
    )
    return (
        *measured,
        Fact(
            "held-out loss",
            change(event.loss_before, event.loss_after),
            share(event.loss_before, event.loss_after),
            worse=rises(event.loss_before, event.loss_after),
        ),
        Fact("parameters", f"{count(before)} → {count(after)}", share(before, after)),
    )


def step_words(event: GrowthEvent) -> str:
    """`step 3 · epoch 4`."""
    when = f"batch {event.batch}" if event.epoch is None else f"epoch {event.epoch}"
    return f"step {event.step} · {when}" if event.decision else when


def outcome(event: GrowthEvent) -> str:
    """The change of a step, or the reason it changed nothing."""
    if event.decision is None:
        return f"nothing applied: {event.reason}" if event.reason else "nothing applied"
    return decision_words(event.decision)


def sentence(graph: Graph, event: GrowthEvent | None) -> str:
    """The title block as one line of text, for screen readers."""
    numbers = ", ".join(f"{fact.word} {fact.value}" for fact in facts(graph, event))
    if event is None:
        nodes = len(graph.order)
        return f"{amount(nodes, 'node')}, {numbers}"
    return f"{step_words(event)}: {outcome(event)}; {numbers}"


def step_phrases(event: GrowthEvent | None) -> tuple[Phrase, ...]:
    """The second row for an event: the step and its change."""
    if event is None:
        return ()
    words = shortened(clean(outcome(event)), _REASON_EMS)
    ink = INK if event.decision is None else ink_of_change(narrower=event.decision.is_pruning)
    return Phrase(step_words(event), QUIET), Phrase(words, ink, event.decision is not None)


def title_block(
    title: str, second: Sequence[Phrase], columns: Sequence[Fact], legend: Sequence[Phrase] = ()
) -> str:
    """The label of the whole graph: its title, a row of words, numbers, and a legend."""
    first = (Text(shortened(clean(title), _TITLE_EMS), TITLE_SIZE, INK, bold=True),)
    span = len(columns) + 1  # the last column is empty and takes the room that the wide rows need
    wide = [[Cell(texts, span=span)] for texts in (first, _texts(second, NAME_SIZE)) if texts]
    rows: list[Sequence[Cell] | int] = [*wide, 3, *_fact_rows(columns)]
    if legend:
        rows += [3, [Cell(_texts(legend, TEXT_SIZE), span=span)]]
    return table([*rows, 10])


def _texts(row: Sequence[Phrase], size: float) -> tuple[Text, ...]:
    """Words side by side."""
    return tuple(
        Text(
            each.words if each is row[-1] or each.fill else f"{each.words} ",
            size,
            each.color,
            each.bold,
            each.fill,
        )
        for each in row
    )


def _fact_rows(columns: Sequence[Fact]) -> list[list[Cell]]:
    gap = Text("   ", SMALL_SIZE, QUIET)
    words = [Cell((Text(fact.word, SMALL_SIZE, QUIET), gap)) for fact in columns]
    values = [Cell((Text(fact.value, TEXT_SIZE + 1, INK), *_share(fact), gap)) for fact in columns]
    empty = Cell((Text("", 1),))
    return [[*words, empty], [*values, empty]]


def _share(fact: Fact) -> tuple[Text, ...]:
    if not fact.share:
        return ()
    return (Text(f" {fact.share}", TEXT_SIZE + 1, REMOVED if fact.worse else GROWN, bold=True),)
