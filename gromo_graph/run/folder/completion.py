"""The files of a run folder that can be made again from its journal: drawings and the report."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from gromo_graph.errors import RenderError
from gromo_graph.graph import build_graph
from gromo_graph.records import GrowthEvent, Journal
from gromo_graph.render import render
from gromo_graph.render.drawing.dot import direction_of
from gromo_graph.render.drawing.labels import Direction
from gromo_graph.render.pages.report import report_html
from gromo_graph.run.folder.checkpoint import checkpoints, remove_checkpoints
from gromo_graph.run.folder.lock import locked
from gromo_graph.run.folder.own_files import REPORT
from gromo_graph.run.folder.run_folder import RunFolder
from gromo_graph.spec import Spec

Parse = Callable[[str], Spec]


def is_complete(folder: RunFolder) -> bool:
    """True if the folder of a run that is over has everything that a run leaves behind."""
    journal = folder.journal()
    drawn = all(folder.drawing(step).is_file() for step in range(len(journal.applied) + 1))
    return drawn and folder.file(REPORT).is_file() and not checkpoints(folder.path)


def complete(folder: RunFolder) -> None:
    """Make what is missing of a run that is over, as when its process was killed or the disk was full.

    Raises:
        RunError: another process holds the folder, or it cannot be written to.
    """
    with locked(folder.path):
        journal = folder.journal()
        complete_drawings(folder, journal, folder.parsed)
        if not folder.file(REPORT).is_file():
            write_report(folder, journal, folder.summary(), folder.parsed)
        remove_checkpoints(folder.path)


def complete_drawings(folder: RunFolder, journal: Journal, parse: Parse) -> None:
    """Draw the steps of a journal whose drawings are missing.

    Args:
        folder: of the run.
        journal: of it, as far as it is to be drawn.
        parse: gives the spec of a text; a process that knows the spec need not read it again.
    """
    states: list[tuple[int, GrowthEvent | None, str]] = [(0, None, journal.header.spec)]
    states += [(event.step, event, event.spec) for event in journal.applied]
    missing = [state for state in states if not folder.drawing(state[0]).is_file()]
    if not missing:
        return
    direction = direction_of(build_graph(parse(journal.header.spec)))
    for step, event, text in missing:
        write_drawing(folder, step, parse(text), event, direction)


def write_drawing(
    folder: RunFolder, step: int, spec: Any, event: GrowthEvent | None, direction: Direction
) -> None:
    """The drawing after a growth step; a network that cannot be drawn is no reason to lose its training.

    Args:
        folder: of the run.
        step: the growth step; 0 is before any.
        spec: the network after it, or its spec.
        event: the growth step; None before any.
        direction: of all drawings of a run, so that nothing turns between two steps.

    Raises:
        RunError: it cannot be written.
    """
    drawing = drawn(spec, event, direction)
    if drawing is not None:
        folder.write(str(folder.drawing(step).relative_to(folder.path)), drawing)


def drawn(spec: Any, event: GrowthEvent | None, direction: Direction) -> str | None:
    """The SVG of a network, or None with a warning if Graphviz refuses it."""
    try:
        return render(spec, event=event, direction=direction)
    except RenderError as error:
        warnings.warn(f"no drawing: {error}", stacklevel=2)
        return None


def write_report(
    folder: RunFolder, journal: Journal, results: Mapping[str, Any] | None, parse: Parse
) -> None:
    """The page that tells the run.

    Raises:
        RunError: it cannot be written.
    """
    try:
        page = report_html(journal, results=results, parse=parse)
    except RenderError as error:
        warnings.warn(f"no report: {error}", stacklevel=2)
    else:
        folder.write(REPORT, page)
