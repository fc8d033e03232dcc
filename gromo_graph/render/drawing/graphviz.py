"""Layout and drawing by the Graphviz inside pygraphviz: no `dot` of the system is needed."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import sqrt
from pathlib import Path
from typing import Any

from gromo_graph.errors import RenderError
from gromo_graph.render.drawing.dot import Drawing
from gromo_graph.render.drawing.stderr import caught
from gromo_graph.render.drawing.svg import polished

FORMATS = ("svg", "png", "pdf", "dot", "mermaid", "gif", "webp")
_SUFFIXES = {"mmd": "mermaid"}

_DPI = 144
_MAX_SIDE = 30_000  # cairo draws no bitmap wider than 32,767
_MAX_PIXELS = 24_000_000  # more take long to draw and are no easier to read
_GRAPHVIZ = threading.Lock()  # the C library keeps global state


def draw(drawing: Drawing, format: str, *, dpi: int = _DPI) -> bytes:
    """The picture in one of FORMATS but Mermaid (mermaid.py) and animations (steps.py); `dpi` is for png.

    Raises:
        RenderError: Graphviz refused; its own words are in the text.
    """
    if format == "dot":
        return drawing.dot.encode()
    data = _graphviz(drawing, format, dpi)
    return polished(data.decode(), drawing).encode() if format == "svg" else data


def draw_svg(drawing: Drawing, *, prefix: str = "") -> str:
    """The picture as SVG text; `prefix` stands before every id in it."""
    return polished(_graphviz(drawing, "svg", _DPI).decode(), drawing, prefix=prefix)


@contextmanager
def reading(dot: str, layout: str | None = None, *, doing: str = "draw the graph") -> Iterator[Any]:
    """The DOT as a pygraphviz graph for as long as the block lasts, laid out if an engine of Graphviz is named.

    Raises:
        RenderError: Graphviz refused; its own words are in the text.
    """
    import pygraphviz

    said: list[str] = []
    try:
        with _GRAPHVIZ, caught() as said:
            graph = pygraphviz.AGraph(string=dot)
            if layout is not None:
                graph.layout(prog=layout)
            yield graph
            graph.close()
    except (ValueError, OSError, pygraphviz.DotError) as error:
        words = " ".join([str(error), *said]).strip()
        raise RenderError(f"Graphviz could not {doing}: {words or 'no reason given'}") from error


def _graphviz(drawing: Drawing, format: str, dpi: int) -> bytes:
    with reading(drawing.dot, doing=f"draw the graph as {format}") as graph:
        engine = drawing.engine
        if format == "png":
            # The resolution depends on the size: the layout is made first, and the bitmap then drawn from it.
            graph.layout(prog=engine)
            engine = "nop2"
            graph.graph_attr["dpi"] = str(_dpi(graph.graph_attr["bb"], dpi))
        data: bytes = graph.draw(format=format, prog=engine)
        if not data:
            raise ValueError
    return data


def _dpi(corners: str, wanted: int) -> int:
    """Sharp, unless the picture would be too large for a bitmap.

    Args:
        corners: the `bb` of the graph, in points. wanted: dots per inch.
    """
    left, bottom, right, top = (float(corner) for corner in corners.split(","))
    width, height = (side / 72 + 1 for side in (right - left, top - bottom))
    return min(wanted, int(_MAX_SIDE / max(width, height)), int(sqrt(_MAX_PIXELS / (width * height))))


def chosen_format(path: Path | None, format: str | None) -> str:
    """The format asked for, or that of the file's name; svg without either.

    Raises:
        RenderError: there is no such format.

    >>> chosen_format(Path("a.PNG"), None), chosen_format(None, None)
    ('png', 'svg')
    """
    listed = f"one of {', '.join(FORMATS)}"
    if format is not None:
        format = _SUFFIXES.get(format.lower(), format)
        if format.lower() not in FORMATS:
            raise RenderError(f"unknown format {format!r}: expected {listed}")
        return format.lower()
    if path is None:
        return "svg"
    suffix = path.suffix.removeprefix(".").lower()
    suffix = _SUFFIXES.get(suffix, suffix)
    if suffix not in FORMATS:
        found = f"the suffix {path.suffix!r}" if suffix else "no suffix"
        raise RenderError(
            f"{path}: {found} names no drawing format: end the name in {listed}, or give a format"
        )
    return suffix


def write(data: bytes, path: Path) -> None:
    """All of the file or nothing: it is written beside its place and then moved there.

    Raises:
        RenderError: the folder is missing or cannot be written to, or there is no space.
    """
    part = ""
    try:
        descriptor, part = tempfile.mkstemp(prefix=".drawing-", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(part).chmod(0o666 & ~_umask())
        Path(part).replace(path)
    except OSError as error:
        with suppress(OSError):
            Path(part).unlink()
        reason = error.strerror or str(error)
        raise RenderError(f"{path}: the drawing cannot be written: {reason}") from error


def _umask() -> int:
    mask = os.umask(0o022)  # there is no way to ask for it without setting it
    os.umask(mask)
    return mask
