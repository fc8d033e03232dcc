"""Themes, fills, collapsed blocks, ghosts: what a drawing may be asked to options like."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from gromo_graph import GromoGraphError, RenderError, diff, parse_spec
from gromo_graph.graph import build_graph
from gromo_graph.records import Candidate, Decision
from gromo_graph.render import render
from gromo_graph.render.drawing import fills, style
from gromo_graph.render.drawing.collapse import block_names
from gromo_graph.render.drawing.dot import Drawing, to_dot
from gromo_graph.render.drawing.options import DrawingOptions
from gromo_graph.render.drawing.theme import DARK, themed
from tests.render.samples import NS, RESIDUAL, WIDENED, Picture

BLOCKS = parse_spec("""
name: blocks
blocks:
  residual:
    params: {width: 4}
    inputs: [x]
    nodes:
      lift: {kind: linear, from: x, features: "${2 * width}", activation: relu}
      mix:  {kind: linear, from: lift, features: "${width}"}
      add:  {kind: merge, from: [x, mix]}
    output: add
nodes:
  x: {kind: input, shape: [8]}
  stem: {kind: linear, from: x, features: 4}
  body: {use: residual, from: stem, repeat: 3}
  y: {kind: linear, from: body, features: 3}
output: y
""")


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


FILLS = [style.PAPER, style.DATA_FILL, style.OPERATION_FILL, style.GROWN_FILL]
KIND_FILLS = [each.fill for each in (*fills._KINDS.values(), *fills._SLOPES)]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_on_every_fill(theme: str) -> None:
    def seen(colour: str) -> str:
        return DARK[colour] if theme == "dark" else colour

    for fill in FILLS:
        for ink in (style.INK, style.QUIET, style.LAYER_WORD, style.GROWN):
            assert contrast(seen(ink), seen(fill)) >= 4.5, (ink, fill)
    for fill in KIND_FILLS:
        assert contrast(seen(style.INK), seen(fill)) >= 5, fill
    for ink in (style.INK, style.QUIET, style.LAYER_WORD, style.REMOVED):
        assert contrast(seen(ink), seen(style.REMOVED_FILL)) >= 4.5, ink
    for line in (style.GROWN, style.REMOVED, style.GROWABLE_LINE):
        assert contrast(seen(line), seen(style.PAPER)) >= 3, line


def test_slopes_get_darker_and_survive_a_grey_print() -> None:
    for one, two in pairwise(fills._SLOPES):
        assert luminance(one.fill) > luminance(two.fill) + 0.04
        assert luminance(one.line) > luminance(two.line) + 0.03


def test_every_colour_of_a_drawing_has_a_dark_partner() -> None:
    light, dark = (render(RESIDUAL, event=WIDENED, theme=theme, colour="kind") for theme in ("light", "dark"))  # type: ignore[call-overload]
    found = set(re.findall(r"#[0-9a-f]{6}", light))
    assert found <= set(DARK)
    assert not found & set(re.findall(r"#[0-9a-f]{6}", dark))
    assert len(set(DARK.values())) == len(DARK)
    assert Picture(dark).texts == Picture(light).texts


def test_the_words_of_a_user_keep_their_colours() -> None:
    name = 'COLOR="#ffffff" color="#1b2430"'
    spec = replace(RESIDUAL, name=name)
    assert name in Picture(render(spec, theme="dark")).texts
    assert themed('a [label="" color="#ffffff"]', "dark") == f'a [label="" color="{DARK["#ffffff"]}"]'


def test_boxes_are_filled_by_their_kind_with_a_legend() -> None:
    spec = parse_spec("""
nodes:
  x: {kind: input, shape: [1, 6, 6]}
  c: {kind: conv2d, from: x, features: 2, kernel: 3}
  n: {kind: batch_norm, from: c, activation: relu}
  p: {kind: max_pool2d, from: n, kernel: 2}
  f: {kind: flatten, from: p}
  y: {kind: linear, from: f, features: 3}
