"""`gromo-graph show`: a spec or a run as a table, without torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from gromo_graph.amounts import amount
from gromo_graph.cli.messages import printable, reported
from gromo_graph.cli.options import AsJson
from gromo_graph.graph import Graph, WidthGroup, obstacle
from gromo_graph.render.drawing.collapse import block_names

_STEP = "  "  # of the names of a block's nodes, below its own
_MOST_NAMED = 3


@reported
def show(
    target: Annotated[str, typer.Argument(metavar="SPEC|RUN", help="A YAML file, a run folder, or RUN@3.")],
    groups: Annotated[
        bool, typer.Option("--groups", help="What grows together, instead of the nodes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the nodes of a network with their sizes and costs, or its width groups."""
    from gromo_graph.render.target import resolve

    graph, _ = resolve(target, None)
    rows = (
        [_group(graph, group) for group in graph.groups] if groups else [_node(graph, n) for n in graph.order]
    )
    if as_json:
        typer.echo(json.dumps({"groups" if groups else "nodes": rows}, ensure_ascii=False))
    elif groups:
        _show_groups(rows)
    else:
        _show_nodes(graph, rows)


def _node(graph: Graph, name: str) -> dict[str, Any]:
    node = graph.spec.nodes[name]
    group = next((group for group in graph.groups if name in group.producers), None)
    return {
        "name": name,
        "kind": node.kind,
        "from": list(graph.sources(name)),
        "shape": list(graph.shapes[name]),
        "activation": getattr(node, "activation", None),
        "parameters": graph.parameters(name),
        "madds": graph.madds(name),
        "grows_with": [] if group is None else [other for other in group.producers if other != name],
        "reason": None if group is None else _why_not(graph, group),
        "grows": group is not None and _why_not(graph, group) is None,
    }


def _group(graph: Graph, group: WidthGroup) -> dict[str, Any]:
    return {
        "target": group.target,
        "features": group.features,
        "producers": list(group.producers),
        "consumers": list(group.consumers),
        "sites": list(group.sites),
        "passes": [*group.merges, *group.operations],
        "unit": group.unit,
        "max": group.grow.max,
        "tie": group.grow.tie,
        "reason": _why_not(graph, group),
    }


def _why_not(graph: Graph, group: WidthGroup) -> str | None:
    reason = obstacle(graph, group)
    full = group.grow.max is not None and group.features >= group.grow.max
    return (
        f"it is {group.features} wide: `grow.max` is {group.grow.max}" if reason is None and full else reason
    )


def _show_nodes(graph: Graph, rows: list[dict[str, Any]]) -> None:
    from gromo_graph.cli.console import console, plain_table
    from gromo_graph.render.numbers import shape

    numbers = ("parameters", "multiply-adds")
    table = plain_table("node", "kind", "reads", "shape", "activation", *numbers, "grows", numbers=numbers)
    blocks = block_names([row["name"] for row in rows])
    shown: set[str] = set()
    for row in _by_block(rows, blocks):
        around = [block for block in blocks if row["name"].startswith(f"{block}.")]
        for depth, block in enumerate(around):
            if block not in shown:
                table.add_row(*_block(block, depth, rows))
                shown.add(block)
        table.add_row(
            _indented(row["name"], around),
            row["kind"],
            _names(row["from"]),
            shape(tuple(row["shape"])),
            "" if row["activation"] in (None, "identity") else row["activation"],
            f"{row['parameters']:,}" if row["parameters"] else "",
            f"{row['madds']:,}" if row["madds"] else "",
            _growth(row),
        )
    stdout = console()
    stdout.print(table)
    stdout.print(
        f"{amount(graph.parameter_count, 'parameter')}, {amount(graph.multiply_adds, 'multiply-add')} for one sample"
    )


def _by_block(rows: list[dict[str, Any]], blocks: Sequence[str]) -> list[dict[str, Any]]:
    """The nodes with those of a block one after the other, at the place of its first one."""
    first = {
        block: place
        for place, row in reversed(list(enumerate(rows)))
        for block in blocks
        if _is_in(row, block)
    }

    def place(numbered: tuple[int, dict[str, Any]]) -> tuple[int, ...]:
        own, row = numbered
        return (*(first[block] for block in blocks if _is_in(row, block)), own)

    return [row for _, row in sorted(enumerate(rows), key=place)]


def _is_in(row: dict[str, Any], block: str) -> bool:
    return str(row["name"]).startswith(f"{block}.")


def _block(block: str, depth: int, rows: list[dict[str, Any]]) -> list[str]:
    """The row above the nodes of a block, with their costs together."""
    own = [row for row in rows if row["name"].startswith(f"{block}.")]
    parameters, madds = (sum(row[cost] for row in own) for cost in ("parameters", "madds"))
    outer = block.rpartition(".")[0] if depth else ""
    name = f"{_STEP * depth}{printable(block.removeprefix(f'{outer}.'))}"
    return [name, amount(len(own), "node"), "", "", "", f"{parameters:,}", f"{madds:,}", ""]


def _indented(name: str, around: Sequence[str]) -> str:
    """The name of a node below those of its blocks, which are not repeated."""
    inner = name.removeprefix(f"{around[-1]}.") if around else name
    return f"{_STEP * len(around)}{printable(inner)}"


def _growth(row: dict[str, Any]) -> str:
    if row["grows"]:
        return f"↑ with {_some(row['grows_with'])}" if row["grows_with"] else "↑"
    return "" if row["reason"] is None else f"no: {printable(row['reason'])}"


def _show_groups(rows: list[dict[str, Any]]) -> None:
    from gromo_graph.cli.console import console, plain_table

    table = plain_table(
        "group", "features", "made by", "read by", "read at", "on the way", "grows", numbers=("features",)
    )
    for row in rows:
        limits = [
            f"tied as {printable(row['tie'])}" if row["tie"] else "",
            f"by {row['unit']}" if row["unit"] > 1 else "",
            f"up to {row['max']:,}" if row["max"] else "",
        ]
        table.add_row(
            printable(row["target"]),
            f"{row['features']:,}",
            *(_names(row[part]) for part in ("producers", "consumers", "sites", "passes")),
            " ".join(filter(None, ["↑", *limits]))
            if row["reason"] is None
            else f"no: {printable(row['reason'])}",
        )
    console().print(table)


def _names(names: list[str]) -> str:
    return printable(", ".join(names))


def _some(names: list[str]) -> str:
    """The first names; `--groups` and `--json` have all."""
    more = len(names) - _MOST_NAMED
    return _names(names) if more <= 1 else f"{_names(names[:_MOST_NAMED])} and {more} more"
