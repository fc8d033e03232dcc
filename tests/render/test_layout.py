"""The layout of a drawing: a straight trunk, frames around blocks, and large networks that stay legible."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gromo_graph import RenderError, load_spec, parse_spec
from gromo_graph.cli import app
from gromo_graph.graph import AddPath, build_graph
from gromo_graph.records import read_journal
from gromo_graph.render import render
from gromo_graph.render.drawing.dot import to_dot
from gromo_graph.render.drawing.node_words import kind_words
from gromo_graph.render.drawing.options import DrawingOptions
from gromo_graph.render.drawing.trunk import trunk_of
from gromo_graph.render.placing.step_drawings import drawings_of_steps
from gromo_graph.spec import Spec, dump_spec
from gromo_graph.spec.kinds import Input, Linear, Merge, Node
from tests.render.samples import NS, RESIDUAL, Picture, write_journal
from tests.render.test_looks import BLOCKS
from tests.render.test_step_drawings import box, centre

SPECS = Path(__file__).resolve().parents[2] / "specs"


def repeated(blocks: int) -> Spec:
    """A residual network of three nodes a block."""
    nodes: dict[str, Node] = {"x": Input(kind="input", shape=(4,))}
    last = "x"
    for block in range(1, blocks + 1):
        lift, mix, join = (f"body.{block}.{part}" for part in ("lift", "mix", "join"))
        nodes[lift] = Linear(sources=(last,), features=6, activation="relu")
        nodes[mix] = Linear(sources=(lift,), features=4)
        nodes[join] = Merge(sources=(last, mix))
        last = join
    nodes["y"] = Linear(sources=(last,), features=3)
    return Spec("repeated", nodes, ("y",))


def frames(picture: Picture) -> dict[str, tuple[float, float, float, float]]:
    """The boxes of frames by their titles."""
    found = {}
    for element in picture.root.iter(f"{NS}g"):
        if element.get("class") == "cluster":
            found["".join(text.text or "" for text in element.iter(f"{NS}text"))] = box(element)
    return found


@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize("spec", [RESIDUAL, BLOCKS, repeated(12)], ids=["residual", "blocks", "deep"])
def test_the_trunk_is_straight_and_what_skips_it_bows(spec: Spec, direction: str) -> None:
    picture = Picture(render(spec, direction=direction))  # type: ignore[call-overload]
    across = 1 if direction == "right" else 0
    places = [centre(picture[name].element)[across] for name in spec.nodes]
    assert max(places) - min(places) < 1, "every node of these networks is on the longest path"
    skips = [
        name
        for name in picture.parts
        if re.search(r"stem->join|stem->body.1.add|body.3.join->body.4.join", name)
    ]
    for name in skips:
        path = picture[name].element.find(f"{NS}path")
        assert path is not None
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", path.attrib["d"])]
        assert max(abs(number - places[0]) for number in numbers[across::2]) > 25, name
    assert skips


@pytest.mark.parametrize("name", ["digits_encoder", "digits_unet", "digits_residual_cnn"])
def test_the_longest_path_of_other_networks_is_straight_too(name: str) -> None:
    graph = build_graph(load_spec(SPECS / f"{name}.yaml"))
    picture = Picture(render(graph, direction="down"))
    places = [centre(picture[node].element)[0] for node in trunk_of(graph).nodes]
    assert max(places) - min(places) < 1


def test_blocks_are_framed_with_their_name_and_number() -> None:
    picture = Picture(render(BLOCKS))
    found = frames(picture)
    assert set(found) == {"body ×3", "body.1", "body.2", "body.3"}
    outer = found["body ×3"]
    for name in BLOCKS.nodes:
        x, y = centre(picture[name].element)
        inside = [
            title
            for title, (left, top, right, bottom) in found.items()
            if left < x < right and top < y < bottom
        ]
        assert inside == (["body ×3", name[:6]] if name.startswith("body") else [])
    for title, (left, top, right, bottom) in found.items():
        assert outer[0] <= left <= right <= outer[2], title
        assert outer[1] <= top <= bottom <= outer[3], title
    assert picture["body.2.mix"].texts[0] == "mix", "the frame says the rest of the name"
    collapsed = Picture(render(BLOCKS, collapsed=["all"]))
    assert collapsed["body"].texts[:2] == ("body", "×3")


def test_frames_keep_their_places_from_step_to_step(tmp_path: Path) -> None:
    layer = Linear(sources=("stem",), features=4)
    edge = AddPath("stem", "body.2.add", (("stem.to.body.2.add", layer),))
    write_journal(tmp_path / "journal.jsonl", BLOCKS, groups=(("body.1.lift",), edge))
    first, *others = (frames(Picture(step.svg())) for step in drawings_of_steps(read_journal(tmp_path)))
    assert len(first) == 4
    assert others == [first, first]


def test_kernel_and_stride_are_said_together_and_shapes_once() -> None:
    spec = parse_spec("""
nodes:
  x: {kind: input, shape: [3, 9, 9]}
  a: {kind: conv2d, from: x, features: 8, kernel: 3, stride: 2, dilation: 2, activation: relu}
  b: {kind: max_pool2d, from: a, kernel: 2, stride: 1}
  c: {kind: flatten, from: b}
  y: {kind: linear, from: c, features: 2}
