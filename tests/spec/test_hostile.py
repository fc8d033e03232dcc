"""Documents made to take hours or gigabytes, and files that are none: each is refused for what it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gromo_graph import check_spec

BLOCK = "blocks:\n  b: {inputs: [x], nodes: {n: {kind: linear, from: x, features: 1}}, output: n}\n"
INPUT = "nodes:\n  p: {kind: input, shape: [1]}\n"
USE = "  y: {use: c, from: p, repeat: 20000}\noutput: y\n"


def named(count: int, letter: str, value: str = "") -> str:
    return ", ".join(f"{letter}{number}{value}" for number in range(count))


def long_lists() -> str:
    block = BLOCK.replace("features: 1", f"features: [{', '.join(['1'] * 50_000)}]")
    return block + INPUT + "".join(f"  y{i}: {{use: b, from: p}}\n" for i in range(10_000)) + "output: y0\n"


def lists_in_a_row() -> str:
    block = BLOCK.replace("features: 1", f"features: [{', '.join(['1'] * 90_000)}]")
    return block + "  c: {inputs: [x], nodes: {n: {use: b, from: x}}, output: n}\n" + INPUT + USE


def many_params() -> str:
    block = BLOCK.replace("inputs", f"params: {{{named(90_000, 'p', ': 1')}}}, inputs")
    return block + "  c: {inputs: [x], nodes: {n: {use: b, from: x}}, output: n}\n" + INPUT + USE


def unknown_params() -> str:
    inner = f"{{use: b, from: x, with: {{{named(80_000, 'p', ': 1')}}}}}"
    return BLOCK + f"  c: {{inputs: [x], nodes: {{n: {inner}}}, output: n}}\n" + INPUT + USE


def missing_params() -> str:
    block = BLOCK.replace("inputs", f"params: {{{named(50_000, 'p', ': ')}}}, inputs")
    return block + INPUT + "".join(f"  y{i}: {{use: b, from: p}}\n" for i in range(10_000)) + "output: y0\n"


def unknown_outputs() -> str:
    block = BLOCK.replace("[x]", f"[{named(45_000, 'x')}]").replace(
        "output: n", f"outputs: [{named(45_000, 'z')}]"
    )
    return block + INPUT + "  y: {kind: linear, from: p, features: 1}\noutput: y\n"


def long_names() -> str:
    name = "a" * 900
    blocks = "".join(
        f"  b{k}: {{inputs: [x], nodes: {{{name}: {{use: {f'b{k - 1}' if k else 'b'}, from: x}}}}, output: {name}}}\n"
        for k in range(60)
    )
    return BLOCK + blocks + INPUT + "  y: {use: b59, from: p, repeat: 1000}\noutput: y\n"


def long_texts() -> str:
    block = BLOCK.replace("features: 1", 'features: 1, activation: "x${a}"')
    return f"vars: {{a: {'b' * 9_900}}}\n" + block + INPUT + USE.replace("use: c", "use: b")


def texts_in_a_row() -> str:
    block = BLOCK.replace("features: 1", 'features: 1, activation: "x${a}"')
    inner = "  c: {inputs: [x], nodes: {n: {use: b, from: x}}, output: n}\n"
    return f"vars: {{a: {'b' * 9_900}}}\n" + block + inner + INPUT + USE.replace("20000", "10000")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (long_lists, "nodes.y1: more than 100,000 values once its blocks are written out"),
        (lists_in_a_row, "nodes.y: more than 100,000 values once its blocks are written out"),
        (many_params, "nodes.y: more than 2,000,000 values are read to write its blocks out"),
        (unknown_params, "blocks.c.nodes.n.with.p0: `b` has no param `p0`: there are no params"),
        (missing_params, "nodes.y0.with: the param `p0` of `b` has no default: give it in `with`"),
        (unknown_outputs, "blocks.b.outputs.0: unknown node `z0`: known nodes: n"),
        (long_names, "names of more than 1,000 characters once its blocks are written out"),
        (long_texts, "nodes.y: more than 100,000 values once its blocks are written out"),
        (texts_in_a_row, "more than 10,000,000 characters of expanded text in one document"),
    ],
)
def test_a_hostile_document_is_refused(document: Callable[[], str], expected: str) -> None:
    problems = check_spec(document())
    assert 1 <= len(problems) <= 1000
    assert expected in str(problems[0])


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(f"include: [part.yaml]\n{INPUT}  y: {{use: b, from: p}}\noutput: y\n", encoding="utf-8")
    return path


def test_a_pipe_is_not_waited_for(spec: Path) -> None:
    os.mkfifo(spec.parent / "part.yaml")
    (problem,) = check_spec(spec)
    assert problem.message == "`part.yaml` is no regular file: it would be waited for"


def test_links_in_a_circle_are_told(spec: Path) -> None:
    (spec.parent / "part.yaml").symlink_to("other.yaml")
    (spec.parent / "other.yaml").symlink_to("part.yaml")
    (problem,) = check_spec(spec)
    assert problem.path == "include.0"
    assert "symbolic links" in problem.message


def test_values_of_all_files_count_together(tmp_path: Path) -> None:
    long = BLOCK.replace("features: 1", f"features: [{', '.join(['1'] * 40_000)}]")
    for number in range(5):
        (tmp_path / f"f{number}.yaml").write_text(long.replace("  b:", f"  b{number}:"), encoding="utf-8")
    path = tmp_path / "spec.yaml"
    path.write_text(f"include: [{named(5, 'f', '.yaml')}]\n{INPUT}output: p\n", encoding="utf-8")
    (problem,) = check_spec(path)
    assert str(problem).endswith("include.2: all files together are larger than 5 MB and 100,000 values")
