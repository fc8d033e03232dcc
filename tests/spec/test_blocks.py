"""Blocks, includes and defaults: a document that uses them is the document with everything written out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gromo_graph import Spec, SpecError, check_spec, dump_spec, load_spec, parse_spec

RESIDUAL = """
vars: {width: 4}
blocks:
  residual:
    params: {width: 3, act: gelu}
    inputs: [x]
    nodes:
      up:   {kind: linear, from: x, features: "${2 * width}", activation: "${act}"}
      down: {kind: linear, from: up, features: "${width}"}
      add:  {kind: merge, from: [x, down]}
    output: add
"""


def used(body: str, *, blocks: str = RESIDUAL, output: str = "y") -> Spec:
    head = "nodes:\n  p: {kind: input, shape: [4]}\n"
    return parse_spec(f"{blocks}\n{head}{body}\noutput: {output}\n")


def flat(body: str, *, output: str = "y") -> Spec:
    return used(body, blocks="", output=output)


def test_a_use_is_the_block_written_out() -> None:
    found = used(
        """
  body: {use: residual, from: p, with: {width: "${width}"}}
  y: {kind: linear, from: body, features: 2}"""
    )
    assert found == flat(
        """
  body.up: {kind: linear, from: p, features: 8, activation: gelu}
  body.down: {kind: linear, from: body.up, features: 4}
  body.add: {kind: merge, from: [p, body.down]}
  y: {kind: linear, from: body.add, features: 2}"""
    )


def test_repeated_ones_read_each_other() -> None:
    found = used("  body: {use: residual, from: p, with: {width: 4, act: relu}, repeat: 2}", output="body")
    assert found == flat(
        """
  body.1.up: {kind: linear, from: p, features: 8, activation: relu}
  body.1.down: {kind: linear, from: body.1.up, features: 4}
  body.1.add: {kind: merge, from: [p, body.1.down]}
  body.2.up: {kind: linear, from: body.1.add, features: 8, activation: relu}
  body.2.down: {kind: linear, from: body.2.up, features: 4}
  body.2.add: {kind: merge, from: [body.1.add, body.2.down]}""",
        output="body.2.add",
    )
    assert list(used("  body: {use: residual, from: p, with: {width: 4}, repeat: 1}", output="body").nodes)[
        1
    ] == ("body.1.up")


def test_a_node_inside_can_be_read_by_its_name_and_a_use_before_it_is_written() -> None:
    spec = used(
        """
  y: {kind: merge, from: [body, look], merge: concat}
  look: {kind: linear, from: body.1.up, features: 2}
  body: {use: residual, from: p, with: {width: 4}, repeat: 2}"""
    )
    assert spec.nodes["y"].sources == ("body.2.add", "look")
    assert spec.nodes["look"].sources == ("body.1.up",)


def test_params_hide_vars_and_defaults_may_use_vars() -> None:
    blocks = """
vars: {width: 4, depth: 2}
blocks:
  a:
    params: {width: "${depth + 1}"}
    inputs: [x]
    nodes: {n: {kind: linear, from: x, features: "${width * depth}"}}
    output: n
"""
    assert used("  y: {use: a, from: p}", blocks=blocks).nodes["y.n"].features == 6
    assert used("  y: {use: a, from: p, with: {width: 5}}", blocks=blocks).nodes["y.n"].features == 10


NESTED = """
blocks:
  layer:
    params: {features: 2}
    inputs: [x]
    nodes: {n: {kind: linear, from: x, features: "${features}"}}
    output: n
  two:
    params: {width: 2}
    inputs: [a, b]
    nodes:
      left:  {use: layer, from: a, with: {features: "${width}"}, repeat: 2}
      right: {use: layer, from: b, with: {features: "${width}"}}
      look:  {kind: linear, from: left.1.n, features: "${width}"}
      sum:   {kind: merge, from: [left, right, look]}
    outputs: [sum, left.2.n]
