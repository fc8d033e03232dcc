"""How specs, networks and runs show themselves in a notebook.

The one upward call of the library: `render` is asked for by name, when a notebook wants a picture.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Displayed:
    """Mixin: an object that `gromo_graph.render` can draw."""

    def _repr_svg_(self) -> str:
        svg: str = import_module("gromo_graph.render").render(self)
        return svg

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"image/svg+xml": self._repr_svg_(), "text/plain": repr(self)}
