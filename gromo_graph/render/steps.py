"""A run drawn step by step with each node in its place: a file for each step, or an animation."""

from __future__ import annotations

import io
from collections.abc import Iterator
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from gromo_graph.errors import RenderError
from gromo_graph.records.journal import Journal, read_journal
from gromo_graph.render.drawing.graphviz import draw, write
from gromo_graph.render.drawing.options import DrawingOptions
from gromo_graph.render.placing.step_drawings import StepDrawing, drawings_of_steps

ANIMATIONS = ("gif", "webp")

_DPI = 96
_LAST = 3  # times as long as the others
_MOST_PIXELS = 4096


def journal_of(target: Any) -> Journal:
    """The journal of a run: its folder, or a run that has one.

    Raises:
        RenderError: the object is no run, or one that left no folder.
        RunError: the path leads to no run, or its journal is damaged.
    """
    path = target if isinstance(target, (str, PathLike)) else getattr(target, "path", None)
    if path is None:
        raise RenderError(
            f"a {type(target).__name__} has no steps to draw: expected a run that has a folder, or its path"
        )
    return read_journal(Path(fspath(path)))


def write_steps(target: Any, folder: Path, format: str, options: DrawingOptions) -> list[Path]:
    """`000.svg` (before any growth), `001.svg`, ... in a folder, which is made if it does not exist.

    Raises:
        RenderError: as `journal_of`; or the files cannot be written.
    """
    drawings = drawings_of_steps(journal_of(target), options=options)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RenderError(f"{folder}: the folder cannot be made: {error.strerror or error}") from error
    paths = []
    for number, each in enumerate(drawings):
        paths.append(folder / f"{number:03d}.{format}")
        write(draw(each.drawing, format), paths[-1])
    return paths


def animated(target: Any, format: str, options: DrawingOptions, *, seconds: float) -> bytes:
    """The steps as an endless animation.

    Args:
        target: a run. format: gif or webp. options: of all drawings. seconds: for which each step is shown.

    Raises:
        RenderError: as `journal_of`; or the time is out of range.
    """
    from PIL import Image

    if not 0.02 <= seconds <= 60:
        raise RenderError(f"{seconds} seconds for each step: expected 0.02 to 60")
    frames = list(_frames(drawings_of_steps(journal_of(target), options=options)))
    width, height = (max(frame.size[side] for frame in frames) for side in (0, 1))
    sheets = []
    for frame in frames:  # of one size but for rounding
        sheet = Image.new("RGB", (width, height), frame.getpixel((0, 0)))
        sheet.paste(frame)
        sheets.append(sheet)
    milliseconds = [round(1000 * seconds)] * len(sheets)
    milliseconds[-1] *= _LAST
    out = io.BytesIO()
    first, *others = sheets
    encoding = {"quality": 85, "method": 4} if format == "webp" else {"optimize": True}
    first.save(out, format, save_all=True, append_images=others, duration=milliseconds, loop=0, **encoding)
    return out.getvalue()


def _frames(drawings: list[StepDrawing]) -> Iterator[Any]:
    from PIL import Image

    for each in drawings:
        frame = Image.open(io.BytesIO(draw(each.drawing, "png", dpi=_DPI))).convert("RGB")
        frame.thumbnail((_MOST_PIXELS, _MOST_PIXELS))
        yield frame
