"""One frame for the pages of a run: the report, which needs no script, and the inspector.

A page loads nothing: its content security policy allows its own style and script, by hash, and no more. Every text
goes through jinja2's escaping; only style, scripts, data and drawings that are made here are put in unescaped.
"""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from gromo_graph.amounts import plural
from gromo_graph.render import numbers
from gromo_graph.render.highlights import decision_words

_FOLDER = Path(__file__).parent / "templates"
_SCRIPTS = (
    "data",
    "terms",
    "difference",
    "drawing",
    "map",
    "plots",
    "training",
    "sizes",
    "histograms",
    "panels",
    "habits",
    "live",
    "page",
)


def page_html(template: str, *, policy: str, **values: Any) -> str:
    """The page that a template of `templates/` makes of its values."""
    return _environment().get_template(template).render(style=Markup(_style()), policy=policy, **values)


def policy_of(*, script: bool = False, live: bool = False) -> str:
    """The content security policy: of a page with a script, or of one that also asks its own server for news."""
    parts = ["default-src 'none'"]
    if script:
        parts.append(f"script-src 'sha256-{_digest(page_script())}'")
    parts.append(f"style-src 'sha256-{_digest(_style())}'")
    if script:
        parts.append("img-src data:")
    if live:
        parts.append("connect-src 'self'")
    return "; ".join([*parts, "base-uri 'none'", "form-action 'none'"])


@cache
def page_script() -> str:
    """All scripts of the inspector as one function: their names are not visible outside of it."""
    parts = [(_FOLDER / "inspector" / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS]
    return '(() => {\n"use strict";\n' + "\n".join(parts) + "\n})();\n"


@cache
def _style() -> str:
    return (_FOLDER / "page.css").read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": numbers.count,
        "signed": numbers.signed,
        "real": numbers.real,
        "done": decision_words,
    }
    environment.globals |= {
        "change": numbers.change,
        "measure_text": numbers.measure_text,
        "share": numbers.share,
        "rises": numbers.rises,
        "plural": plural,
    }
    return environment


def _digest(text: str) -> str:
    return b64encode(sha256(text.encode()).digest()).decode()
