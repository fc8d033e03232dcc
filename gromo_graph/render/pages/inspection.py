"""The data of the inspector's page, from the journal of a run: all of them, or the news since an earlier state.

Repeated texts are stored once, and specs as their changes: 200 steps of 200 nodes fit into a page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from difflib import SequenceMatcher
from hashlib import sha256
from itertools import pairwise
from math import isfinite
from typing import Any

from gromo_graph.graph import Graph, build_graph
from gromo_graph.records import Candidate, GrowthEvent
from gromo_graph.records.histograms import sound_histograms
from gromo_graph.records.journal import Epoch, Journal
from gromo_graph.records.sizes import sizes_of
from gromo_graph.render.drawing.dot import direction_of
from gromo_graph.render.highlights import decision_words
from gromo_graph.render.pages.folding import folded
from gromo_graph.render.pages.judgement import shown_matrix, shown_notes
from gromo_graph.render.pages.parts import parts_of
from gromo_graph.render.pages.timeline import Once, Timeline
from gromo_graph.render.pages.timeline_layout import laid_out
from gromo_graph.spec import parse_spec

_DIGITS = 6  # more than any page shows
_MOST_HISTOGRAMS = 20_000  # about 1.5 MB; of more, those of every second, third, ... step stand in the page


class Inspection:
    """A run as the page shows it. It can be asked again while the run goes on, and computes only new states."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._specs: list[str] = []
        self._timeline, self._folded = Timeline(), Timeline()
        self._graphs: list[tuple[int, int]] = []  # parameters and multiply-adds of each state
        self._last: Graph | None = None

    def data(self, journal: Journal, results: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """All that the page needs, as plain values.

        Args:
            journal: of the run, also of one that goes on.
            results: the content of the run's `summary.json`, once it is over: `reason`, `train`, `validation`, `test`.

        Raises:
            SpecError: a spec in the journal is invalid (the journal is of a later version).
            RenderError: Graphviz refused.
        """
        specs = [journal.header.spec, *(event.spec for event in journal.applied)]
        self._follow(specs)
        assert self._last is not None
        texts = Once()
        direction = direction_of(self._last)
        has_blocks = len(self._folded.nodes) < len(self._timeline.nodes)
        return {
            "name": journal.header.name,
            "seed": journal.header.seed,
            "samples": {k: v for k, v in journal.header.data.items() if isinstance(v, int)},
            "torn": journal.torn,
            "results": shown_results(results),
            "seen": seen(journal),
            "graph": laid_out(self._timeline, direction),
            "folded": laid_out(self._folded, direction) if has_blocks else None,
            "states": self._states(journal),
            "histograms": histograms_by_state(journal),
            "events": [_event(event, texts) for event in journal.events],
            "texts": texts.values,
            "epochs": epochs_of(journal.epochs),
            "sizes": size_rows(journal, is_over=results is not None),
            "specs": spec_changes(specs),
        }

    def _follow(self, specs: Sequence[str]) -> None:
        """Compute the states that are new; all of them if the run was restarted."""
        if list(specs[: len(self._specs)]) != self._specs:
            self._begin()
        for text in specs[len(self._specs) :]:
            self._last = build_graph(parse_spec(text))
            parts = parts_of(self._last)
            self._timeline.add(parts)
            self._folded.add(folded(parts))
            self._graphs.append((self._last.parameter_count, self._last.multiply_adds))
            self._specs.append(text)

    def _states(self, journal: Journal) -> list[dict[str, Any]]:
        applied = [index for index, event in enumerate(journal.events) if event.decision is not None]
        return [
            {"event": event, "parameters": parameters, "madds": madds}
            for event, (parameters, madds) in zip([None, *applied], self._graphs, strict=True)
        ]


def histograms_by_state(journal: Journal) -> list[list[Any]]:
    """`[state, histograms]` of each step that was applied; of very many, of every second, third, ... step."""
    steps = [(state, event.histograms) for state, event in enumerate(journal.applied, start=1)]
    known = [(state, found) for state, found in steps if found]
    every = 1 + sum(len(found) for _, found in known) // _MOST_HISTOGRAMS
    return [[state, found] for state, found in known[::-1][::every][::-1]]


def news(
    inspection: Inspection, journal: Journal, told: str, results: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The news for a page that has the state `told`: nothing, more epochs, or everything again.

    After a growth step everything is sent again, because the layout changes; and so it is if the run was restarted.

    Args:
        inspection: of the run. journal: as it is now. told: the `seen` of what the page has. results: as of `data`.
    """
    epochs, events = _counts(told)
    if told != seen(journal, epochs, events) or events < len(journal.events):
        return {"all": inspection.data(journal, results)}
    found: dict[str, Any] = {"results": shown_results(results)}
    if epochs < len(journal.epochs) or results is not None:
        found |= {"sizes": size_rows(journal, is_over=results is not None)}
    if epochs < len(journal.epochs):
        found |= {"epochs": epochs_of(journal.epochs[epochs:]), "seen": seen(journal)}
    return found


def seen(journal: Journal, epochs: int | None = None, events: int | None = None) -> str:
    """A fingerprint of the first epochs and events of a run."""
    first = journal.epochs[:epochs]
    steps = [{**event.to_dict(), "time": None} for event in journal.events[:events]]
    content = [asdict(journal.header), [asdict(epoch) for epoch in first], steps]
    digest = sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
    return f"{len(first)}-{len(steps)}-{digest[:16]}"


def _counts(told: str) -> tuple[int, int]:
    epochs, _, rest = told.partition("-")
    events = rest.partition("-")[0]
    return (int(epochs), int(events)) if epochs.isdecimal() and events.isdecimal() else (0, 0)


def _event(event: GrowthEvent, texts: Once) -> dict[str, Any]:
    decision = event.decision
    return {
        "step": event.step,
        "epoch": event.epoch,
        "done": _short(event.epochs_done),
        "words": decision_words(decision) if decision else "nothing applied",
        "kind": decision.kind if decision else None,
        "target": decision.target if decision else None,
        "neurons": decision.neurons if decision else 0,
        "random": decision.random if decision else 0,
        "nodes": list(decision.nodes) if decision else [],
        "cost": [decision.delta_parameters, decision.delta_madds] if decision else None,
        "reason": event.reason,
        "gamma": _short(event.gamma),
        "slope": _short(event.slope),
        "before": _short(event.loss_before),
        "after": _short(event.loss_after),
        "candidates": [_candidate(candidate, texts) for candidate in event.candidates],
    }


def _candidate(candidate: Candidate, texts: Once) -> list[Any]:
    """In this order: kind, target, neurons, slope, predicted, Δparameters, Δmadds, reason, inexact, solver, note."""
    return [
        texts(candidate.kind),
        texts(candidate.target),
        candidate.neurons,
        _short(candidate.slope),
        _short(candidate.predicted),
        candidate.delta_parameters,
        candidate.delta_madds,
        None if candidate.reason is None else texts(candidate.reason),
        None if candidate.inexact is None else texts(candidate.inexact),
        None if candidate.solver is None else texts(candidate.solver),
        None if not candidate.note else texts(candidate.note),
    ]


def epochs_of(epochs: Sequence[Epoch]) -> dict[str, list[Any]]:
    """Epochs as columns; measures have a prefix, such as `train.loss`."""
    columns: dict[str, list[Any]] = {
        "epoch": [epoch.epoch for epoch in epochs],
        "parameters": [epoch.parameters for epoch in epochs],
        "madds": [epoch.madds for epoch in epochs],
        "lr": [_short(epoch.lr) for epoch in epochs],
    }
    for part in ("train", "validation"):
        for name in dict.fromkeys(name for epoch in epochs for name in getattr(epoch, part)):
            columns[f"{part}.{name}"] = [_short(getattr(epoch, part).get(name)) for epoch in epochs]
    return columns


def size_rows(journal: Journal, *, is_over: bool) -> list[list[Any]]:
    """The sizes of the network, each as: step, epoch, parameters, multiply-adds, loss, accuracy, trained to the end."""
    sizes = sizes_of(journal.epochs, journal.events, is_over=is_over)
    return [
        [
            *(size.step, size.epoch, size.parameters, size.madds),
            *(_short(size.loss), _short(size.accuracy), size.to_the_end),
        ]
        for size in sizes
    ]


def spec_changes(specs: Sequence[str]) -> dict[str, Any]:
    """The lines of the first text, and what turns each into the next: `[first line, lines out, lines in]`, last first.

    >>> spec_changes(["a\\nb\\n", "a\\nc\\nd\\n"])
    {'first': ['a', 'b', ''], 'changes': [[[1, 1, ['c', 'd']]]]}
    """
    lines = [text.split("\n") for text in specs]
    return {
        "first": lines[0],
        "changes": [list(_splices(before, after)) for before, after in pairwise(lines)],
    }


def _splices(before: list[str], after: list[str]) -> Iterable[list[Any]]:
    for what, start, end, new, new_end in reversed(SequenceMatcher(None, before, after, False).get_opcodes()):
        if what != "equal":
            yield [start, end - start, after[new:new_end]]


def shown_results(results: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The part of a summary that the page shows; the file may hold anything."""
    if results is None:
        return None
    parts = {
        part: {name: _short(value) for name, value in values.items() if isinstance(value, int | float)}
        for part in ("train", "validation", "test")
        if isinstance(values := results.get(part), Mapping)
    }
    reason = results.get("reason")
    judgement = {
        "threshold": _short(found) if isinstance(found := results.get("threshold"), float) else None,
        "matrix": shown_matrix(results.get("confusion_matrix")),
        "notes": shown_notes(results.get("notes")),
        "histograms": sound_histograms(results.get("histograms")),
    }
    known = {name: value for name, value in judgement.items() if value}
    return {"reason": reason if isinstance(reason, str) else None, **parts, **known}


def _short(value: float | None) -> float | None:
    if value is None or not isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")
