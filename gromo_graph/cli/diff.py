"""`gromo-graph diff`: two networks beside each other, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gromo_graph.cli.messages import FAILED, WRONG, EndedError, printable, reported, say
from gromo_graph.cli.options import AsJson
from gromo_graph.errors import RenderError, RunError

if TYPE_CHECKING:
    from gromo_graph.graph.diff import Difference, NodeChange

_SIGNS = {"added": "+", "removed": "−", "changed": "~"}
_WHAT = "A YAML file, a run folder, or RUN@3 for a run after its third step (RUN@0: before any)."


@reported
def diff(
    old: Annotated[str, typer.Argument(metavar="A", help=_WHAT)],
    new: Annotated[str, typer.Argument(metavar="B", help="The same.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Draw both in one picture, x.svg or so."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is in B and not in A, what is gone, and what has changed; exit code 1 if they differ."""
    from gromo_graph.graph.diff import diff as compare
    from gromo_graph.render import render
    from gromo_graph.render.target import resolve

    try:
        before, after = (resolve(target, None)[0].spec for target in (old, new))
    except (RunError, RenderError) as error:
        raise EndedError(str(error), WRONG) from None  # 1 says that they differ
    found = compare(before, after)
    if out is not None:
        render(found, out)
        say(f"drawn: {out}")
    if as_json:
        typer.echo(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        _show(found)
    if found:
        raise typer.Exit(FAILED)


def _show(found: Difference) -> None:
    from gromo_graph.cli.console import console, plain_table
    from gromo_graph.render.drawing.difference import value_words
    from gromo_graph.render.numbers import signed

    stdout = console()
    if not found:
        stdout.print("no difference")
        return
    if found.nodes:
        numbers = ("parameters", "multiply-adds")
        table = plain_table("", "node", "kind", "shape", "options", *numbers, numbers=numbers)
        for node in found.nodes:
            graph = found.old if node.what == "removed" else found.new
            table.add_row(
                _SIGNS[node.what],
                printable(node.name),
                graph.spec.nodes[node.name].kind,
                _shape(node),
                printable(", ".join(value_words(each) for each in node.values if each.key != "features")),
                signed(node.delta_parameters) if node.delta_parameters else "",
                signed(node.delta_madds) if node.delta_madds else "",
            )
        stdout.print(table)
    for sign, edges in (("+", found.added_edges), ("−", found.removed_edges)):
        for edge in edges:
            typer.echo(f"{sign}  edge {printable(edge)}")
    for each in found.values:
        typer.echo(f"~  {printable(value_words(each))}")
    typer.echo(
        f"parameters {found.old.parameter_count:,} → {found.new.parameter_count:,} "
        f"({signed(found.delta_parameters)}), multiply-adds {found.old.multiply_adds:,} → "
        f"{found.new.multiply_adds:,} ({signed(found.delta_madds)})"
    )


def _shape(node: NodeChange) -> str:
    from gromo_graph.render.numbers import shape, shape_change

    if node.before is None or node.after is None or node.before == node.after:
        return shape(node.after or node.before or ())
    return shape_change(node.before, node.after)
