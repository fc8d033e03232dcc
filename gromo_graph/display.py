"""Specs, networks, runs, plans, events and differences as a notebook and a Python prompt show them.

The one upward call of the library: `render` is imported by name, when a notebook asks for a picture.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Displayed:
    """Mixin: an object that `gromo_graph.render` can draw."""

    def _repr_svg_(self) -> str | None:
        # Somebody who displays an object may be searching for a fault in it: if it cannot be drawn, for whatever
        # reason, the notebook shows its text instead of a traceback from the display machinery.
        try:
            svg: str = import_module("gromo_graph.render").render(self)
        except Exception:
            return None
        return svg

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        text = {"text/plain": repr(self)}
        svg = self._repr_svg_()
        return text if svg is None else {"image/svg+xml": svg, **text}


def printed(value: object, form: str) -> str:
    """The text of a value by a function of `gromo_graph.render.text_tables`, or the plain one of Python if it fails."""
    try:  # as above
        text: str = getattr(import_module("gromo_graph.render.text_tables"), form)(value)
    except Exception:
        return object.__repr__(value)
    return text


class Tabled:
    """Mixin: an object that `gromo_graph.render.notebook` can show."""

    def _repr_html_(self) -> str | None:
        try:  # as above
            html: str = import_module("gromo_graph.render.notebook").html_of(self)
        except Exception:
            return None
        return html
