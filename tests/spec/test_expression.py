"""`${...}` and vars."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gromo_graph import SpecError, parse_spec
from gromo_graph.spec.expand.expression import ExpressionError, evaluate
from gromo_graph.spec.expand.interpolation import escape

NODES = "nodes:\n  x: {kind: input, shape: [4]}\n  y: {kind: linear, from: x, features: 2}\noutput: y\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("w", 4),
        ("2 * (w + 1) // 3", 3),
        ("w - 1 - 1", 2),
        ("100 // 7 // 2", 7),
        ("2 + 3 * 4", 14),
        ("-w + 10", 6),
        ("--w", 4),
        ("w * -2", -8),
        ("-7 // 2", -4),
        ("0.5", 0.5),
        ("act", "relu"),
        ("  w\t+1 ", 5),
        ("breite_ä", 3),
    ],
)
def test_values(text: str, value: object) -> None:
    assert evaluate(text, {"w": 4, "act": "relu", "breite_ä": 3}) == value


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "1 +",
            "* 2",
            "(1",
            "1)",
            "1 2",
            "w w",
            "1 / 2",
            "2 ** 3",
            "w.real",
            "w[0]",
            "1 if w else 2",
        ),
        *("1 // 0", "act + 1", "flag * 2", "1e9", "'a'", "a;b"),
        *("9" * 400, "w" * 600, "(" * 40 + "1" + ")" * 40),
    ],
)
def test_what_is_no_expression(text: str) -> None:
    names = {"w": 4, "act": "relu", "flag": True, "real": 1, "if": 1, "else": 1, "e9": 1, "a": 1, "b": 1}
    with pytest.raises(ExpressionError):
        evaluate(text, names)


NUMBERS = st.integers(0, 50)
EXPRESSIONS = st.recursive(
    NUMBERS.map(str),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "//"]), inner).map(" ".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"-({text})"),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS)
def test_arithmetic_is_that_of_python(text: str) -> None:
    try:
        expected = eval(text)  # noqa: S307 - the text is made of digits and signs, right here
    except ZeroDivisionError:
        with pytest.raises(ExpressionError):
            evaluate(text, {})
        return
    if abs(expected) <= 10**12:
        try:
            assert evaluate(text, {}) == expected
        except ExpressionError as error:
            assert "beyond" in str(error)  # noqa: PT017 - a number on the way was too large


def test_vars_may_use_vars_in_any_order() -> None:
    spec = parse_spec(
        'vars: {b: "${a * 2}", a: 3, act: relu}\n' + NODES.replace("2}", '"${b}", activation: "${act}"}')
    )
    node = spec.nodes["y"]
    assert (node.features, node.activation) == (6, "relu")  # type: ignore[attr-defined]


def test_inside_text_a_value_is_substituted() -> None:
    spec = parse_spec('vars: {n: 3}\nname: "net_${n}_${n + 1}, $5, $${n}, $$${n}, }"\n' + NODES)
    assert spec.name == "net_3_4, $5, ${n}, $${n}, }"


def test_keys_are_left_as_they_are() -> None:
    spec = parse_spec(NODES.replace("  y:", '  "${y}":').replace("output: y", 'output: "$${y}"'))
    assert spec.outputs == ("${y}",)


@given(st.text("$ {}a", max_size=12))
def test_escaped_text_expands_to_itself(text: str) -> None:
    escaped = escape(f"n{text}").replace('"', '\\"')
    assert parse_spec(f'name: "{escaped}"\n' + NODES).name == f"n{text}"


def test_a_wrong_var_is_told_once() -> None:
    text = 'vars: {a: "${1 // 0}", b: "${a + 1}"}\n' + NODES.replace("features: 2", 'features: "${b}"')
    with pytest.raises(SpecError) as caught:
        parse_spec(text)
    assert [problem.path for problem in caught.value.problems] == ["vars.a"]


def test_arithmetic_is_bounded_in_all() -> None:
    many = "".join(f'  a{place}: "${{{"1+" * 200}{place}}}"\n' for place in range(2000))
    with pytest.raises(SpecError, match="vars with"):
        parse_spec(f"vars:\n{many}{NODES}")
