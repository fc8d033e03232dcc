"""Watching a run: a live table on a terminal, a line now and then elsewhere; always on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gromo_graph.cli.messages import Loudness, loudness, printable, say
from gromo_graph.records import GrowthEvent
from gromo_graph.render.highlights import decision_words
from gromo_graph.run import Progress

_MOST_NODES = 12
_LINES = 10  # plain lines of a training, beside those of growth


@contextmanager
def watching(name: str, *, silent: bool) -> Iterator[Callable[[Progress], None] | None]:
    """The callback that `grow` calls after each epoch."""
    console = Console(stderr=True)
    if silent or loudness() is Loudness.quiet:
        yield None
    elif console.is_terminal and not console.is_dumb_terminal:
        with Live(Text(f"{printable(name)}: reading the data"), console=console, transient=True) as live:
            last: list[GrowthEvent] = []

            def show(progress: Progress) -> None:
                last[:] = progress.events[-1:] or last
                live.update(_panel(name, progress, last[0] if last else None))

            yield show
    else:
        yield _tell


@contextmanager
def logging(
    folder: Path | None, watch: Callable[[Progress], None] | None
) -> Iterator[Callable[[Progress], None] | None]:
    """The callback of `grow` that tells TensorBoard too."""
    if folder is None:
        yield watch
        return
    from gromo_graph.run.tensorboard import TensorBoardWriter

    with TensorBoardWriter(folder) as writer:

        def both(progress: Progress) -> None:
            writer(progress)
            if watch is not None:
                watch(progress)

        yield both


def decision(event: GrowthEvent) -> str:
    """One growth step in a few words.

    >>> decision(GrowthEvent(0, 3, None, "γ = 0", 0.0, None, 0.5, 0.5, 10, 8))
    'epoch 3: nothing grown: γ = 0'
    """
    if event.decision is None:
        return f"epoch {event.epoch}: nothing grown: {event.reason}"
    size = "" if event.decision.kind == "prune" else f"γ {event.gamma:.3g}, "
    return (
        f"epoch {event.epoch}, step {event.step}: {decision_words(event.decision)}; {size}"
        f"loss {event.loss_before:.4g} → {event.loss_after:.4g}"
    )


def widths(features: Mapping[str, int]) -> str:
    """Features of the nodes that may grow; of very many only the first.

    >>> widths({"hidden1": 8, "hidden2": 6})
    'hidden1 8, hidden2 6'
    """
    shown = [f"{name} {width}" for name, width in list(features.items())[:_MOST_NODES]]
    more = len(features) - len(shown)
    return ", ".join(shown) + (f", … and {more} more" if more else "")


def measures(values: Mapping[str, Any]) -> str:
    """Loss and, if there is one, accuracy.

    >>> measures({"loss": 0.25, "accuracy": 0.9})
    'loss 0.2500, accuracy 90.00 %'
    """
    accuracy = values.get("accuracy")
    return f"loss {values['loss']:.4f}" + (
        "" if accuracy is None else f", accuracy {accuracy:.2%}".replace("%", " %")
    )


def _tell(progress: Progress) -> None:
    """Print a plain line, for a growth step and some ten times in a training; with `--verbose` for each epoch."""
    for event in progress.events:
        say(decision(event))
    every = 1 if loudness() is Loudness.verbose else max(1, progress.epochs // _LINES)
    if progress.epoch % every == 0 or progress.epoch == progress.epochs:
        say(
            f"epoch {progress.epoch}/{progress.epochs}: training {measures(progress.train)}; "
            f"validation {measures(progress.validation)}; {progress.parameters:,} parameters; "
            f"{widths(progress.features)}"
        )


def _panel(name: str, progress: Progress, event: GrowthEvent | None) -> Group:
    table = Table.grid(padding=(0, 2))
    rows = {
        "training": measures(progress.train),
        "validation": measures(progress.validation),
        "features": widths(progress.features),
        "parameters": f"{progress.parameters:,}",
        "growth": "—" if event is None else decision(event),
    }
    if progress.reason is not None:
        rows["growth over"] = progress.reason
    for label, text in rows.items():
        table.add_row(Text(label, style="dim"), Text(printable(text)))
    head = Table.grid(padding=(0, 2))
    head.add_row(
        Text(printable(name), style="bold"),
        ProgressBar(total=progress.epochs, completed=progress.epoch, width=40),
        Text(f"epoch {progress.epoch}/{progress.epochs}"),
    )
    return Group(head, table)
