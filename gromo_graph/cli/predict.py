"""`gromo-graph predict`: what a run's network says about new data, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gromo_graph.amounts import amount
from gromo_graph.cli.messages import reported, say

if TYPE_CHECKING:
    from gromo_graph.run import Run
    from gromo_graph.run.data.raw import Raw


@reported
def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    data: Annotated[
        str,
        typer.Option(metavar="NAME|FILE|module:function", help="Raw samples, with or without a target."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="The CSV file; else on stdout.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Predict: class or labels and probabilities, or values in their unit, a row for each sample."""
    from gromo_graph.errors import RunError

    if out is not None and out.exists() and not force:
        raise RunError(f"{out}: this file already exists: choose another -o, or replace it with --force")

    from gromo_graph.records.atomic_files import write_atomically
    from gromo_graph.run import load_run

    loaded = load_run(run)
    text = as_csv(loaded, loaded.read(data, target=False))
    if out is None:
        typer.echo(text, nl=False)
        return
    write_atomically(out, text)
    say(f"written: {out}, {amount(text.count(chr(10)) - 1, 'prediction')}")


def as_csv(run: Run, raw: Raw) -> str:
    """A header and a row for each sample: `prediction`, then the probability of each class.

    Of several labels a prediction and a probability for each.

    Raises:
        RunError: the samples do not fit the network.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows(_rows(run, raw))
    return file.getvalue()


def _rows(run: Run, raw: Raw) -> Iterator[list[str]]:
    """The titles of the columns, and a row for each sample."""
    found, preparation = run.predict(raw), run.preparation
    if preparation.several:
        return _of_several(found)
    if preparation.task == "labels":
        titles = [f"prediction_{label}" for label in preparation.classes]
        return _with_probabilities(
            run, raw, titles, ([str(value) for value in row] for row in found.tolist())
        )
    if preparation.positions:  # a probability for each class at each position would be too many columns
        rows = found.reshape(len(found), -1)
        titles = [f"prediction_{number + 1}" for number in range(rows.shape[1])]
        return chain([titles], ([_harmless(str(label)) for label in row] for row in rows.tolist()))
    if preparation.task == "classification":
        labels = ([_harmless(str(label))] for label in found.tolist())
        return _with_probabilities(run, raw, ["prediction"], labels)
    values = found.reshape(len(found), -1)
    rows = ([f"{value:.9g}" for value in row] for row in values.tolist())
    return chain([_titles_of_values(run, values.shape[1])], rows)


def _with_probabilities(
    run: Run, raw: Raw, titles: list[str], predictions: Iterable[list[str]]
) -> Iterator[list[str]]:
    """Columns of predictions, and one of a probability for each class."""
    yield [*titles, *(f"probability_{label}" for label in run.preparation.classes)]
    for predicted, probabilities in zip(predictions, run.probabilities(raw).tolist(), strict=True):
        yield [*predicted, *(f"{value:.6g}" for value in probabilities)]


def _titles_of_values(run: Run, count: int) -> list[str]:
    """The titles of predicted values: those of the columns of a table, or numbers."""
    if count == 1:
        return ["prediction"]
    table = run.preparation.table
    named = () if table is None or isinstance(table.target, str) else table.target
    return [f"prediction_{title}" for title in named or range(1, count + 1)]


def _of_several(found: Mapping[str, Any]) -> Iterator[list[str]]:
    """Predictions of several outputs: a column for each, or for each of its values."""
    columns: dict[str, list[str]] = {}
    for name, predicted in found.items():
        rows = predicted.reshape(len(predicted), -1)
        numbered = rows.shape[1] > 1
        for place in range(rows.shape[1]):
            title = f"{name}_{place + 1}" if numbered else name
            columns[f"prediction_{title}"] = [
                _harmless(value) if isinstance(value, str) else f"{value:.9g}"
                for value in rows[:, place].tolist()
            ]
    yield list(columns)
    yield from map(list, zip(*columns.values(), strict=True))


def _harmless(label: str) -> str:
    """Mark a label as text if a spreadsheet would take it for a formula.

    >>> _harmless("=1+1"), _harmless("setosa")
    ("'=1+1", 'setosa')
    """
    return f"'{label}" if label.lstrip().startswith(("=", "+", "-", "@")) or label[:1] in "\t\r\n" else label
