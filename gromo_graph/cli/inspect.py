"""`gromo-graph inspect`: a run as a page to walk through, from its journal alone, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gromo_graph.cli.messages import INTERRUPTED, reported, say
from gromo_graph.errors import RunError

_PORT = 8765
PAGE = "inspect.html"


@reported
def inspect(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder, also of a run that goes on.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help=f"The page to write; by default RUN/{PAGE}."),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    serve: Annotated[
        bool,
        typer.Option("--serve", help="Serve it to this machine alone, and follow the run; Ctrl-C ends it."),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65535, help=f"Of --serve: {_PORT} by default; 0: any that is free."
        ),
    ] = None,
) -> None:
    """Write a page that shows a run step by step: the network, the curves, each decision, what differs."""
    if serve and out is not None:
        raise typer.BadParameter("--serve writes no file: leave -o out, or leave --serve out")
    if port is not None and not serve:
        raise typer.BadParameter("--port is for --serve")
    if serve:
        _serve(run, _PORT if port is None else port, open_)
    else:
        _write(run, out, open_)


def _write(run: Path, out: Path | None, open_: bool) -> None:
    from gromo_graph.records.journal import read_journal
    from gromo_graph.render.drawing.graphviz import write
    from gromo_graph.render.pages.inspector import inspector_html

    page = inspector_html(read_journal(run), results=results_of(run))
    file = out or _folder(run) / PAGE
    write(page.encode(), file)
    say(f"written: {file}")
    if open_:
        show(file.resolve().as_uri())


def _serve(run: Path, port: int, open_: bool) -> None:
    from gromo_graph.cli.inspection_server import Server

    try:
        with Server(run, port, results_of) as server:
            say(f"serving {run} at {server.address} : Ctrl-C ends it")
            if open_:
                show(server.address)
            server.serve_forever()
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None  # the way to end it: there is nothing to say


def show(address: str) -> None:
    """Show a page in the browser, if there is one."""
    import webbrowser

    if not webbrowser.open(address):
        say(f"no browser was found: open {address}")


def results_of(run: Path) -> Mapping[str, Any] | None:
    """The summary of a run that is over; None if it is not, or if the file is damaged."""
    from gromo_graph.run.folder.own_files import SUMMARY
    from gromo_graph.run.folder.run_folder import RunFolder
    from gromo_graph.run.folder.summary import Results

    try:
        return RunFolder(_folder(run)).read_model(SUMMARY, Results).model_dump(exclude_unset=True)
    except RunError:
        return None


def _folder(run: Path) -> Path:
    return run if run.is_dir() else run.parent
