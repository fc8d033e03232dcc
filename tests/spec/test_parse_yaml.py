"""Reading text and files: scalars of YAML 1.2, positions, limits, and what cannot be read."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from gromo_graph import SpecError, check_spec, load_spec, parse_spec
from gromo_graph.spec.text.parse_yaml import MAX_BYTES, MAX_NODES, parse_document
from gromo_graph.spec.text.scalars import represent, resolve

SOUND = "nodes:\n  x: {kind: input, shape: [4]}\n  y: {kind: linear, from: x, features: 2}\noutput: y\n"


def one(text: str) -> str:
    """The only problem of a text."""
    (problem,) = parse_document(text, "f").problems
    return str(problem)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("off", "off"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0o17", 15),
        ("017", 17),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("+3", 3),
        ("-3", -3),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-1.5e-3", -0.0015),
        ("true", True),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        ("~", None),
        ("Null", None),
        ("", None),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        ("<<", "<<"),
        ("-", "-"),
        ("+", "+"),
        (".", "."),
    ],
)
def test_plain_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)
    if value is not None and text not in "-<<=":
        assert parse_document(f"a: {represent(value)}", "f").data == {"a": value}


def test_nan_and_very_long_integers() -> None:
    assert math.isnan(resolve(".nan"))  # type: ignore[arg-type]
    assert resolve("9" * 5000) == math.inf
    assert resolve("-" + "9" * 5000) == -math.inf
    assert resolve("9" * 900) == int("9" * 900)


def test_quoted_scalars_are_text() -> None:
    assert parse_document("a: \"12\"\nb: 'true'\nc: ''\nd: |\n  7\n", "f").data == {
        "a": "12",
        "b": "true",
        "c": "",
        "d": "7\n",
    }


@pytest.mark.parametrize("text", ["", "\n\n", "# a comment\n", "---\n", "~\n", "\ufeff"])
def test_an_empty_document(text: str) -> None:
    assert one(text) == "f:1:1 the document is empty: `gromo-graph new` prints one to start from"


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert parse_document("\ufeffa: 1", "f").data == {"a": 1}


def test_a_control_character() -> None:
    assert one("a: \x00").startswith("f:1:1 the character U+0000 is not allowed in YAML")


def test_half_a_surrogate_pair() -> None:
    assert "half of a pair" in one("a: \ud800")


def test_an_alias_is_its_value_and_its_problems_stand_where_it_is_used() -> None:
    text = "vars: {w: &w 0}\n" + SOUND.replace("features: 2", "features: *w")
    (problem,) = check_spec(text)
    assert (problem.line, problem.column, problem.path) == (4, 40, "nodes.y.features")


def test_a_problem_inside_an_aliased_map_stands_where_the_map_is_written() -> None:
    text = (
        "nodes:\n  x: {kind: input, shape: [4]}\n  y: &y {kind: linear, from: x, features: 0}\n"
        "  z: *y\noutputs: [y, z]\n"
    )
    assert [(p.line, p.path) for p in check_spec(text)] == [(3, "nodes.y.features"), (3, "nodes.z.features")]


def test_an_alias_may_be_a_key() -> None:
    assert parse_document("{a: &k b, *k : 1}", "f").data == {"a": "b", "b": 1}


def test_values_are_counted_and_keys_are_not() -> None:
    # the map and the list are values themselves
    assert not parse_document("a: [" + "1," * (MAX_NODES - 2) + "]", "f").problems
    assert "more than 100,000 values" in one("a: [" + "1," * (MAX_NODES - 1) + "]")


def test_aliases_count_as_what_they_stand_for() -> None:
    text = "a: &a [" + "1," * 998 + "]\nb: [" + "*a," * 99 + "]"
    assert not parse_document(text, "f").problems
    assert "more than" in one(text.replace("*a,]", "*a,*a,]"))


def test_nesting_is_limited_with_aliases_written_out() -> None:
    assert not parse_document("[" * 64 + "]" * 64, "f").problems
    assert "nested more than 64 deep" in one("[" * 65 + "]" * 65)
    half = "[" * 40 + "]" * 40
    assert "written out" in one(f"a: &a {half}\nb: {'[' * 30}*a{']' * 30}")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"none\.yaml there is no such file"):
        load_spec(tmp_path / "none.yaml")
    with pytest.raises(SpecError, match=r"there is no such file$"):
        load_spec(tmp_path / "nowhere" / "none.yaml")
    for name in ("vit2.yaml", "fruit.yaml", "vit2.txt"):
        (tmp_path / name).touch()
    with pytest.raises(SpecError, match=rf"no such file: did you mean `{tmp_path / 'vit2.yaml'}`\?$"):
        load_spec(tmp_path / "vit2.yml")


def test_a_folder(tmp_path: Path) -> None:
    assert [problem.message for problem in check_spec(tmp_path)] == ["this is a folder, expected a YAML file"]


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_a_name_that_no_file_can_have(name: str) -> None:
    (problem,) = check_spec(name)
    assert problem.message.startswith("the file cannot be read")


def test_a_file_that_is_no_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes("a: 1\nname: é\n".encode("latin-1"))
    (problem,) = check_spec(file)
    assert (problem.line, problem.column) == (2, 7)
    assert problem.message == "byte 0xe9 is no UTF-8: save the file as UTF-8"
    file.write_bytes("a: 1".encode("utf-16"))
    (problem,) = check_spec(file)
    assert "no UTF-8" in problem.message


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_bytes(b"#" * 10_000_000)
    (problem,) = check_spec(file)
    assert problem.message == "the file is too large: at most 5 MB are read"
    with pytest.raises(SpecError, match=r"the document is 10.0 MB"):
        parse_spec("#" * 10_000_000)
    file.write_bytes(b"#" * (MAX_BYTES - len(SOUND) - 1) + b"\n" + SOUND.encode())
    assert load_spec(file).outputs == ("y",)


def test_a_document_without_a_name_goes_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "small net.yaml"
    file.write_text(SOUND, encoding="utf-8")
    assert load_spec(str(file)).name == "small net"
    assert parse_spec(SOUND).name == "network"


def test_origins_tell_where_each_node_was_written() -> None:
    origin = parse_spec(SOUND, file="a.yaml").origins["y"]
    assert (origin.file, origin.line, origin.column, origin.path) == ("a.yaml", 3, 3, "nodes.y")


def test_the_python_loader_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    expected = parse_spec(SOUND)
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert parse_spec(SOUND) == expected
    # The C loader refuses this escape itself.
    (problem,) = check_spec('name: "\\ud800"\n' + SOUND)
    assert "U+D800" in problem.message


def test_so_many_problems_and_no_more_are_told() -> None:
    assert len(check_spec("a: 1\n" * 50_000)) == 1000
    assert len(check_spec("".join(f"k{place}: 1\n" for place in range(5000)))) == 1000
