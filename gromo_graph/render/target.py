"""The graph and the event of anything that a user may ask to be drawn."""

from __future__ import annotations

import os
from collections.abc import Iterable
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from gromo_graph.errors import RenderError
from gromo_graph.graph import Graph, build_graph
from gromo_graph.records import GrowthEvent
from gromo_graph.records.journal import JOURNAL
from gromo_graph.records.run_step import run_step, steps_words
from gromo_graph.spec.model import Spec

SPEC = "spec.yaml"


def resolve(target: Any, event: GrowthEvent | None) -> tuple[Graph, GrowthEvent | None]:
    """The graph to draw and the event to show in it: the one given, or a run's last applied one.

    Raises:
        RenderError: this cannot be drawn, or the folder is not a run.
        SpecError: the file is missing or its spec is wrong.
        RunError: the run's journal is damaged.
        GraphError: a spec that was put together in Python is no graph.
    """
    if isinstance(target, Graph):
        return target, event
    if isinstance(target, Spec):
        return build_graph(target), event
    if isinstance(target, (str, PathLike)):
        return _of_path(Path(fspath(target)), event)
    spec = getattr(target, "spec", None)
    if not isinstance(spec, Spec):
        raise RenderError(
            f"cannot draw {type(target).__name__}: expected a spec, a network, a run, "
            "or the path of a spec file or a run folder"
        )
    return build_graph(spec), event or last_applied(getattr(target, "events", ()))


def last_applied(events: Iterable[GrowthEvent]) -> GrowthEvent | None:
    """The last event that changed anything; if none did, the last event."""
    events = tuple(events)
    applied = [event for event in events if event.decision is not None]
    seen = applied or list(events)
    return seen[-1] if seen else None


def _of_path(path: Path, event: GrowthEvent | None) -> tuple[Graph, GrowthEvent | None]:
    from gromo_graph.spec import load_spec

    if found := run_step(path):
        return _at_step(found.run, found.number)
    if not os.path.isdir(path):  # noqa: PTH112 - False for a name that is too long, too
        return build_graph(load_spec(path)), event
    if not (path / SPEC).is_file():
        raise RenderError(
            f"{path}: this is no run: it holds no {SPEC}; give a spec file or the folder of a run"
        )
    if event is None and (path / JOURNAL).is_file():
        from gromo_graph.records.journal import read_journal

        event = last_applied(read_journal(path / JOURNAL).events)
    return build_graph(load_spec(path / SPEC)), event


def _at_step(run: Path, step: int) -> tuple[Graph, GrowthEvent | None]:
    """A run as it was after a growth step, `RUN@3`; 0 is before any."""
    from gromo_graph.records.journal import read_journal
    from gromo_graph.spec import parse_spec

    journal = read_journal(run / JOURNAL)
    if step == 0:
        return build_graph(parse_spec(journal.header.spec, file=f"{run}@0")), None
    event = next((event for event in journal.applied if event.step == step), None)
    if event is None:
        there = steps_words(len(journal.applied))
        raise RenderError(f"{run}@{step}: there is no step {step}: {there}, and 0 is before any growth")
    return build_graph(parse_spec(event.spec, file=f"{run}@{step}")), event
