"""Write-back: the text says what is wanted, and all that is not concerned stays as the author wrote it."""

from __future__ import annotations

import difflib
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gromo_graph import (
    Edits,
    RenameNode,
    SetFeatures,
    SetSection,
    Spec,
    check_spec,
    load_spec,
    parse_spec,
    write_back,
)
from gromo_graph.graph.edits import SpecEdit
from gromo_graph.spec.text.write_back import WrittenBack, write_back_text
from tests.network.edits import sequence
from tests.spec.strategies import specs

SPECS = sorted((Path(__file__).resolve().parents[2] / "specs").glob("*.yaml"))


def written(text: str, *edits: SpecEdit) -> WrittenBack:
    edited = Edits(edits).edited(parse_spec(text))
    found = write_back_text(text, edited.spec, renamed=edited.renamed)
    assert parse_spec(found.text) == edited.spec
    return found


def changed_lines(old: str, new: str) -> tuple[list[str], list[str]]:
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0))[2:]
    return [x[1:] for x in lines if x[0] == "-"], [x[1:] for x in lines if x[0] == "+"]


def comments(text: str) -> set[str]:
    return {line.partition("#")[2] for line in text.splitlines() if "#" in line}


ODD = """# at the top
name: odd   # a name

nodes:
  # what comes in
  x:      {kind: input, shape: [4]}   # four numbers

  'the h':            # quoted
    kind: linear      # a block map
    from: x
    # before features
    features: 3       # three

    activation: relu
  y: {kind: linear, from: "the h",
      features: 2}    # on two lines
# before the output
output: y             # behind the output
growth:
  stop:
    parameters: 400   # a budget
# the end"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_only_what_changes_changes(newline: str, mark: str) -> None:
    text = mark + ODD.replace("\n", newline)
    assert written(text) == WrittenBack(text, (), changed=False)
    found = written(text, SetFeatures("the h", 12), SetSection("growth", {"stop": {"parameters": 900}}))
    expected = text.replace("features: 3 ", "features: 12 ").replace("parameters: 400", "parameters: 900")
    assert found.text == expected
    assert found.notes == ()


def test_added_removed_and_renamed() -> None:
    from gromo_graph import AddNode, InsertBetween, RemoveNode

    found = written(ODD, InsertBetween("the h", "y", "drop", {"kind": "dropout"}), RenameNode("x", "in"))
    removed, added = changed_lines(ODD, found.text)
    assert removed == [
        "  x:      {kind: input, shape: [4]}   # four numbers",
        "    from: x",
        '  y: {kind: linear, from: "the h",',
    ]
    assert added == [
        "  in:     {kind: input, shape: [4]}   # four numbers",
        "    from: in",
        "  drop: {kind: dropout, from: the h}",
        "  y: {kind: linear, from: drop,",
    ]
    again = written(found.text, RemoveNode("drop"), RenameNode("in", "x"))
    assert comments(again.text) == comments(ODD)
    wide = written(ODD, AddNode("z", {"kind": "linear", "from": "x", "features": 2}), SetOutputs())
    assert "outputs: [y, z]" in wide.text
    assert "# behind the output" not in changed_lines(ODD, wide.text)[1]


def SetOutputs() -> SpecEdit:  # noqa: N802 - it reads like the values beside it
    from gromo_graph import SetOutput

    return SetOutput(["y", "z"])


def test_a_default_is_taken_out_and_an_empty_map_with_it() -> None:
    found = written(ODD, SetSection("growth", {"stop": {"parameters": None}}))
    assert "parameters" not in found.text
    assert "growth" not in found.text
    assert "# the end" in found.text


VARS = """
vars: {width: 4, other: 4}   # widths
nodes:
  x: {kind: input, shape: [4]}
  a: {kind: linear, from: x, features: "${width}"}   # a
  b: {kind: linear, from: a, features: "${width}"}
  c: {kind: linear, from: b, features: "${other + 1}"}
