"""Names may hold anything; they are text, always."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings

from gromo_graph.render import render
from gromo_graph.render.drawing.text import clean
from gromo_graph.spec import Spec
from gromo_graph.spec.kinds import Input, Linear, Merge
from tests.render.samples import NS, Picture
from tests.spec.strategies import specs

NAMES = [
    *(
        "<script>alert(1)</script>",
        "]]>",
        "<![CDATA[",
        "<!--",
        "--",
        "-->",
        "&",
        "&amp;",
        "&lt;",
        "&#65;",
        "&nbsp;",
    ),
    *(
        '"',
        "'",
        '"]; n0 -> n0 [',
        "a:b",
        "a:n:e",
        "a b",
        "node",
        "graph",
        "strict",
        "{a|b}",
        "<b>x</b>",
        "<>",
        "< >",
    ),
    *(
        "\\",
        "\\\\",
        "\\N",
        "\\G",
        "\\n",
        "\\E\\T\\H",
        "c:\\new",
        "%s",
        "{{ name }}",
        "n0",
        "e0",
        "0",
        "-1.5",
        "#fff",
    ),
    *(
        "שלום",
        "مرحبا 12",
        "日本語",
        "e\u0301",
        "😀",
        "👩‍👩‍👧",
        "\u200b",
        "\u202e",
        "\u2068",
        "\ufeff",
        "\u00ad",
    ),
]


def spec_named(name: str) -> Spec:
    nodes = {
        "x": Input(kind="input", shape=(2,)),
        name: Linear(sources=("x",), features=2),
        "m": Merge(sources=("x", name)),
        "end": Linear(sources=("m",), features=2),
    }
    return Spec(name, nodes, ("end", name), named_outputs=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is(name: str) -> None:
    picture = Picture(render(spec_named(name)))
    texts = picture.parts[name][0].texts
    assert name in texts or name.strip() in texts
    assert picture.parts[name][0].tooltip.startswith(f"{name}: linear")
    assert picture.root[0].text == name, "the title of the picture"
    assert len(picture.parts) == 4 + 4 + 2
    assert {element.tag for element in picture.root.iter()} <= {
        f"{NS}{tag}"
        for tag in ("svg", "title", "desc", "g", "path", "polygon", "ellipse", "polyline", "text")
    }


@pytest.mark.parametrize("name", ["\x00", "a\x1bb", "a\nb", "\ud800", "\ufffe", "\u2028", "\x85"])
def test_what_xml_cannot_carry_is_replaced(name: str) -> None:
    assert "\ufffd" in "".join(Picture(render(spec_named(name))).texts)


def test_a_long_name_is_shortened_and_whole_in_the_tooltip() -> None:
    name = "encoder.block.12.attention." * 40
    picture = Picture(render(spec_named(name)))
    shown = picture.parts[name][0]
    assert "…" in shown.texts[0]
    assert len(shown.texts[0]) < 60
    assert name in shown.tooltip
    assert float(picture.root.attrib["viewBox"].split()[2]) < 2000


def test_merges_with_odd_names() -> None:
    nodes = {"x": Input(kind="input", shape=(2,)), '"<&>\\N': Merge(sources=("x",), activation="relu")}
    picture = Picture(render(Spec("s", nodes, ('"<&>\\N',))))
    assert '"<&>\\N · relu' in picture.texts


@settings(max_examples=25)
@given(specs())
def test_any_graph_with_any_names_is_well_formed_and_complete(spec: Spec) -> None:
    root = ElementTree.fromstring(render(spec))
    named = {g.attrib["id"]: g.attrib["data-name"] for g in root.iter(f"{NS}g") if g.get("id")}
    expected = {f"n{index}": clean(name) for index, name in enumerate(spec.nodes)}
    assert expected.items() <= named.items()
    edges = sum(len(node.sources) for node in spec.nodes.values())
    assert len(named) == len(spec.nodes) + edges + 2 * len(spec.outputs)