output: y
""")
    picture = Picture(render(spec))
    assert picture["a"].texts[-2:] == ("conv2d", "3 → 8 · 3×3, stride 2, dilation 2 · relu")
    assert picture["b"].texts == ("b", "max_pool2d", "2×2, stride 1")
    assert picture["c"].texts[-1] == "8×2×2 → 32"
    assert picture.texts.count("8×3×3") == 1
    assert kind_words(build_graph(spec), "a", whole=True) == "8×3×3 · 3×3, stride 2, dilation 2 · relu"


def test_a_large_network_has_its_blocks_collapsed_with_a_note() -> None:
    spec = repeated(40)
    picture = Picture(render(spec))
    boxes = {name for name in picture.parts if "->" not in name}
    assert boxes == {"x", "y", *(f"body.{block}" for block in range(1, 41))}
    assert "each block is one box: --collapse none draws all 122 nodes" in picture.texts
    assert {name for name in Picture(render(repeated(200))).parts if "->" not in name} == {"x", "y", "body"}
    whole = Picture(render(spec, collapsed=()))
    assert set(spec.nodes) <= set(whole.parts)
    assert not any("--collapse" in text for text in (*whole.texts, *Picture(render(BLOCKS)).texts))


def test_a_large_network_without_blocks_has_its_sizes_in_its_boxes() -> None:
    spec = repeated(40)
    picture = Picture(render(spec, collapsed=()))
    assert picture["x->body.1.lift"].texts == ()
    assert picture["body.1.lift"].texts[-1] == "6 · relu"
    assert picture["body.1.join"].texts == ("+", "join", "4")
    assert Picture(render(repeated(20)))["x->body.1.lift"].texts == ("4",)


def test_the_size_of_the_last_step_decides_for_all(tmp_path: Path) -> None:
    spec = repeated(33)
    assert len(spec.nodes) == 101
    write_journal(tmp_path / "journal.jsonl", spec, groups=(("body.1.lift",),))
    drawings = drawings_of_steps(read_journal(tmp_path))
    assert {tuple(sorted(part.name for part in step.drawing.parts.values())) for step in drawings} == {
        tuple(sorted(part.name for part in to_dot(build_graph(spec)).parts.values()))
    }


def test_a_compact_drawing_has_rows() -> None:
    spec = repeated(12)
    picture = Picture(render(spec, compact=True))
    _, _, width, height = (float(number) for number in picture.root.attrib["viewBox"].split())
    assert 0.8 < width / height < 3.5
    boxes = {name: box(picture[name].element) for name in spec.nodes}
    rows = sorted({round(centre(picture[name].element)[1]) for name in spec.nodes})
    assert len(rows) > 3
    for name, (left, top, right, bottom) in boxes.items():
        for other, (left_, top_, right_, bottom_) in boxes.items():
            apart = right < left_ or right_ < left or bottom < top_ or bottom_ < top
            assert name == other or apart
    assert frames(picture) == {}
    assert picture["body.2.mix"].texts[0] == "body.2.mix"
    # The data still flow to the right in each row, and the next row begins where the last one ended.
    order = sorted(
        spec.nodes, key=lambda name: (rows.index(round(centre(picture[name].element)[1])), boxes[name][0])
    )
    assert order == list(spec.nodes)


def test_edges_between_rows_lead_from_node_to_node() -> None:
    picture = Picture(render(repeated(12), compact=True))
    bent = 0
    for name, (shown, *_) in picture.parts.items():
        source, arrow, target = name.partition("->")
        path = shown.element.find(f"{NS}path")
        if not arrow or not target or path is None:
            continue
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", path.attrib["d"])]
        bent += len(numbers) > 40
        for (x, y), end in ((numbers[:2], source), (numbers[-2:], target)):
            left, top, right, bottom = box(picture[end].element)
            assert left - 12 < x < right + 12, name
            assert top - 12 < y < bottom + 12, name
        others = [box(picture[node].element) for node in repeated(12).nodes if node not in (source, target)]
        for x, y in zip(numbers[::2], numbers[1::2], strict=True):
            assert not any(left < x < right and top < y < bottom for left, top, right, bottom in others), name
    assert bent >= 3, "edges that go on in the next row"


def test_a_short_network_stays_in_its_row_and_steps_have_rows_too(tmp_path: Path) -> None:
    (row,) = {
        round(centre(Picture(render(RESIDUAL, compact=True))[name].element)[1]) for name in RESIDUAL.nodes
    }
    assert row
    write_journal(tmp_path / "journal.jsonl", repeated(12), groups=(("body.1.lift",),))
    options = DrawingOptions(compact=True)
    first, second = (
        Picture(each.svg()) for each in drawings_of_steps(read_journal(tmp_path), options=options)
    )
    assert len({round(centre(first[name].element)[1]) for name in repeated(12).nodes}) > 3
    for name in repeated(12).nodes:
        assert centre(first[name].element) == pytest.approx(centre(second[name].element), abs=0.02)
    with pytest.raises(RenderError, match="a compact drawing runs to the right in rows"):
        render(RESIDUAL, compact=True, direction="down")


def test_the_command_line_asks_for_rows_and_for_every_node(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text(dump_spec(repeated(40)), encoding="utf-8")

    def drawn(*options: str) -> Picture:
        done = CliRunner().invoke(app, ["render", str(tmp_path / "large.yaml"), *options])
        assert done.exit_code == 0, done.output
        return Picture(done.stdout)

    assert "body.7" in drawn().parts
    assert "body.7.mix" in drawn("--collapse", "none").parts
    heights = [float(drawn(*options).root.attrib["viewBox"].split()[3]) for options in ((), ("--compact",))]
    assert heights[1] < heights[0] / 2
