"""Graphviz's SVG made usable anywhere: in a file, a notebook, or beside others in one page.

Removed: the prolog, the document type, comments with Graphviz's version, ids that would clash. Added: a title and a
description for screen readers, the name of each node and edge (`data-name`), and tooltips. Everything is a presentation
attribute: no style, no script, nothing loaded.
"""

from __future__ import annotations

import re

from gromo_graph.render.drawing.dot import Drawing
from gromo_graph.render.drawing.text import xml_text

_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_ROOT = re.compile(r'<svg width="([\d.]+)pt" height="([\d.]+)pt"\s+viewBox="([^"]*)"[^>]*>')
_PART = re.compile(r'<g id="(\w+)" class="([^"]*)">\n<title>.*?</title>')
_GRAPH = re.compile(r'<g id="graph0" class="graph"([^>]*)>\n(?:<title>.*?</title>\n)?')


def polished(svg: str, drawing: Drawing, *, prefix: str = "") -> str:
    """The SVG text; `prefix` stands before every id, so that several drawings can share a page."""
    body = _COMMENT.sub("", svg[svg.index("<svg") :])

    def part(match: re.Match[str]) -> str:
        known = drawing.parts.get(match[1])
        if known is None:
            return f'<g class="{match[2]}">'
        return (
            f'<g id="{prefix}{match[1]}" class="{match[2]}" data-name="{xml_text(known.name)}">\n'
            f"<title>{xml_text(known.tooltip)}</title>"
        )

    head = (
        rf'<svg xmlns="http://www.w3.org/2000/svg" width="\1pt" height="\2pt" viewBox="\3" role="img" '
        f'aria-labelledby="{prefix}title {prefix}description">\n'
    )
    words = (
        f'<title id="{prefix}title">{xml_text(drawing.title)}</title>\n'
        f'<desc id="{prefix}description">{xml_text(drawing.description)}</desc>\n'
    )
    body = _GRAPH.sub(r'<g class="graph"\1>' + "\n", _PART.sub(part, body), count=1)
    root = _ROOT.match(body)
    assert root is not None, "Graphviz writes its SVG in another way now"
    return f"{root.expand(head)}{words}{body[root.end() :].lstrip()}"
