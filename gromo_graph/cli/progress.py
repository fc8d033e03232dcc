"""Watching a run: a live table on a terminal, a line now and then elsewhere; always on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gromo_graph.amounts import amount
from gromo_graph.cli.messages import Loudness, loudness, printable, say
from gromo_graph.records import GrowthEvent
from gromo_graph.render.highlights import decision_words
from gromo_graph.run.epoch_progress import (
    BudgetWatcher,
    OnProgress,
    Progress,
    Watcher,
    measures,
    pace,
    widths,
)

_LINES = 10  # plain lines of a training, beside those of growth


@contextmanager
def watching(name: str, *, silent: bool, brief: bool = False) -> Iterator[OnProgress | None]:
    """The callback for each epoch, and on a terminal for each batch.

    Args:
        silent: nothing is shown, as in all processes but the first.
        brief: off a terminal no lines are printed, except with `--verbose`.
    """
    console = Console(stderr=True)
    if silent or loudness() is Loudness.quiet:
        yield None
    elif console.is_terminal and not console.is_dumb_terminal:
        panel = Panel(name)
        with Live(panel, console=console, transient=True):
            yield panel
    else:
        yield None if brief and loudness() is not Loudness.verbose else Lines(say)


class Several:
    """Several watchers of one run."""

    def __init__(self, watchers: Sequence[OnProgress]) -> None:
        self._watchers = watchers
        self._followers = [each for each in watchers if isinstance(each, Watcher)]
        self._budget_watchers = [each for each in watchers if isinstance(each, BudgetWatcher)]

    def __call__(self, progress: Progress) -> None:
        """An epoch is over."""
        for each in self._watchers:
            each(progress)

    def doing(self, words: str) -> None:
        """The work of this moment, for those who want to know."""
        for each in self._followers:
            each.doing(words)

    def budget(self, words: str) -> None:
        """The budget that the data set, for those who want to know."""
        for each in self._budget_watchers:
            each.budget(words)


@contextmanager
def tensorboard(folder: Path | None) -> Iterator[OnProgress | None]:
    """A watcher that writes for TensorBoard, if a folder is given."""
    if folder is None:
        yield None
        return
    from gromo_graph.run.tensorboard import TensorBoardWriter

    with TensorBoardWriter(folder) as writer:
        yield writer


def decision(event: GrowthEvent) -> str:
    """One growth step in a few words.

    >>> decision(GrowthEvent(0, 3, None, "γ = 0", 0.0, None, 0.5, 0.5, 10, 8))
    'epoch 3: nothing grown: γ = 0'
    """
    if event.decision is None:
        return f"epoch {event.epoch}: nothing grown: {event.reason}"
    return (
        f"epoch {event.epoch}, step {event.step}: {decision_words(event.decision)}; "
        f"held-out loss {event.loss_before:.4g} → {event.loss_after:.4g}; "
        f"{event.parameters_before:,} → {amount(event.parameters, 'parameter')}"
    )


class Lines:
    """A line for the budget, for each growth step, and some ten times in a training; with `--verbose` for each epoch.

    Args:
        to: takes a line.
    """

    def __init__(self, to: Callable[[str], None]) -> None:
        self._to = to

    def __call__(self, progress: Progress) -> None:
        """An epoch is over."""
        for event in progress.events:
            self._to(decision(event))
        every = 1 if loudness() is Loudness.verbose else max(1, progress.epochs // _LINES)
        if progress.epoch % every == 0 or progress.epoch == progress.epochs:
            self._to(str(progress))

    def budget(self, words: str) -> None:
        """The budget that the data set."""
        self._to(f"budget: {words}")


class Panel:
    """The table of a run on a terminal, which draws it again a few times a second."""

    def __init__(self, name: str) -> None:
        self._name, self._doing = printable(name), "reading the data"
        self._progress: Progress | None = None
        self._event: GrowthEvent | None = None
        self._budget: str | None = None

    def __call__(self, progress: Progress) -> None:
        """An epoch is over."""
        self._progress = progress
        self._event = progress.events[-1] if progress.events else self._event

    def doing(self, words: str) -> None:
        """The work of this moment."""
        self._doing = words

    def budget(self, words: str) -> None:
        """The budget that the data set."""
        self._budget = words

    def __rich__(self) -> Group:
        progress = self._progress
        head = Table.grid(padding=(0, 2))
        if progress is None:
            head.add_row(Text(self._name, style="bold"), Text(self._doing))
            return Group(head)
        over = progress.epoch == progress.epochs
        head.add_row(
            Text(self._name, style="bold"),
            ProgressBar(total=progress.epochs, completed=progress.epoch, width=40),
            Text(f"epoch {progress.epoch}/{progress.epochs}"),
            Text(pace(progress), style="dim"),
        )
        table = Table.grid(padding=(0, 2))
        rows = {
            "training": measures(progress.train),
            "validation": measures(progress.validation),
            "features": widths(progress.features),
            "parameters": f"{progress.parameters:,}",
            **({} if self._budget is None else {"budget": self._budget}),
            "growth": "—" if self._event is None else decision(self._event),
            **({} if progress.reason is None else {"growth over": progress.reason}),
            "now": "measuring the results" if over else self._doing,
        }
        for label, text in rows.items():
            table.add_row(Text(label, style="dim"), Text(printable(text)))
        return Group(head, table)
