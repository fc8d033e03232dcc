"""check_spec: what it takes, the kinds it knows, and that one mistake is told once."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from gromo_graph import Spec, SpecError, check_spec, load_spec, parse_spec
from gromo_graph.spec.kinds import KINDS, Linear, Merge, Node, Shape, WidthRule
from gromo_graph.spec.wording import Suggester

TEXT = "nodes:\n  x: {kind: input, shape: [4]}\n  y: {kind: linear, from: x, features: 2}\noutput: y\n"


def test_a_path_a_text_or_a_spec(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(TEXT.replace("2}", "0}"), encoding="utf-8")
    by_path, by_str = check_spec(file), check_spec(str(file))
    assert by_path == by_str
    assert [p.file for p in by_path] == [str(file)]
    assert [p.message for p in check_spec(file.read_text())] == [p.message for p in by_path]
    assert check_spec(TEXT) == check_spec(parse_spec(TEXT)) == ()


def test_a_spec_made_in_python_is_checked_too() -> None:
    spec = parse_spec(TEXT, file="a.yaml")
    nodes = {**spec.nodes, "z": Merge(sources=("x", "y")), "a->b": Linear(sources=("w",), features=1)}
    wrong = replace(
        spec, nodes=nodes, outputs=("y", "q"), train=spec.train.model_copy(update={"data": "a:b"})
    )
    found = {(problem.path, problem.message.split(":")[0]) for problem in check_spec(wrong)}
    assert ("nodes.z.from", "a sum needs equal shapes, but `x->z` is 4 wide, `y->z` is 2 wide") in found
    assert ('nodes."a->b".from', "unknown node `w`") in found
    assert ("outputs.1", "unknown node `q`") in found
    assert {path for path, _ in found} >= {"train.data", 'nodes."a->b"'}
    assert [p.path for p in check_spec(replace(spec, outputs=()))] == ["output"]


def test_the_error_carries_every_problem() -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(TEXT.replace("linear", "liner").replace("[4]", "[0]"), file="net.yaml")
    assert str(caught.value).splitlines() == [
        "net.yaml:2:28 nodes.x.shape.0: found 0, expected 1 or more",
        'net.yaml:3:13 nodes.y.kind: unknown kind "liner": did you mean `linear`?',
    ]


class Twice(Node):
    """A kind that somebody adds."""

    width_rule: ClassVar[WidthRule] = WidthRule.CONCATENATED
    drawn_as: ClassVar[Literal["input", "layer", "merge", "operation"]] = "merge"
    kind: Literal["twice"] = "twice"
    strength: float = 1.0

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        return (2 * inputs[0][0],)


@pytest.fixture
def twice() -> Iterator[None]:
    KINDS["twice"] = Twice
    yield
    del KINDS["twice"]


@pytest.mark.usefixtures("twice")
def test_a_registered_kind_takes_part() -> None:
    text = TEXT.replace("from: x", "from: t") + "#"
    text = text.replace("  y:", "  t: {kind: twice, from: x, strength: 2}\n  y:")
    spec = parse_spec(text)
    assert isinstance(spec.nodes["t"], Twice)
    (problem,) = check_spec(text.replace("strength", "strenght"))
    assert problem.message == "unknown key: you wrote `strenght`, did you mean `strength`?"
    (problem,) = check_spec(text.replace("kind: twice", "kind: twise"))
    assert "did you mean `twice`?" in problem.message
    assert parse_spec(text, overrides=["nodes.t.strength=3"]).nodes["t"].strength == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "mistake",
    [
        ("shape: [4]", "shape: [0]"),
        ("kind: input", "kind: inptu"),
        ("from: x", "from: xx"),
        ("from: x", "form: x"),
        ("from: x", "from: [x, x]"),
        ("features: 2", "features: 0"),
        ("features: 2", 'features: "${w}"'),
        ("output: y", "output: z"),
        ("output: y", "otput: y"),
        ("nodes:", "node:"),
        ("  y: {kind: linear", "  y: !t {kind: linear"),
        ("  y:", "  7:"),
    ],
)
def test_one_mistake_is_told_once(mistake: tuple[str, str]) -> None:
    text = TEXT.replace(*mistake).replace("output: y", 'output: "7"' if "7" in mistake[1] else "output: y")
    assert len(check_spec(text)) == 1


def test_limits_of_features() -> None:
    assert parse_spec(TEXT.replace("features: 2", "features: 1_000_000".replace("_", "")))
    assert check_spec(TEXT.replace("features: 2", "features: 1000001"))


@pytest.mark.parametrize("value", ["true", "on", "yes", "{}"])
def test_grow_on(value: str) -> None:
    assert parse_spec(TEXT.replace("features: 2", f"features: 2, grow: {value}")) == parse_spec(TEXT)


@pytest.mark.parametrize("value", ["false", "off", "no"])
def test_grow_off(value: str) -> None:
    spec = parse_spec(TEXT.replace("features: 2", f"features: 2, grow: {value}"))
    assert spec.nodes["y"].grow is False  # type: ignore[attr-defined]


@pytest.mark.parametrize("data", ["digits", "breast_cancer", "a.csv", "C:\\data\\a.npz", "dir/a.NPZ"])
def test_data_that_a_spec_may_name(data: str) -> None:
    assert parse_spec(f"{TEXT}train: {{data: '{data}'}}").train.data == data


@pytest.mark.parametrize("data", ["os:system", "a.b:c", "http://a.b/c.csv", "module", "a.txt", "''"])
def test_data_that_a_spec_may_not_name(data: str) -> None:
    assert [p.path for p in check_spec(f"{TEXT}train: {{data: {data}}}")] == ["train.data"]


def test_several_outputs() -> None:
    spec = parse_spec(TEXT.replace("output: y", "outputs: [y, x]"))
    assert (spec.outputs, spec.named_outputs) == (("y", "x"), True)
    assert not parse_spec(TEXT).named_outputs


def test_reading_specs_imports_nothing_heavy() -> None:
    code = "import sys, gromo_graph.spec, gromo_graph.graph; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "numpy", "rich", "ruamel.yaml", "hypothesis", "pygraphviz"}


def test_a_spec_can_be_copied_and_sent() -> None:
    import copy
    import pickle

    spec = load_spec("specs/digits_residual.yaml")
    for twin in (copy.deepcopy(spec), pickle.loads(pickle.dumps(spec))):  # noqa: S301 - our own bytes
        assert isinstance(twin, Spec)
        assert twin == spec
        assert twin.origins == spec.origins


def test_names_in_two_unicode_normal_forms_are_told_apart_in_words() -> None:
    text = (
        "nodes:\n  café: {kind: input, shape: [4]}\n  y: {kind: linear, from: café, features: 2}\noutput: y\n"
    )
    assert check_spec(text) == ()
    name, reading = text.split("y: ")
    problems = check_spec(f"{name}y: {unicodedata.normalize('NFD', reading)}")
    (problem,) = [str(each) for each in problems if "from" in each.path]
    assert (
        "unknown node `cafe\u0301`: `café` looks the same but is written in another Unicode normal form"
        in problem
    )


@pytest.mark.parametrize(
    ("word", "known", "near"),
    [
        ("Relu", ("elu", "relu"), "relu"),
        ("LeakyReLU", ("elu", "relu", "leaky_relu"), "leaky_relu"),
        ("batchnorm", ("group_norm", "batch_norm"), "batch_norm"),
        ("rleu", ("elu", "relu"), "relu"),
    ],
)
def test_names_are_compared_without_case_and_underscores_first(
    word: str, known: tuple[str, ...], near: str
) -> None:
    assert Suggester().nearest(word, known) == near
