"""The content of a drawing, read back from the SVG."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gromo_graph.graph import build_graph
from gromo_graph.records import Decision, GrowthEvent
from gromo_graph.render import render
from gromo_graph.render.drawing.dot import to_dot
from gromo_graph.render.highlights import decision_words, highlights_of
from gromo_graph.spec import Spec
from gromo_graph.spec.kinds import Input, Linear, Merge, Node
from gromo_graph.spec.kinds.base import Grow
from tests.render.samples import NOTHING, NS, RANDOM, RESIDUAL, TWO_VIEWS, WIDENED, Picture

THIN = "\u202f"


def chain(layers: int) -> Spec:
    nodes: dict[str, Node] = {"x": Input(kind="input", shape=(8,))}
    for index in range(layers):
        nodes[f"layer{index}"] = Linear(sources=(list(nodes)[-1],), features=index % 5 + 2)
    return Spec("chain", nodes, (list(nodes)[-1],))


def test_every_node_edge_and_output_is_there_once() -> None:
    picture = Picture(render(RESIDUAL))
    assert {name: len(shown) for name, shown in picture.parts.items()} == {
        **dict.fromkeys(["pixels", "stem", "lift", "mix", "join"], 1),
        "logits": 2,  # the layer, and the tag of the output
        **dict.fromkeys(["pixels->stem", "stem->lift", "lift->mix", "stem->join", "mix->join"], 1),
        "join->logits": 1,
        "logits->": 1,
    }


def test_kinds_are_told_apart_by_class_and_form() -> None:
    picture = Picture(render(TWO_VIEWS))
    roles = {name: picture[name].classes - {"growable"} for name in ("image", "flat", "a", "both")}
    assert roles == {
        "image": {"node", "input"},
        "flat": {"node", "operation"},
        "a": {"node", "layer"},
        "both": {"node", "merge"},
    }
    assert "output" in picture.parts["head"][1].classes
    assert picture["image"].element.find(f"{NS}polygon") is not None, "data have corners"
    assert picture["a"].element.find(f"{NS}polygon") is None, "layers are rounded"
    assert picture["both"].element.find(f"{NS}ellipse") is not None, "merges are circles"


def test_a_layer_shows_its_kind_widths_and_activation() -> None:
    assert Picture(render(RESIDUAL))["lift"].texts == ("lift", "↑ max 128", "linear", "10 → 12 · relu")


def test_images_show_their_shape() -> None:
    picture = Picture(render(TWO_VIEWS))
    assert picture["image"].texts == ("image", "input", "3×8×8")
    assert picture["flat"].texts == ("flat", "flatten", "3×8×8 → 192")
    assert picture["image->flat"].texts == ("3×8×8",)
    assert picture["drop"].texts == ("drop", "dropout", "p 0.2")


def test_merges_are_signs_named_on_the_edge_that_leaves_them() -> None:
    assert Picture(render(RESIDUAL))["join"].texts == ("+",)
    assert Picture(render(RESIDUAL))["join->logits"].texts == ("join · relu", "10")
    assert Picture(render(TWO_VIEWS))["both"].texts == ("‖",)


def test_the_name_of_a_merge_stands_on_one_of_its_edges_only() -> None:
    nodes = {
        "x": Input(kind="input", shape=(3,)),
        "sum": Merge(sources=("x",)),
        "a": Linear(sources=("sum",), features=3),
        "b": Linear(sources=("sum",), features=3),
        "end": Merge(sources=("a", "b")),
    }
    assert Picture(render(Spec("s", nodes, ("end",)))).texts.count("sum") == 1


def test_the_output_tag_counts_classes_or_values() -> None:
    assert Picture(render(RESIDUAL)).parts["logits"][1].texts == ("output", "10 classes")
    regression = replace(RESIDUAL, train=RESIDUAL.train.model_copy(update={"loss": "mse"}))
    assert Picture(render(regression)).parts["logits"][1].texts == ("output", "10 values")


def test_named_outputs_are_named() -> None:
    spec = replace(RESIDUAL, outputs=("logits", "lift"), named_outputs=True)
    picture = Picture(render(spec))
    assert picture.parts["lift"][1].texts == ("lift", "output", "12 classes")


def test_only_layers_whose_group_may_grow_are_marked() -> None:
    """The nodes drawn as growable are those that the scheduler would grow, through merges too."""
    picture = Picture(render(TWO_VIEWS))
    assert {name for name, shown in picture.parts.items() if "growable" in shown[0].classes} == {"a"}
    assert "does not grow: `b` says `grow: false`" in picture["b"].tooltip
    residual = Picture(render(RESIDUAL))
    growable = {name for name, shown in residual.parts.items() if "growable" in shown[0].classes}
    assert growable == {"stem", "lift", "mix"}
    assert "may grow" in residual["lift"].tooltip


def test_a_layer_at_its_limit_is_not_marked() -> None:
    nodes = dict(RESIDUAL.nodes) | {"lift": RESIDUAL.nodes["lift"].model_copy(update={"grow": Grow(max=12)})}
    picture = Picture(render(replace(RESIDUAL, nodes=nodes)))
    assert "growable" not in picture["lift"].classes
    assert "does not grow: at its max" in picture["lift"].tooltip


def test_growth_is_highlighted_with_k_and_the_widths_before() -> None:
    picture = Picture(render(RESIDUAL, event=WIDENED))
    assert {name for name, shown in picture.parts.items() if "grown" in shown[0].classes} == {
        *("stem", "mix", "join"),
        *("stem->lift", "stem->join", "mix->join", "join->logits"),
    }
    assert picture["stem"].texts[-1] == "+4 features"
    assert picture["stem->lift"].texts == ("6 → 10",)
    assert picture["lift->mix"].texts == ("12",)
    assert "was 6 before this step" in picture["stem"].tooltip


def test_growth_goes_through_dropout_and_concat() -> None:
    event = replace(WIDENED, decision=Decision("widen", "a", 4, ("a",), 784, 768))
    picture = Picture(render(TWO_VIEWS, event=event))
    assert picture["drop->both"].texts == ("8 → 12",)
    assert picture["both->head"].texts == ("both", "14 → 18")
    assert picture["b->both"].texts == ("6",)


def test_growth_through_a_flatten_is_counted_in_features() -> None:
    nodes = {
        "x": Input(kind="input", shape=(4,)),
        "a": Linear(sources=("x",), features=6),
        "flat": TWO_VIEWS.nodes["flat"].model_copy(update={"sources": ("a",)}),
        "y": Linear(sources=("flat",), features=2),
    }
    change = highlights_of(
        build_graph(Spec("f", nodes, ("y",))),
        replace(WIDENED, decision=Decision("widen", "a", 2, ("a",), 1, 1)),
    )
    assert change.before == {"a": (4,), "flat": (4,)}


def test_the_heading_says_what_was_done_and_what_it_brought() -> None:
    texts = [text.strip() for text in Picture(render(RESIDUAL, event=WIDENED)).texts]
    for expected in (
        *("digits_residual", "step 3 · epoch 4", "stem, mix: +4 features"),
        *("slope", "0.214", "γ", "0.31"),
        *("held-out loss", "0.482 → 0.417", f"−14{THIN}%"),
        *("parameters", "1,022 → 1,490", f"+46{THIN}%"),
    ):
        assert expected in texts


def test_random_neurons_have_no_slope_in_the_heading() -> None:
    texts = [text.strip() for text in Picture(render(RESIDUAL, event=RANDOM, colour="slope")).texts]
    assert {"neurons", "random, not solved", "slope 0.214"} <= set(texts)
    assert not {"γ", "slope", "slope 0"} & set(texts)


def test_a_step_that_applied_nothing_says_so_and_lights_nothing_up() -> None:
    picture = Picture(render(RESIDUAL, event=NOTHING))
    assert "nothing applied: γ came out 0 for <both> groups" in picture.texts
    assert not any("grown" in shown[0].classes for shown in picture.parts.values())


def test_without_an_event_the_heading_tells_the_size() -> None:
    texts = [text.strip() for text in Picture(render(RESIDUAL)).texts]
    graph = build_graph(RESIDUAL)
    assert f"{graph.parameter_count:,}" in texts


def test_numbers_that_are_not_finite_or_missing_are_shown_as_such() -> None:
    event = replace(WIDENED, loss_before=None, loss_after=float("nan"), slope=float("inf"))
    texts = [text.strip() for text in Picture(render(RESIDUAL, event=event)).texts]
    assert "– → nan" in texts
    assert "inf" in texts


def test_an_event_of_another_graph_still_draws() -> None:
    strange = Decision("widen", "gone", 50, ("gone", "stem"), 1, 1)
    picture = Picture(render(RESIDUAL, event=replace(WIDENED, decision=strange)))
    assert "+50 features" in picture["stem"].texts


@pytest.mark.parametrize(
    ("kind", "words"),
    [("new_edge", "new edge a->b"), ("new_node", "new node a->b: 4 features"), ("prune", "b: −4 features")],
)
def test_other_decisions_are_told_in_words(kind: str, words: str) -> None:
    decision = Decision(kind, "a->b", 4, ("b",), 1, 1)
    assert decision_words(decision) == words
    assert any(
        words in text for text in Picture(render(RESIDUAL, event=replace(WIDENED, decision=decision))).texts
    )


def test_many_names_are_counted_not_listed() -> None:
    decision = Decision("widen", "a", 1, tuple("abcdefg"), 1, 1)
    assert decision_words(decision) == "a, b, c, d and 3 more: +1 feature"


def test_a_wider_edge_is_thicker() -> None:
    picture = Picture(render(RESIDUAL))
    width = {}
    for name in ("pixels->stem", "stem->lift"):
        path = picture[name].element.find(f"{NS}path")
        assert path is not None
        width[name] = float(path.attrib["stroke-width"])
    assert width["pixels->stem"] > width["stem->lift"] > 1


def test_data_flow_right_and_down_in_a_deep_graph() -> None:
    def size(spec: Spec, **options: str) -> tuple[float, float]:
        box = [float(number) for number in Picture(render(spec, **options)).root.attrib["viewBox"].split()]  # type: ignore[arg-type]
        return box[2], box[3]

    width, height = size(chain(6))
    assert width > 3 * height
    width, height = size(chain(40))
    assert height > 3 * width
    width, height = size(chain(6), direction="down")
    assert height > width


def test_200_nodes_draw() -> None:
    assert len(Picture(render(chain(199))).parts) == 2 * 200


def test_the_same_input_gives_the_same_bytes() -> None:
    assert render(RESIDUAL, event=WIDENED) == render(RESIDUAL, event=WIDENED)
    assert to_dot(build_graph(TWO_VIEWS)).dot == to_dot(build_graph(TWO_VIEWS)).dot


def test_the_svg_stands_alone() -> None:
    svg = render(RESIDUAL, event=WIDENED)
    assert svg.startswith("<svg ")
    for noise in ("<!--", "<!DOCTYPE", "graphviz", "Graphviz", "style=", "<script", "href", "<style"):
        assert noise not in svg
    assert svg.count("http") == 1, "the namespace alone"


def test_the_svg_is_told_to_those_who_hear_it() -> None:
    picture = Picture(render(RESIDUAL, event=WIDENED))
    assert picture.root.attrib["role"] == "img"
    labels = picture.root.attrib["aria-labelledby"].split()
    said = {element.attrib.get("id"): element.text for element in picture.root}
    assert said[labels[0]] == "digits_residual"
    assert "stem, mix: +4 features; slope 0.214" in (said[labels[1]] or "")
    assert len(picture.ids) == len(set(picture.ids))


def test_an_event_reason_of_any_length_is_shortened() -> None:
    long = GrowthEvent(0, 1, None, "because " * 200, 0.0, None, 1.0, 1.0, 10, 10)
    picture = Picture(render(RESIDUAL, event=long))
    assert max(len(text) for text in picture.texts) < 200
    assert "…" in "".join(picture.texts)
