"""Fixed places: what two steps have in common is drawn at the same place in both."""

from __future__ import annotations

import re
from itertools import pairwise
from math import dist
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gromo_graph.graph import AddPath
from gromo_graph.records import read_journal
from gromo_graph.render.drawing.graphviz import draw
from gromo_graph.render.placing.step_drawings import StepDrawing, drawings_of_steps
from gromo_graph.spec import Spec
from gromo_graph.spec.kinds import Input, Linear
from tests.render.samples import NS, RESIDUAL, Picture, write_journal

EDGE = AddPath("pixels", "join", (("pixels.to.join", Linear(sources=("pixels",), features=14)),))
# `logits` was a box and becomes the circle of a sum.
NODE = AddPath(
    "join",
    "logits",
    (
        ("new.1", Linear(sources=("join",), features=300, activation="relu")),
        ("new.1.to.logits", Linear(sources=("new.1",), features=10)),
    ),
)
STEPS = (("stem", "mix"), (), EDGE, ("lift",), NODE)

Box = tuple[float, float, float, float]


@pytest.fixture(params=["right", "down"])
def drawings(tmp_path: Path, request: pytest.FixtureRequest) -> list[StepDrawing]:
    write_journal(tmp_path / "journal.jsonl", groups=STEPS)
    return drawings_of_steps(read_journal(tmp_path), request.param)


def box(element: ElementTree.Element) -> Box:
    """Left, top, right and bottom of what is drawn first in a node."""
    if (circle := element.find(f"{NS}ellipse")) is not None:
        x, y, rx, ry = (float(circle.attrib[name]) for name in ("cx", "cy", "rx", "ry"))
        return x - rx, y - ry, x + rx, y + ry
    shape = next(child for child in element if child.tag in (f"{NS}path", f"{NS}polygon"))
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", shape.get("d") or shape.attrib["points"])]
    return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])


def centre(element: ElementTree.Element) -> tuple[float, float]:
    left, top, right, bottom = box(element)
    return (left + right) / 2, (top + bottom) / 2


def nodes(picture: Picture) -> dict[str, ElementTree.Element]:
    """By id, which is the same for a node in every step."""
    shown = [each for parts in picture.parts.values() for each in parts]
    return {each.element.attrib["id"]: each.element for each in shown if "edge" not in each.classes}


def edges(picture: Picture) -> dict[str, ElementTree.Element]:
    shown = [(name, each) for name, parts in picture.parts.items() for each in parts]
    return {name: each.element for name, each in shown if "edge" in each.classes}


def test_there_is_a_drawing_of_each_step_that_was_applied(drawings: list[StepDrawing]) -> None:
    assert [drawing.step for drawing in drawings] == [0, 1, 2, 3, 4]
    assert [drawing.event is None for drawing in drawings] == [True, False, False, False, False]
    for drawing in drawings:
        names = {each for each in Picture(drawing.svg()).parts if "->" not in each}
        assert names == set(drawing.graph.spec.nodes)


def test_common_nodes_keep_their_places(drawings: list[StepDrawing]) -> None:
    pictures = [nodes(Picture(drawing.svg())) for drawing in drawings]
    for before, after in pairwise(pictures):
        common = before.keys() & after.keys()
        assert len(common) >= 7
        for name in common:
            assert before[name].attrib["data-name"] == after[name].attrib["data-name"]
            assert centre(before[name]) == pytest.approx(centre(after[name]), abs=0.02), name


def test_boxes_keep_their_size_and_the_picture_too(drawings: list[StepDrawing]) -> None:
    pictures = [Picture(drawing.svg()) for drawing in drawings]
    assert len({picture.root.attrib["viewBox"] for picture in pictures}) == 1
    sizes = [box(picture["stem"].element) for picture in pictures]
    assert sizes == [pytest.approx(sizes[0], abs=0.02)] * 5
    assert "+4 features" in pictures[1]["stem"].texts


def test_no_two_nodes_of_any_steps_share_a_place(drawings: list[StepDrawing]) -> None:
    found: dict[str, Box] = {}
    for drawing in drawings:
        for name, element in nodes(Picture(drawing.svg())).items():
            one, other = box(element), found.get(name, (9e9, 9e9, -9e9, -9e9))
            found[name] = (*map(min, one[:2], other[:2]), *map(max, one[2:], other[2:]))
    boxes = list(found.values())
    for index, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:index]:
            apart = right < other[0] or other[2] < left or bottom < other[1] or other[3] < top
            assert apart


def test_arrows_end_at_their_nodes(drawings: list[StepDrawing]) -> None:
    """Also where the node has become a circle in the middle of its place, and where a line has become thicker."""
    circles = set()
    for drawing in drawings:
        picture = Picture(drawing.svg())
        for name, element in edges(picture).items():
            target = name.split("->")[1]
            if not target:  # the wire to the box of the output
                continue
            node = picture[target].element
            arrow = element.find(f"{NS}polygon")
            assert arrow is not None
            points = [tuple(map(float, pair.split(","))) for pair in arrow.attrib["points"].split()]
            left, top, right, bottom = box(node)
            gaps = [dist((x, y), (min(max(x, left), right), min(max(y, top), bottom))) for x, y in points]
            if "merge" in picture[target].classes:
                circles.add(target)
                gaps = [dist(point, centre(node)) - (right - left) / 2 for point in points]
            # The outline of a thick arrow goes beyond its points.
            outline = 1.5 * float(arrow.get("stroke-width", "1"))
            assert min(gaps) == pytest.approx(outline, abs=2.5), name
    assert circles == {"join", "logits"}


def test_lines_begin_and_end_as_they_did(drawings: list[StepDrawing]) -> None:
    pictures = [edges(Picture(drawing.svg())) for drawing in drawings]
    ways = [picture["stem->lift"].find(f"{NS}path") for picture in pictures]
    begins = [way.attrib["d"].split("C")[0] for way in ways if way is not None]
    assert len(begins) == 5
    assert len(set(begins)) == 1


def test_other_formats_have_the_places_too(drawings: list[StepDrawing]) -> None:
    from io import BytesIO

    from PIL import Image

    sizes = {Image.open(BytesIO(draw(each.drawing, "png"))).size for each in drawings[:2]}
    assert len(sizes) == 1
    assert b'pos="' in draw(drawings[0].drawing, "dot")


def test_names_stay_text(tmp_path: Path) -> None:
    evil = "a\\N<b>&amp;\"'</text>\\l$^ \u05d0\u05d1"
    spec = Spec(
        evil,
        {
            "x": Input(kind="input", shape=(3,)),
            evil: Linear(sources=("x",), features=3),
            "y": Linear(sources=(evil,), features=2),
        },
        ("y",),
    )
    write_journal(tmp_path / "journal.jsonl", spec, groups=((evil,),))
    for drawing in drawings_of_steps(read_journal(tmp_path)):
        picture = Picture(drawing.svg())
        assert evil in picture[evil].texts
        assert picture.texts[0] == evil


def test_a_run_that_never_grew(tmp_path: Path) -> None:
    write_journal(tmp_path / "journal.jsonl", RESIDUAL, groups=((),))
    (only,) = drawings_of_steps(read_journal(tmp_path))
    assert (only.step, only.event) == (0, None)
    assert set(nodes(Picture(only.svg()))) == {f"n{index}" for index in range(6)} | {"o6"}
