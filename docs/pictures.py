"""Draw the pictures of the documentation: two growth steps, the gallery, and the road of the data."""

from itertools import pairwise
from pathlib import Path

import graphviz
import pygraphviz

from gromo_graph import grow, parse_spec, render

ROOT = Path(__file__).resolve().parent.parent
# The step to draw of each spec, and where.
STEPS = {"digits_mlp": (5, "growth.svg"), "digits_residual": (3, "residual.svg")}
GALLERY = (
    "digits_mlp",
    "digits_branches",
    "two_inputs",
    "digits_residual_cnn",
    "digits_unet",
    "digits_tokens",
)
# The values on the road of the data with the folder that makes each, a row of the picture in a tuple.
ROAD = (
    (("YAML text", ""), ("Spec", "spec"), ("Graph", "graph"), ("GrowingNetwork", "network")),
    (("statistics", "growth"), ("candidates", "growth"), ("exact slopes", "growth"), ("decision", "growth")),
    (("applied growth", "network"), ("event", "records"), ("journal", "run"), ("drawing", "render")),
)


def road() -> str:
    """The road of the data as SVG: a value in each box, and under it the folder that makes it."""
    dot = graphviz.Digraph(graph_attr={"rankdir": "LR", "bgcolor": "white", "nodesep": "0.35"})
    dot.attr(
        "node",
        shape="box",
        style="rounded,filled",
        fillcolor="#f3f6fa",
        color="#7a8aa0",
        fontname="Helvetica",
    )
    dot.attr("edge", color="#7a8aa0")
    for row in ROAD:
        for value, folder in row:
            dot.node(value, f"{value}\n{folder}/" if folder else value)
        for (value, _), (following, _) in pairwise(row):
            dot.edge(value, following)
    for row, below in pairwise(ROAD):
        dot.edge(row[-1][0], below[0][0], constraint="false")
        dot.edge(row[0][0], below[0][0], style="invis", constraint="false")
    drawn: bytes = pygraphviz.AGraph(dot.source).draw(format="svg", prog="dot")
    return drawn.decode()


def main() -> None:
    """Grow the networks in memory and draw a step of each; the same seed gives the same picture."""
    (ROOT / "docs" / "road.svg").write_text(road())
    for name in GALLERY:
        picture = ROOT / "docs" / "gallery" / f"{name}.svg"
        render(ROOT / "specs" / f"{name}.yaml", picture, direction="right", compact=True)
    for name, (step, grown) in STEPS.items():
        run = grow(ROOT / "specs" / f"{name}.yaml", seed=0)
        event = [event for event in run.events if event.decision is not None][step - 1]
        render(parse_spec(event.spec), ROOT / "docs" / grown, event=event)


if __name__ == "__main__":
    main()