output: y
""")
    picture = Picture(render(spec, colour="kind"))
    assert set(fills._KINDS) <= {text.strip() for text in picture.texts}
    dot = to_dot(build_graph(spec), options=DrawingOptions(colour="kind")).dot
    for fill in fills._KINDS.values():
        assert f'fillcolor="{fill.fill}"' in dot


def test_boxes_are_filled_by_slope_and_say_it() -> None:
    picture = Picture(render(RESIDUAL, event=WIDENED, colour="slope"))
    slopes = {c.target: c.slope for c in WIDENED.candidates if c.kind == "widen" and c.slope is not None}
    assert slopes
    told = [text for text in picture.texts if text.startswith("slope ") and "0" in text]
    assert len(told) >= len(slopes)
    boxes = [shape.get("fill") for shape in picture.root.iter(f"{NS}polygon")]
    assert [fill for fill in boxes if fill in {each.fill for each in fills._SLOPES}] == [
        each.fill for each in fills._SLOPES
    ], "the legend has the fills of the boxes, from none to the steepest"
    assert "no slopes are known of this step" in Picture(render(RESIDUAL, colour="slope")).texts


def test_the_steeper_the_darker() -> None:
    candidates = (Candidate("widen", "stem", slope=0.8), Candidate("widen", "lift", slope=0.1))
    dot = to_dot(
        build_graph(RESIDUAL), replace(WIDENED, candidates=candidates), options=DrawingOptions(colour="slope")
    ).dot
    found = {
        name: fill
        for name in ("stem", "lift")
        for line in dot.splitlines()
        for fill in fills._SLOPES
        if f">{name}<" in line and f'fillcolor="{fill.fill}"' in line
    }
    assert found["stem"] == fills._SLOPES[-1]
    assert luminance(found["lift"].fill) > luminance(found["stem"].fill)


def test_what_growth_names_is_no_block() -> None:
    names = [
        "x",
        "lift",
        "lift.linear",
        "lift.extra",
        "x.to.lift",
        "x.to.y",
        "new.1",
        "new.2",
        "a.b.c",
        "a.b.c.linear",
    ]
    assert block_names(names) == []
    assert block_names([*names, "body.1", "body.2", "a.b.d"]) == ["a.b", "body"]


def test_a_block_is_one_box() -> None:
    whole, one = Picture(render(BLOCKS)), Picture(render(BLOCKS, collapsed=["all"]))
    assert "body.2.mix" in whole.parts
    assert "body" in one.parts
    assert not any(name.startswith("body.") and "->" not in name for name in one.parts)
    assert any(text.startswith("9 nodes") for text in one.texts)
    parameters = sum(build_graph(BLOCKS).parameters(name) for name in BLOCKS.nodes if name.startswith("body"))
    assert f"9 nodes · {parameters} parameters" in one.texts
    assert (
        len([name for name in one.parts if "->" in name]) == 4
    )  # x, stem, body and y, and one to the output


def test_blocks_in_blocks_and_single_ones() -> None:
    names = set(Picture(render(BLOCKS, collapsed=["body.2"])).parts)
    assert {"body.2", "body.1.mix", "body.3.mix"} <= names
    assert "body.2.mix" not in names
    assert "body" in Picture(render(BLOCKS, collapsed=["body.2", "body"])).parts
    with pytest.raises(
        RenderError, match=r"no block `bodi`: did you mean `body`\? The blocks are body, body.1"
    ):
        render(BLOCKS, collapsed=["bodi"])
    with pytest.raises(RenderError, match=r"no block `stem`: The blocks are body"):
        render(BLOCKS, collapsed=["stem"])


def test_growth_inside_a_block_is_seen() -> None:
    event = replace(
        WIDENED, decision=Decision("widen", "body.1.lift", 2, ("body.1.lift",), 10, 10), candidates=()
    )
    picture = Picture(render(BLOCKS, event=event, collapsed=["all"]))
    assert "+2 features" in picture.texts


def parts_in(colour: str, drawing: Drawing) -> set[str]:
    """The nodes and edges that are drawn in a colour."""
    lines = [line for line in drawing.dot.splitlines() if f'color="{colour}"' in line]
    ids = [found[1] for line in lines if (found := re.search(r"\bid=(\w+)", line))]
    return {drawing.parts[each].name for each in ids}


def inks_of_heading(drawing: Drawing, words: str) -> set[str]:
    return set(re.findall(rf'COLOR="(#[0-9a-f]+)">(?:<B>)?{re.escape(words)}', drawing.dot))


@pytest.mark.parametrize(
    ("kind", "words", "ink", "other", "look"),
    [
        ("widen", "stem, mix: +2 features", style.GROWN, style.REMOVED, "grown"),
        ("prune", "stem, mix: −2 features", style.REMOVED, style.GROWN, "narrower"),
    ],
)
def test_a_step_is_drawn_in_the_colour_of_what_it_did(
    kind: str, words: str, ink: str, other: str, look: str
) -> None:
    event = replace(WIDENED, decision=Decision(kind, "stem", 2, ("stem", "mix"), 10, 10), candidates=())
    drawing = to_dot(build_graph(RESIDUAL), event)
    assert inks_of_heading(drawing, words) == {ink}
    edges = {"stem->lift", "stem->join", "mix->join", "join->logits"}
    assert parts_in(ink, drawing) == {"stem", "mix", "join", *edges}
    assert parts_in(other, drawing) == set()
    picture = Picture(render(RESIDUAL, event=event))
    assert {name for name, (part, *_) in picture.parts.items() if look in part.classes} == parts_in(
        ink, drawing
    )


def test_a_block_that_lost_features_is_drawn_so() -> None:
    nodes = ("body.1.lift",)
    event = replace(WIDENED, decision=Decision("prune", nodes[0], 2, nodes, -10, -10), candidates=())
    drawing = to_dot(build_graph(BLOCKS), event, options=DrawingOptions(collapsed=("all",)))
    assert parts_in(style.REMOVED, drawing) == {"body"}
    assert inks_of_heading(drawing, "−2 features") == {style.REMOVED}


def test_what_was_taken_out_is_dashed() -> None:
    event = replace(WIDENED, decision=Decision("prune", "lift", 2, ("lift",), -10, -10), candidates=())
    dot = to_dot(build_graph(RESIDUAL), event).dot
    (line,) = [each for each in dot.splitlines() if "−2 features" in each and style.REMOVED_FILL in each]
    assert "dashed" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"theme": "blue"}, "theme 'blue': expected one of light, dark"),
        ({"colour": "size"}, "colour 'size': expected one of role, kind, slope"),
        ({"format": "mermaid", "theme": "dark"}, "Mermaid text has no theme"),
        ({"format": "gif"}, "a gif is no text"),
    ],
)
def test_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(GromoGraphError, match=message):
        render(RESIDUAL, **options)  # type: ignore[call-overload]


def test_differences_have_themes_and_kinds(tmp_path: Path) -> None:
    found = diff(RESIDUAL, BLOCKS)
    picture = Picture(render(found, theme="dark", colour="kind"))
    assert "linear" in {text.strip() for text in picture.texts}
    assert DARK[fills._KINDS["linear"].fill] in {
        shape.get("fill") for shape in picture.root.iter(f"{NS}polygon")
    }
    for options in ({"colour": "slope"}, {"collapsed": ["all"]}):
        with pytest.raises(RenderError, match="a difference"):
            render(found, **options)  # type: ignore[call-overload]
