"""The held-out measures of runs against the size of their networks, as an SVG file that stands by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gromo_graph.records.sizes import Size
from gromo_graph.render.curves import size_plots_of
from gromo_graph.render.drawing.text import xml_text
from gromo_graph.render.pages.svg_plot import HEIGHT, WIDTH, svg_plot

_LEGEND = "full circle: trained to the end; open circle: when the network grew on"
_COLUMNS, _TITLE, _MARGIN = 2, 26, 12
# Dark pages show a file by its own rules, not by those of the page around it.
_STYLE = """
.sheet { fill: #ffffff; } text { font: 11px system-ui, sans-serif; fill: #5a6472; }
.title, .name { font-weight: bold; fill: #1b2430; } .grid { stroke: #d5dae1; }
.curve { stroke: #b04a00; } .curve path { fill: none; stroke-width: 2; stroke-linejoin: round; }
.curve circle { fill: #b04a00; stroke-width: 1.5; } .curve .open { fill: #ffffff; }
.curve:nth-of-type(3n+2) path { stroke-dasharray: 6 3; } .curve:nth-of-type(3n+3) path { stroke-dasharray: 2 3; }
@media (prefers-color-scheme: dark) {
.sheet { fill: #1b2129; } text { fill: #a7b1bd; } .title, .name { fill: #e8ecf1; } .grid { stroke: #38424d; }
.curve { stroke: #f2a35e; } .curve circle { fill: #f2a35e; } .curve .open { fill: #1b2129; }
}
"""


def size_curve_svg(sizes: Mapping[str, Sequence[Size]]) -> str:
    """Loss and accuracy against parameters and multiply-adds, one plot each.

    A full circle is a network that was trained to the end, an open one a network that grew on.

    Args:
        sizes: of one run or several, by their names.
    """
    body = []
    plots = size_plots_of(sizes)
    for number, plot in enumerate(plots):
        row, column = divmod(number, _COLUMNS)
        left, top = _MARGIN + column * WIDTH, _MARGIN + row * (_TITLE + HEIGHT)
        body.append(
            f'<text class="title" x="{left + _MARGIN}" y="{top + _TITLE - 10}">{xml_text(plot.words)}</text>'
        )
        body.append(svg_plot(plot, at=(left, top + _TITLE)))
    rows = -(-len(plots) // _COLUMNS)
    foot = _MARGIN + rows * (_TITLE + HEIGHT) + _TITLE - 10
    width, height = 2 * _MARGIN + _COLUMNS * WIDTH, foot + _MARGIN
    body.append(f'<text x="{2 * _MARGIN}" y="{foot}">{_LEGEND}</text>')
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">',
            f"<title>{xml_text(', '.join(sizes))}: held-out measures against the size of the network</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="sheet" width="{width}" height="{height}"/>',
            *body,
            "</svg>",
            "",
        ]
    )
