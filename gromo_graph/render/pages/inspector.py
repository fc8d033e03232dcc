"""The inspector: a page that shows a run step by step, made from its journal alone.

The data are in the page as JSON, in which no character can end the element that holds them; the script inserts them
as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from gromo_graph.records.journal import Journal
from gromo_graph.render.pages.inspection import Inspection
from gromo_graph.render.pages.page import page_html, page_script, policy_of

_UNSAFE = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def inspector_html(journal: Journal, *, results: Mapping[str, Any] | None = None) -> str:
    """The page, complete in itself.

    Args:
        journal: of the run; the run may still go on, or have been cut off.
        results: the content of the run's `summary.json`, once it is over.

    Raises:
        SpecError: a spec in the journal is invalid (the journal is of a later version).
        RenderError: a drawing could not be made.
    """
    return page_of(Inspection().data(journal, results), live=False)


def page_of(data: Mapping[str, Any], *, live: bool) -> str:
    """The page with these data (`Inspection.data`); a live page asks for `news` at its own address."""
    return page_html(
        "inspector.html.j2",
        policy=policy(live=live),
        name=data["name"],
        data=Markup(escaped_json({**data, "live": live})),
        script=Markup(page_script()),
    )


def policy(*, live: bool) -> str:
    """The content security policy of the page."""
    return policy_of(script=True, live=live)


def escaped_json(value: Any) -> str:
    """JSON that can stand in a script element, whatever the texts in it.

    >>> escaped_json({"name": "</script>"})
    '{"name":"\\\\u003c/script\\\\u003e"}'
    """
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).translate(_UNSAFE)