"""


def test_blocks_in_blocks_with_several_inputs_and_outputs() -> None:
    blocks = NESTED.replace("outputs: [sum, left.2.n]", "outputs: [sum, right]")
    spec = used(
        """
  q: {kind: linear, from: p, features: 2}
  t: {use: two, from: [p, q], with: {width: 3}, repeat: 2}
  y: {kind: merge, from: [t.sum, t.right], merge: concat}""",
        blocks=blocks,
    )
    assert spec.nodes["t.2.left.1.n"].sources == ("t.1.sum",)
    assert spec.nodes["t.2.right.n"].sources == ("t.1.right.n",)
    assert spec.nodes["t.1.look"].sources == ("t.1.left.1.n",)
    assert spec.nodes["y"].sources == ("t.2.sum", "t.2.right.n")
    origin = spec.origins["t.2.left.1.n"]
    assert (origin.use, origin.block) == ("t.2.left", "layer")
    assert (spec.origins["t.1.sum"].use, spec.origins["t.1.sum"].block) == ("t", "two")
    assert (spec.origins["q"].use, spec.origins["q"].block) == (None, None)


def test_an_output_of_a_block_is_one_of_its_own_nodes() -> None:
    with pytest.raises(SpecError, match=r"unknown node `left\.2\.n`"):
        used("  t: {use: two, from: [p, p]}", blocks=NESTED)


@given(
    width=st.integers(1, 9),
    repeat=st.integers(1, 5),
    extra=st.integers(0, 3),
    own=st.booleans(),
)
def test_any_use_is_what_is_written_by_hand(width: int, repeat: int, extra: int, own: bool) -> None:
    given_width = "${width + EXTRA}".replace("EXTRA", str(extra)) if own else str(width + extra)
    found = used(
        f"""
  q: {{kind: linear, from: p, features: {width + extra}}}
  body: {{use: residual, from: q, with: {{width: "{given_width}"}}, repeat: {repeat}}}"""
        if own
        else f"""
  q: {{kind: linear, from: p, features: {width + extra}}}
  body: {{use: residual, from: q, with: {{width: {given_width}}}, repeat: {repeat}}}""",
        blocks=RESIDUAL.replace("vars: {width: 4}", f"vars: {{width: {width}}}"),
        output="body",
    )
    lines, last = [f"  q: {{kind: linear, from: p, features: {width + extra}}}"], "q"
    for turn in range(1, repeat + 1):
        lines += [
            f"  body.{turn}.up: {{kind: linear, from: {last}, features: {2 * (width + extra)}, activation: gelu}}",
            f"  body.{turn}.down: {{kind: linear, from: body.{turn}.up, features: {width + extra}}}",
            f"  body.{turn}.add: {{kind: merge, from: [{last}, body.{turn}.down]}}",
        ]
        last = f"body.{turn}.add"
    by_hand = flat("\n".join(lines), output=last)
    assert found == by_hand
    assert list(found.nodes) == list(by_hand.nodes)
    assert parse_spec(dump_spec(found)) == found


# defaults


def test_defaults_fill_in_what_a_node_leaves_out() -> None:
    found = used(
        """
  h: {kind: linear, from: p, features: 2}
  y: {kind: linear, from: h, features: 2, activation: identity}""",
        blocks='vars: {act: relu}\ndefaults: {linear: {activation: "${act}", grow: {max: 9}}}',
    )
    assert [found.nodes[name].activation for name in "hy"] == ["relu", "identity"]
    assert found.nodes["h"].grow.max == 9


def test_defaults_reach_into_blocks() -> None:
    spec = used(
        "  body: {use: residual, from: p, with: {width: 4}}",
        blocks=RESIDUAL + "defaults: {linear: {activation: tanh}}\n",
        output="body",
    )
    assert [spec.nodes[f"body.{name}"].activation for name in ("up", "down")] == ["gelu", "tanh"]


# include


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "spec.yaml"


PARTS = 'blocks:\n  one:\n    inputs: [x]\n    nodes: {n: {kind: linear, from: x, features: "${w}"}}\n    output: n\n'
INCLUDING = (
    "include: [parts.yaml]\nvars: {w: 3}\nnodes:\n  p: {kind: input, shape: [4]}\n"
    "  y: {use: one, from: p, repeat: 2}\noutput: y\n"
)


def test_blocks_of_another_file(tmp_path: Path) -> None:
    spec = load_spec(written(tmp_path, spec=INCLUDING, parts=PARTS))
    assert [spec.nodes[f"y.{turn}.n"].features for turn in (1, 2)] == [3, 3]
    origin = spec.origins["y.1.n"]
    assert (origin.file, origin.line) == (str(tmp_path / "parts.yaml"), 4)


def test_a_problem_in_an_included_file_is_told_there_once(tmp_path: Path) -> None:
    (problem,) = check_spec(written(tmp_path, spec=INCLUDING.replace("w: 3", "w: 0"), parts=PARTS))
    assert (problem.file, problem.line, problem.column) == (str(tmp_path / "parts.yaml"), 4, 50)
    assert problem.message == "found 0, expected 1 or more"
    (problem,) = check_spec(written(tmp_path, spec=INCLUDING, parts="blocks: [\n"))
    assert problem.file == str(tmp_path / "parts.yaml")


def test_nothing_outside_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text(PARTS)
    inside = tmp_path / "inside"
    spec = written(inside, spec=INCLUDING.replace("parts.yaml", "../secret.yaml"))
    assert "outside the folder of the spec" in check_spec(spec)[0].message
    (inside / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    spec = written(inside, spec=INCLUDING.replace("parts.yaml", "link.yaml"))
    assert "outside the folder of the spec" in check_spec(spec)[0].message
    with pytest.raises(SpecError, match="a text has no folder"):
        parse_spec(INCLUDING)


# --set, and documents that would explode


def test_set_reaches_what_is_written() -> None:
    text = RESIDUAL + (
        "defaults: {linear: {bias: false}}\nnodes:\n  p: {kind: input, shape: [4]}\n"
        "  body: {use: residual, from: p, repeat: 1}\noutput: body\n"
    )
    overrides = ["nodes.body.repeat=3", "blocks.residual.params.width=4", "defaults.linear.activation=relu"]
    overrides += ["nodes.body.with.act=tanh", "blocks.residual.nodes.down.bias=true"]
    spec = parse_spec(text, overrides=overrides)
    assert len(spec.nodes) == 10
    assert (spec.nodes["body.3.up"].features, spec.nodes["body.3.up"].activation) == (8, "tanh")
    assert [spec.nodes[f"body.1.{name}"].bias for name in ("up", "down")] == [False, True]
    assert spec.nodes["body.1.down"].activation == "relu"
    with pytest.raises(SpecError, match=r"did you mean `nodes\.body\.repeat`"):
        parse_spec(text, overrides=["nodes.body.repaet=3"])


def doubling(levels: int) -> str:
    lines = ["blocks:", "  b0: {inputs: [x], nodes: {n: {kind: linear, from: x, features: 1}}, output: n}"]
    for level in range(1, levels):
        inner = f"{{use: b{level - 1}, from: "
        lines.append(f"  b{level}: {{inputs: [x], nodes: {{a: {inner}x}}, n: {inner}a}}}}, output: n}}")
    body = f"nodes:\n  p: {{kind: input, shape: [1]}}\n  y: {{use: b{levels - 1}, from: p}}\noutput: y\n"
    return "\n".join(lines) + "\n" + body


@pytest.mark.parametrize(
    "text",
    [
        doubling(60),
        RESIDUAL + "nodes:\n  p: {kind: input, shape: [3]}\n  y: {use: residual, from: p, repeat: 99999999}\n"
        "output: y\n",
    ],
    ids=["doubling", "repeat"],
)
def test_what_would_explode_is_refused_before_it_does(text: str) -> None:
    begin = time.perf_counter()
    problems = check_spec(text)
    assert [problem.message for problem in problems] == [
        "more than 100,000 values once its blocks are written out"
    ]
    assert problems[0].path == "nodes.y"
    assert time.perf_counter() - begin < 20.0  # it comes to an end; how soon depends on the machine


def test_a_block_too_deep_is_refused() -> None:
    lines = ["blocks:", "  b0: {inputs: [x], nodes: {n: {kind: linear, from: x, features: 1}}, output: n}"]
    lines += [
        f"  b{level}: {{inputs: [x], nodes: {{n: {{use: b{level - 1}, from: x}}}}, output: n}}"
        for level in range(1, 400)
    ]
    body = "nodes:\n  p: {kind: input, shape: [1]}\n  y: {use: b399, from: p}\noutput: y\n"
    (problem,) = check_spec("\n".join(lines) + "\n" + body)
    assert problem.message == "blocks inside blocks more than 64 deep"
