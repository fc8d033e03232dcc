"""`gromo-graph doctor`: what is installed, what works, and what is missing."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module, metadata

import typer

from gromo_graph.amounts import amount
from gromo_graph.cli.messages import FAILED, reported
from gromo_graph.cli.options import AsJson
from gromo_graph.environment import VERSION

_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")
_PACKAGE = re.compile(r"[\w.-]+")
_TINY = """
nodes:
  x: {kind: input, shape: [1]}
  y: {kind: linear, from: x, features: 1}
output: y
"""


@dataclass(frozen=True)
class Part:
    """One thing that is looked at.

    Attributes:
        name: of a package or an ability.
        found: the version, or a few words; None if it is missing or broken.
        needed: whether gromo_graph needs it.
        advice: what to do about it; empty if there is nothing to do.
    """

    name: str
    found: str | None
    needed: bool
    advice: str = ""


@reported
def doctor(as_json: AsJson = False) -> None:
    """Check the installation: versions, device, drawing, optional parts, and how to get what is missing."""
    parts = list(_parts())
    works = all(part.found is not None for part in parts if part.needed)
    if as_json:
        typer.echo(
            json.dumps({"works": works, "parts": [asdict(part) for part in parts]}, ensure_ascii=False)
        )
    else:
        _show(parts, works)
    if not works:
        raise typer.Exit(FAILED)


def _parts() -> Iterator[Part]:
    yield Part("gromo_graph", VERSION, needed=True)
    yield Part(
        "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", needed=True
    )
    yield _torch()
    yield _drawing()
    for package, extra in _requirements():
        yield _package(package, extra)


def _torch() -> Part:
    try:
        torch = import_module("torch")
    except (ImportError, OSError) as error:
        return Part("device", None, needed=True, advice=f"torch cannot be imported: {_first_line(error)}")
    cuda = torch.cuda.is_available()
    device = f"cuda: {torch.cuda.get_device_name(0)}" if cuda else "cpu"
    return Part(
        "device",
        f"{device}, {amount(torch.get_num_threads(), 'thread')} of {os.cpu_count()} cores",
        needed=True,
    )


def _drawing() -> Part:
    from gromo_graph.render import render
    from gromo_graph.spec import parse_spec

    try:
        render(parse_spec(_TINY), format="svg")
        version = import_module("pygraphviz").__version__
    except Exception as error:  # whatever Graphviz raises: the word of a doctor is wanted, not a traceback
        advice = f"Graphviz does not work: {_first_line(error)}: pip install --force-reinstall pygraphviz"
        return Part("drawing", None, needed=True, advice=advice)
    return Part("drawing", f"works, by pygraphviz {version}", needed=True)


def _requirements() -> Iterator[tuple[str, str]]:
    """The packages that gromo_graph names, each with the extra that brings it (empty: it is needed)."""
    try:
        lines = metadata.requires("gromo_graph") or []
    except metadata.PackageNotFoundError:
        return
    for line in lines:
        package, extra = _PACKAGE.match(line), _EXTRA.search(line)
        if package is not None and (extra is None or extra[1] != "dev"):
            yield package[0], "" if extra is None else extra[1]


def _package(name: str, extra: str) -> Part:
    try:
        return Part(name, metadata.version(name), needed=not extra)
    except metadata.PackageNotFoundError:
        wanted = f"'gromo_graph[{extra}]'" if extra else name
        return Part(name, None, needed=not extra, advice=f"pip install {wanted}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _show(parts: list[Part], works: bool) -> None:
    from gromo_graph.cli.console import console, plain_table

    table = plain_table("part", "found", "to do")
    for part in parts:
        missing = "missing" if part.needed else "missing (optional)"
        table.add_row(part.name, part.found or missing, part.advice)
    console().print(table)
    typer.echo("everything that is needed works" if works else "something that is needed does not work")
