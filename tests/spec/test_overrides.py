"""`--set path=value`."""

from __future__ import annotations

import pytest

from gromo_graph import SpecError, check_spec, parse_spec

TEXT = """\
vars: {w: 4}
nodes:
  x: {kind: input, shape: [4]}
  "a.b": {kind: linear, from: x, features: "${w}"}
  'it"s': {kind: linear, from: "a.b", features: 3}
  y: {kind: merge, from: ["it\\"s"], merge: sum}
output: y
train: {epochs: 9}
"""


def features(*overrides: str) -> list[int]:
    spec = parse_spec(TEXT, overrides=overrides)
    return [spec.nodes[name].features for name in ("a.b", 'it"s')]  # type: ignore[attr-defined]


def test_values_are_read_as_yaml() -> None:
    spec = parse_spec(
        TEXT, overrides=["train.epochs=0x10", "train.optimizer.lr=1e-2", "growth.actions=[]", "name= a=b "]
    )
    assert (spec.train.epochs, spec.train.optimizer.lr, spec.growth.actions) == (16, 0.01, ())
    assert spec.name == "a=b"


def test_a_mapping_says_the_same() -> None:
    assert parse_spec(TEXT, overrides={"train.epochs": "3"}).train.epochs == 3


def test_names_with_dots_and_quotes_are_quoted() -> None:
    assert features('nodes."a.b".features=7') == [7, 3]
    assert features("nodes.'it\"s'.features=${w * 2}") == [4, 8]


def test_vars_are_set_before_they_are_used() -> None:
    assert features("vars.w=6") == [6, 3]


def test_the_last_of_two_counts() -> None:
    assert features("vars.w=6", "vars.w=5") == [5, 3]


def test_items_of_lists_have_numbers() -> None:
    assert parse_spec(TEXT, overrides=["nodes.x.shape.0=5"]).nodes["x"].shape == (5,)  # type: ignore[attr-defined]


def test_what_is_shared_by_an_alias_changes_in_one_place() -> None:
    text = TEXT.replace("{kind: input", "&x {kind: input") + "growth: {actions: &a [widen]}\n"
    text = text.replace("output: y", "  z: *x\noutputs: [y, z]")
    spec = parse_spec(text, overrides=["nodes.z.shape.0=9"])
    assert (spec.nodes["x"].shape, spec.nodes["z"].shape) == ((4,), (9,))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "no `epoch` in `train`, did you mean `train.epochs`?"),
        ("trian.epochs=3", "no `trian`, did you mean `train.epochs`?"),
        ("nodes.yy.merge=sum", "no `yy` in `nodes`, did you mean `nodes.y.merge`?"),
        ("nodes.y.merg=sum", "no `merg` in `nodes.y`, did you mean `nodes.y.merge`?"),
        ("nodes.new={kind: input, shape: [3]}", "no `new` in `nodes`"),
        ("vars.v=1", "no `v` in `vars`"),
        ("nodes.x.shape.1=1", "no `1` in `nodes.x.shape`"),
        ("nodes.x.shape.0.a=1", "no `a` in `nodes.x.shape.0`"),
        ("train.epochs.deep=1", "no `deep` in `train.epochs`"),
        ("train.epochs", "there is no `=`"),
        ("=3", "not a path"),
        ("train..epochs=3", "not a path"),
        ('nodes."x=3', "there is no `=`"),
        ("train.epochs=", "the value is empty"),
        ("train.epochs=null", "the value is nothing"),
        ("train.epochs=~", "the value is nothing"),
        ("train.epochs=[", "the value is not YAML"),
        ("train.epochs=!!int 3", "the tag `!!int` is refused"),
        ("train.epochs=3.0", "found 3.0, expected an integer: write 3"),
        ("output=z", "unknown node `z`"),
        ("train.data=os:system", "names code"),
    ],
)
def test_a_wrong_override_names_itself(override: str, message: str) -> None:
    (problem,) = check_spec(TEXT, overrides=[override])
    assert message in problem.message
    assert problem.file.startswith(f"--set {override.split('=')[0]}")
    assert problem.line == 0
    with pytest.raises(SpecError):
        parse_spec(TEXT, overrides=[override])
