"""Drawings of specs, networks and runs, made from specs and records alone: torch is never imported."""

from __future__ import annotations

import sys
from os import PathLike, fspath
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from gromo_graph.records import GrowthEvent
    from gromo_graph.render.labels import Direction

__all__ = ["render"]


@overload
def render(
    target: Any,
    path: None = None,
    *,
    event: GrowthEvent | None = None,
    format: str | None = None,
    direction: Direction | None = None,
) -> str: ...
@overload
def render(
    target: Any,
    path: str | PathLike[str],
    *,
    event: GrowthEvent | None = None,
    format: str | None = None,
    direction: Direction | None = None,
) -> Path: ...


def render(
    target: Any,
    path: str | PathLike[str] | None = None,
    *,
    event: GrowthEvent | None = None,
    format: str | None = None,
    direction: Direction | None = None,
) -> str | Path:
    """Draw a network.

    Args:
        target: a spec, a graph, a network, a run, a difference, or the path of a spec file or a run folder. A
            run is drawn as it now stands, with the last growth step that changed it; `"RUN@3"` as it was after step 3.
        path: the file to write; without one the SVG (or DOT) text is returned.
        event: the growth step to highlight.
        format: svg, png, pdf, dot or mermaid; by default what the name of the file says (.mmd: mermaid).
        direction: where the data flow, "right" or "down"; by default to the right, and down in a
            graph so deep that it would be a ribbon.

    Returns:
        The path that was written, or the text.

    Raises:
        RenderError: no such format, nothing that can be drawn, or the file cannot be written.
        SpecError: the spec file is missing or wrong.

    >>> from gromo_graph.spec import Spec
    >>> from gromo_graph.spec.kinds import Input, Linear
    >>> nodes = {"x": Input(kind="input", shape=(2,)), "y": Linear(features=3, sources=("x",))}
    >>> render(Spec("tiny", nodes, ("y",)))[:4]
    '<svg'
    """
    from gromo_graph.errors import RenderError
    from gromo_graph.graph.diff import Difference
    from gromo_graph.render.dot import difference_to_dot, direction_of, to_dot
    from gromo_graph.render.draw import chosen_format, draw, write
    from gromo_graph.render.mermaid import to_mermaid
    from gromo_graph.render.target import resolve

    file = None if path is None else Path(fspath(path))
    chosen = chosen_format(file, format)
    if file is None and chosen in ("png", "pdf"):
        raise RenderError(f"a {chosen} is no text: give the path of the file to write")
    if isinstance(target, Difference):
        if chosen == "mermaid":
            raise RenderError("a difference is drawn as svg, png, pdf or dot: mermaid has no dashed boxes")
        data = draw(difference_to_dot(target, direction=direction), chosen)
    else:
        graph, shown = resolve(target, event)
        if chosen == "mermaid":
            data = to_mermaid(graph, shown, direction=direction or direction_of(graph)).encode()
        else:
            data = draw(to_dot(graph, shown, direction=direction), chosen)
    if file is None:
        return data.decode()
    write(data, file)
    return file


class _CallableModule(ModuleType):
    """`gromo_graph.render` is this module and the public function at once.

    Importing a submodule binds it as an attribute of its package, so whoever imports
    `gromo_graph.render.draw` first makes `gromo_graph.render` the module. It can therefore be called.
    """

    def __call__(self, *args: Any, **options: Any) -> Any:
        return render(*args, **options)


sys.modules[__name__].__class__ = _CallableModule