output: c
"""


def test_a_var_changes_where_all_that_use_it_change_alike() -> None:
    found = written(VARS, SetFeatures("a", 9), SetFeatures("b", 9))
    assert changed_lines(VARS, found.text)[1] == ["vars: {width: 9, other: 4}   # widths"]
    assert found.notes == ("`vars.width` is 9 now",)


def test_else_the_place_says_it_itself() -> None:
    found = written(VARS, SetFeatures("a", 9), SetFeatures("c", 7))
    assert changed_lines(VARS, found.text)[1] == [
        "  a: {kind: linear, from: x, features: 9}   # a",
        "  c: {kind: linear, from: b, features: 7}",
    ]
    assert found.notes == (
        "`nodes.a.features` came from an expression, it says 9 now",
        "`nodes.c.features` came from an expression, it says 7 now",
    )


BLOCK = """
blocks:
  pair:
    params: {width: 3}   # a param
    inputs: [x]
    nodes:
      u: {kind: linear, from: x, features: "${width}"}
      v: {kind: linear, from: u, features: 2}   # in the block
    output: v
nodes:
  x: {kind: input, shape: [2]}
  p: {use: pair, from: x, with: {width: 5}}   # first
  q: {use: pair, from: p, repeat: 2}          # second
output: q
"""


@pytest.mark.parametrize(
    ("widths", "line", "note"),
    [
        (
            {"p.u": 8},
            "  p: {use: pair, from: x, with: {width: 8}}   # first",
            "`nodes.p.with.width` is 8 now",
        ),
        (
            {"q.1.u": 6, "q.2.u": 6},
            "  q: {use: pair, from: p, repeat: 2, with: {width: 6}}          # second",
            "`nodes.q.with.width` is 6 now",
        ),
        (
            {"p.v": 7, "q.1.v": 7, "q.2.v": 7},
            "      v: {kind: linear, from: u, features: 7}   # in the block",
            "`blocks.pair.nodes.v.features` is 7 now",
        ),
    ],
)
def test_blocks_change_where_all_of_them_do(widths: dict[str, int], line: str, note: str) -> None:
    found = written(BLOCK, *(SetFeatures(name, width) for name, width in widths.items()))
    assert changed_lines(BLOCK, found.text)[1] == [line]
    assert found.notes == (note,)


def test_the_default_of_a_param_changes_where_all_uses_have_it() -> None:
    text = BLOCK.replace(", with: {width: 5}", "")
    found = written(text, *(SetFeatures(f"{name}.u", 6) for name in ("p", "q.1", "q.2")))
    assert changed_lines(text, found.text)[1] == ["    params: {width: 6}   # a param"]
    assert found.notes == ("`blocks.pair.params.width` is 6 now",)


def test_a_use_whose_nodes_no_longer_agree_is_written_out() -> None:
    found = written(BLOCK, SetFeatures("q.1.u", 6))
    assert "use: pair, from: p, repeat" not in found.text
    assert "  q.1.u: {kind: linear, from: p.v, features: 6}" in found.text
    assert "output: q.2.v" in found.text
    assert comments(found.text) == comments(BLOCK)
    assert found.notes == ("`q` is written out as nodes: they no longer follow from its block alone",)


def test_defaults_of_the_document_are_written_against() -> None:
    text = "defaults: {linear: {activation: relu}}\n" + ODD
    found = written(text, *[SetOptionsOf("the h"), SetOptionsOf("y")])
    assert parse_spec(found.text).nodes["y"].activation == "identity"


def SetOptionsOf(name: str) -> SpecEdit:  # noqa: N802
    from gromo_graph import SetOptions

    return SetOptions(name, {"activation": "identity"})


def test_what_shares_an_anchor_is_set_free() -> None:
    text = (
        "nodes:\n  x: {kind: input, shape: [4]}\n  a: &a {kind: linear, from: x, features: 3}  # anchored\n"
        "  b: *a\n  s: {kind: merge, from: [a, b], merge: concat}\noutput: s\n"
    )
    for name in ("a", "b"):
        found = written(text, SetFeatures(name, 5))
        assert "# anchored" in found.text


# Any spec, any edits


@settings(max_examples=15)
@given(specs(), specs())
def test_any_spec_can_be_written_into_any_document(one: Spec, two: Spec) -> None:
    from dataclasses import replace

    from gromo_graph import dump_spec

    text = "# first\n" + dump_spec(one) + "# last\n"
    wanted = replace(two, name=one.name)
    found = write_back_text(text, wanted)
    assert parse_spec(found.text) == wanted


def commented(text: str, chance: random.Random) -> str:
    """The text with comments behind and between its lines."""
    lines = []
    for number, line in enumerate(text.splitlines()):
        plain = "{" not in line or line.rstrip().endswith("}")
        lines.append(f"{line}  # c{number}" if plain and line.strip() and chance.random() < 0.6 else line)
        if plain and not line.startswith("   ") and chance.random() < 0.3:
            lines.append(f"  # between {number}")
    return "\n".join(lines) + "\n"


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), path=st.sampled_from(SPECS), length=st.integers(1, 4))
def test_any_edits_of_the_gallery_keep_its_comments(seed: int, path: Path, length: int) -> None:
    chance = random.Random(seed)
    text = commented(path.read_text(), chance)
    spec = parse_spec(text)
    edits = list(sequence(spec, chance, length))
    edited = Edits(edits).edited(spec)
    found = write_back_text(text, edited.spec, renamed=edited.renamed)
    assert parse_spec(found.text) == edited.spec
    gone = [
        name for name in spec.nodes if name not in edited.spec.nodes and name not in edited.renamed.values()
    ]
    lost = comments(text) - comments(found.text)
    own = [line for line in text.splitlines() if line.partition("#")[2] in lost]
    written_out = [note for note in found.notes if "written" in note]
    removed_nodes = [name for name in gone if f"  {name}:" in text]
    assert len(own) <= len(removed_nodes) + len(written_out), (found.notes, own)
    if not written_out and not gone:
        assert not lost


def test_each_step_of_a_grown_spec_is_written_back(tmp_path: Path) -> None:
    from gromo_graph import grow

    for name in ("digits_mlp", "digits_residual_cnn"):
        path = tmp_path / f"{name}.yaml"
        path.write_text((SPECS[0].parent / f"{name}.yaml").read_text())
        before = path.read_text()
        author = load_spec(path)
        run = grow(load_spec(path, overrides=["train.epochs=3", "growth.statistics={samples: 128}"]), seed=0)
        assert run.events
        for event in run.events:
            found = write_back(path, parse_spec_nodes(event.spec, author))
            assert comments(path.read_text()) == comments(before), found.notes
        assert load_spec(path).nodes == run.network.spec.nodes
        assert load_spec(path).growth == author.growth


def parse_spec_nodes(text: str, author: Spec) -> Spec:
    from dataclasses import replace

    return replace(author, nodes=parse_spec(text).nodes)


def test_the_file_keeps_its_mode_and_a_link_its_target(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "link.yaml"
    real.write_text(ODD)
    real.chmod(0o640)
    link.symlink_to(real)
    wanted = SetFeatures("the h", 8).spec_of(load_spec(link))
    assert write_back(link, wanted).changed
    assert link.is_symlink()
    assert load_spec(real) == load_spec(link)
    assert check_spec(real) == ()
    assert real.stat().st_mode & 0o777 == 0o640
    stamp = real.stat().st_mtime_ns
    assert not write_back(link, wanted).changed
    assert real.stat().st_mtime_ns == stamp


def test_a_param_of_an_included_block_changes_where_it_is_given(tmp_path: Path) -> None:
    blocks, _, rest = BLOCK.partition("nodes:\n  x: {kind: input")
    (tmp_path / "parts.yaml").write_text(blocks)
    path = tmp_path / "spec.yaml"
    text = f"include: [parts.yaml]\nnodes:\n  x: {{kind: input{rest}"
    path.write_text(text)
    wanted = SetFeatures("p.u", 8).spec_of(load_spec(path))
    found = write_back(path, wanted)
    assert changed_lines(text, path.read_text())[1] == [
        "  p: {use: pair, from: x, with: {width: 8}}   # first"
    ]
    assert found.notes == ("`nodes.p.with.width` is 8 now",)


def test_a_param_that_came_from_a_var_gets_a_value_of_its_own() -> None:
    text = BLOCK.replace("nodes:\n  x:", "vars: {w: 5}\nnodes:\n  x:").replace(
        "width: 5}}", 'width: "${w}"}}'
    )
    middle = '  m: {kind: linear, from: p, features: "${w}"}\n  q: {use'
    text = text.replace("  q: {use", middle).replace("from: p, rep", "from: m, rep")
    found = written(text, SetFeatures("p.u", 9))
    assert changed_lines(text, found.text)[1] == ["  p: {use: pair, from: x, with: {width: 9}}   # first"]
