"""Drawings of specs, networks and runs, made from specs and records alone: torch is never imported."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, overload

from gromo_graph.arguments import checked

if TYPE_CHECKING:
    from gromo_graph.records import GrowthEvent
    from gromo_graph.render.drawing.labels import Direction
    from gromo_graph.render.drawing.options import Colour, DrawingOptions, Theme

__all__ = ["render", "render_steps"]


@overload
def render(
    target: Any,
    path: None = None,
    *,
    event: GrowthEvent | None = None,
    format: str | None = None,
    direction: Direction | None = None,
    theme: Theme = "light",
    colour: Colour = "role",
    collapsed: Sequence[str] | None = None,
    compact: bool = False,
    seconds: float = 1.0,
) -> str: ...
@overload
def render(
    target: Any,
    path: str | PathLike[str],
    *,
    event: GrowthEvent | None = None,
    format: str | None = None,
    direction: Direction | None = None,
    theme: Theme = "light",
    colour: Colour = "role",
    collapsed: Sequence[str] | None = None,
    compact: bool = False,
    seconds: float = 1.0,
) -> Path: ...


@checked
def render(
    target: Any,
    path: str | PathLike[str] | None = None,
    *,
    event: GrowthEvent | None = None,
    format: str | None = None,
    direction: Direction | None = None,
    theme: Theme = "light",
    colour: Colour = "role",
    collapsed: Sequence[str] | None = None,
    compact: bool = False,
    seconds: float = 1.0,
) -> str | Path:
    """Draw a network.

    Args:
        target: a spec, a graph, a network, a run, a difference, or the path of a spec file or a run folder. A
            run is drawn as it now stands, with the last growth step that changed it; `"RUN@3"` as it was after step 3.
        path: the file to write; without one the SVG (or DOT) text is returned.
        event: the growth step to highlight.
        format: svg, png, pdf, dot or mermaid; gif or webp for an animation of a run's steps. By default
            that of the name of the file (.mmd: mermaid).
        direction: of the data, "right" or "down"; by default to the right, and down in a graph so deep
            that it would be a ribbon.
        theme: "light" or "dark".
        colour: the meaning of the fill of boxes: "role", "kind", or "slope" of more features in the event.
        collapsed: blocks that are drawn as one box, such as "body" or "body.2"; "all" stands for all. By default
            none, but in a network of more than 100 nodes; an empty sequence draws every node of that too.
        compact: whether a long network is drawn in rows, one below the other.
        seconds: for which each step of an animation is shown.

    Returns:
        The path that was written, or the text.

    Raises:
        RenderError: no such format, options or block, nothing that can be drawn, or the file cannot be written.
        SpecError: the spec file is missing or wrong.

    >>> from gromo_graph.spec import Spec
    >>> from gromo_graph.spec.kinds import Input, Linear
    >>> nodes = {"x": Input(kind="input", shape=(2,)), "y": Linear(features=3, sources=("x",))}
    >>> render(Spec("tiny", nodes, ("y",)))[:4]
    '<svg'
    """
    from gromo_graph.errors import RenderError
    from gromo_graph.render.drawing.graphviz import chosen_format, write
    from gromo_graph.render.drawing.options import DrawingOptions

    file = None if path is None else Path(fspath(path))
    chosen = chosen_format(file, format)
    if file is None and chosen not in ("svg", "dot", "mermaid"):
        raise RenderError(f"a {chosen} is no text: give the path of the file to write")
    options = DrawingOptions(direction, theme, colour, _names(collapsed), compact=compact)
    data = _data(target, event, chosen, options, seconds)
    if file is None:
        return data.decode()
    write(data, file)
    return file


@checked
def render_steps(
    target: Any,
    folder: str | PathLike[str],
    *,
    format: str = "svg",
    direction: Direction | None = None,
    theme: Theme = "light",
    colour: Colour = "role",
    collapsed: Sequence[str] | None = None,
    compact: bool = False,
) -> list[Path]:
    """Draw every growth step of a run, each node in one place: `000.svg` (before any), `001.svg`, ...

    Args:
        target: a run that has a folder, or the path of one.
        folder: of the files; it is made if it does not exist.
        format: svg, png, pdf or dot.
        direction, theme, colour, collapsed, compact: as for `render`.

    Returns:
        The paths that were written.

    Raises:
        RenderError: it is no run, no such format or options, or the files cannot be written.
        RunError: the journal is damaged.
    """
    from gromo_graph.errors import RenderError
    from gromo_graph.render.drawing.graphviz import chosen_format
    from gromo_graph.render.drawing.options import DrawingOptions
    from gromo_graph.render.steps import write_steps

    chosen = chosen_format(None, format)
    if chosen not in ("svg", "png", "pdf", "dot"):
        raise RenderError(
            f"steps are drawn as svg, png, pdf or dot, found {chosen}: name a .{chosen} file to render"
        )
    options = DrawingOptions(direction, theme, colour, _names(collapsed), compact=compact)
    return write_steps(target, Path(fspath(folder)), chosen, options)


def _names(collapsed: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if collapsed is None else tuple(collapsed)


def _data(
    target: Any, event: GrowthEvent | None, chosen: str, options: DrawingOptions, seconds: float
) -> bytes:
    from gromo_graph.errors import RenderError
    from gromo_graph.graph.diff import Difference
    from gromo_graph.render.drawing.dot import Drawing, difference_to_dot, direction_of, to_dot
    from gromo_graph.render.drawing.graphviz import draw
    from gromo_graph.render.drawing.mermaid import to_mermaid
    from gromo_graph.render.placing.step_drawings import at_fixed_places
    from gromo_graph.render.steps import ANIMATIONS, animated
    from gromo_graph.render.target import resolve

    def placed(drawing: Drawing) -> Drawing:
        return at_fixed_places([drawing], compact=True)[0] if options.compact else drawing

    if chosen in ANIMATIONS:
        return animated(target, chosen, options, seconds=seconds)
    if chosen == "mermaid" and (options.theme != "light" or options.collapsed or options.compact):
        raise RenderError(
            "Mermaid text has no theme, collapsed blocks or rows: the page that shows it draws it"
        )
    if isinstance(target, Difference):
        if chosen == "mermaid":
            raise RenderError("a difference is drawn as svg, png, pdf or dot: mermaid has no dashed boxes")
        return draw(placed(difference_to_dot(target, options=options)), chosen)
    graph, shown = resolve(target, event)
    if chosen == "mermaid":
        direction = options.direction or direction_of(graph)
        return to_mermaid(graph, shown, direction=direction, colour=options.colour).encode()
    return draw(placed(to_dot(graph, shown, options=options)), chosen)


class _CallableModule(ModuleType):
    """`gromo_graph.render` is this module and the public function at once.

    Importing a submodule binds it as an attribute of its package, so whoever imports
    `gromo_graph.render.drawing.graphviz` first makes `gromo_graph.render` the module. It can therefore be called.
    """

    def __call__(self, *args: Any, **options: Any) -> Any:
        return render(*args, **options)


sys.modules[__name__].__class__ = _CallableModule
