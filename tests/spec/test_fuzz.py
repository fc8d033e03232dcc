"""Whatever is read, there is a spec or a SpecError, and soon. `make fuzz` of one's own: raise max_examples."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gromo_graph import Spec, SpecError, dump_spec, parse_spec
from gromo_graph.errors import Problem

EXAMPLES = int(os.environ.get("GROMO_GRAPH_FUZZ", "50"))
FUZZ = settings(max_examples=EXAMPLES)
GALLERY = [path.read_text() for path in sorted(Path("specs").glob("*.yaml"))]
WRONG = [path.read_text() for path in sorted((Path(__file__).parent / "wrong").glob("*.yaml"))]
WORDS = [
    *("nodes", "version", "name", "vars", "output", "outputs", "growth", "train", "kind", "from", "features"),
    *("linear", "input", "merge", "dropout", "flatten", "shape", "grow", "max", "x", "y", "${x}", "${", "}"),
    *(
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        '"',
        "'",
        "&a ",
        "*a",
        "!t ",
        "? ",
        "#",
    ),
    *(
        "1",
        "0",
        "-1",
        "4.0",
        ".nan",
        ".inf",
        "true",
        "~",
        "|\n",
        ">\n",
        "%TAG",
        "---",
        "...",
        "\t",
        "\0",
        "😀",
    ),
]


def survives(text: str, overrides: list[str] | None = None) -> None:
    problems: tuple[Problem, ...] = ()
    spec: Spec | None = None
    try:
        spec = parse_spec(text, overrides=overrides or ())
    except SpecError as error:
        problems = error.problems
    if spec is None:
        assert problems
        assert all(problem.message and "\n" not in str(problem) for problem in problems)
    else:
        assert parse_spec(dump_spec(spec)) == spec


@FUZZ
@given(st.text(st.characters(), max_size=200))
def test_any_text(text: str) -> None:
    survives(text)


@FUZZ
@given(st.lists(st.sampled_from(WORDS), max_size=60).map("".join))
def test_words_of_the_language_in_any_order(text: str) -> None:
    survives(text)


@FUZZ
@given(st.sampled_from([*GALLERY, *WRONG]), st.integers(0), st.integers(0, 12), st.sampled_from(WORDS))
def test_a_document_with_a_part_replaced(text: str, place: int, length: int, word: str) -> None:
    place %= len(text)
    survives(text[:place] + word + text[place + length :])


VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(WORDS), st.text(max_size=5)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=3)
    ),
    max_leaves=6,
)


def flow(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, default=str)


@FUZZ
@given(st.data())
def test_a_sound_document_with_any_value_anywhere(data: st.DataObject) -> None:
    text = GALLERY[data.draw(st.integers(0, len(GALLERY) - 1))]
    paths = [
        *("version", "name", "nodes", "output", "growth", "train", "growth.stop", "growth.when.until"),
        *(
            "growth.actions",
            "train.data",
            "train.optimizer",
            "nodes.pixels",
            "nodes.pixels.shape",
            "nodes.logits",
        ),
        *("nodes.logits.from", "nodes.logits.features", "nodes.logits.grow", "nodes.logits.activation"),
    ]
    path = data.draw(st.sampled_from(paths))
    survives(text, [f"{path}={flow(data.draw(VALUES))}"])


@FUZZ
@given(st.text(st.sampled_from("wx+-*/() .0129_$é{}"), max_size=40))
def test_any_arithmetic(expression: str) -> None:
    quoted = expression.replace("\\", "").replace('"', "")
    survives(GALLERY[1].replace('"${width}"', f'"${{{quoted}}}"', 1))


@FUZZ
@given(st.text(max_size=30), st.text(max_size=10))
def test_any_override(path: str, value: str) -> None:
    survives(GALLERY[0], [f"{path}={value}"])


@pytest.mark.parametrize("text", GALLERY)
def test_every_beginning_of_a_document(text: str) -> None:
    for end in range(0, len(text), 7):
        survives(text[:end])
