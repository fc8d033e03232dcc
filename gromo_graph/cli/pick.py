"""`gromo-graph pick`: the smallest network of a run that is good enough, trained to the end."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gromo_graph.amounts import amount
from gromo_graph.cli.followed_run import Telling, followed
from gromo_graph.cli.messages import reported, say
from gromo_graph.cli.options import AsJson, Force, Log, SameData, SameDevice, device_name

if TYPE_CHECKING:
    from gromo_graph.records import Size
    from gromo_graph.run import Run
    from gromo_graph.run.smallest_network import Picked, Trained


@reported
def pick(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The folder of a run that is over; it stays as it is.")
    ],
    within: Annotated[
        str,
        typer.Option(
            metavar="SHARE", help="How much higher the held-out loss may be than the best: 0.5% or 0.005."
        ),
    ] = "0.5%",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="The run folder to make; else runs/<name>-<n>."),
    ] = None,
    data: SameData = None,
    device: SameDevice = None,
    force: Force = False,
    log: Log = None,
    as_json: AsJson = False,
) -> None:
    """Find the smallest network of a run that is good enough once it is trained to the end, and write it as a run.

    Networks are compared after whole trainings: about log2(sizes) of them, and one more that writes the run.
    """
    from gromo_graph.run.folder.run_folder import free_path, open_folder
    from gromo_graph.run.smallest_network import pick as search

    share, where = share_of(within), device_name(device)
    path = free_path(open_folder(run).journal(first=1).header.name) if out is None else out
    telling = Telling(run.name, path, as_json, log=log, brief=True)
    found: list[Picked] = []

    def told(size: Size) -> None:
        say(
            f"training the network after step {size.step}, of {amount(size.parameters, 'parameter')}, to the end"
        )

    def work(watch: Any) -> Run:
        found.append(
            search(
                run,
                within=share,
                out=path,
                data=data,
                device=where,
                force=force,
                on_try=told,
                on_progress=watch,
            )
        )
        return found[0].run

    followed(telling, work)
    if as_json:
        typer.echo(json.dumps(_plain(found[0]), ensure_ascii=False))
    else:
        _show(found[0])


def share_of(text: str) -> float:
    """The share that a text says. A number above 1 without a % is refused: most people mean a percentage by it.

    Raises:
        typer.BadParameter: it says none.

    >>> share_of("0.5%"), share_of("0.005")
    (0.005, 0.005)
    """
    percent = text.rstrip().endswith("%")
    try:
        value = float(text.rstrip().removesuffix("%"))
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0.0):
        raise typer.BadParameter(f"--within {text}: expected a share such as 0.5% or 0.005")
    if value > 1.0 and not percent:
        raise typer.BadParameter(
            f"--within {text} would be {value:.0%}: write {value:g}% or {value / 100.0:g}"
        )
    return value / 100.0 if percent else value


def _plain(found: Picked) -> dict[str, Any]:
    """The summary of the picked run, and how it was found."""
    from gromo_graph.cli.summary import summary_as_json

    return {
        **summary_as_json(found.run.summary),
        "within": found.within,
        "picked": asdict(found.picked),
        "best": asdict(found.best),
        "tried": [asdict(each) for each in found.tried],
    }


def _show(found: Picked) -> None:
    from gromo_graph.cli.console import console, plain_table
    from gromo_graph.cli.summary import show_summary
    from gromo_graph.render.numbers import real

    numbers = ("step", "parameters", "multiply-adds", "held-out loss", "above the best")
    table = plain_table(*numbers, "", numbers=numbers)
    for each in found.tried:
        table.add_row(
            *(str(each.step), f"{each.parameters:,}", f"{each.madds:,}", real(each.loss, 4)),
            *(_above(each, found.best), _words(each, found)),
        )
    console().print(table)
    show_summary(found.run.summary)


def _above(each: Trained, best: Trained) -> str:
    return "–" if best.loss == 0.0 else f"{each.loss / best.loss - 1.0:.1%}".replace("%", " %")


def _words(each: Trained, found: Picked) -> str:
    """The part that a network has in the search."""
    words = [
        "picked" if each == found.picked else "",
        "the network of the run" if each == found.tried[-1] else "",
    ]
    return ", ".join(filter(None, words))
