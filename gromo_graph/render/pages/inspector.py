"""The inspector: one page that tells a run, step by step, made from its journal alone.

The page loads nothing: its content security policy allows its own script and style, by hash, and no more. Its data
stand in it as JSON, in which no character can end the element that holds them; the script puts them in as text.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from gromo_graph.records.journal import Journal
from gromo_graph.render.pages.inspection import Inspection

_FOLDER = Path(__file__).parent / "templates" / "inspector"
_SCRIPTS = ("data", "difference", "drawing", "map", "plots", "panels", "habits", "live", "page")
_UNSAFE = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def inspector_html(journal: Journal, *, results: Mapping[str, Any] | None = None) -> str:
    """The page, complete in itself.

    Args:
        journal: of the run, also of one that goes on or was cut off.
        results: what is in the run's `summary.json`, once it is over.

    Raises:
        SpecError: a spec in the journal is none (the journal is of a later version).
        RenderError: a drawing could not be made.
    """
    return page_of(Inspection().data(journal, results), live=False)


def page_of(data: Mapping[str, Any], *, live: bool) -> str:
    """The page with these data (`Inspection.data`); live: it asks for `news` at the place it came from."""
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            name=data["name"],
            data=Markup(escaped_json({**data, "live": live})),
            style=Markup(_style()),
            script=Markup(_script()),
            policy=policy(live=live),
        )
    )


def policy(*, live: bool) -> str:
    """The content security policy of the page."""
    connect = "connect-src 'self'; " if live else ""
    return (
        f"default-src 'none'; script-src 'sha256-{_digest(_script())}'; style-src 'sha256-{_digest(_style())}'; "
        f"img-src data:; {connect}base-uri 'none'; form-action 'none'"
    )


def escaped_json(value: Any) -> str:
    """JSON that can stand in a script element, whatever the texts in it.

    >>> escaped_json({"name": "</script>"})
    '{"name":"\\\\u003c/script\\\\u003e"}'
    """
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).translate(_UNSAFE)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _style() -> str:
    return (_FOLDER / "page.css").read_text(encoding="utf-8")


@cache
def _script() -> str:
    """All scripts as one: what they name is seen by none but themselves."""
    parts = [(_FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS]
    return '(() => {\n"use strict";\n' + "\n".join(parts) + "\n})();\n"


def _digest(text: str) -> str:
    return b64encode(sha256(text.encode()).digest()).decode()
