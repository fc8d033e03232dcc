"""A trained run goes on with new classes, on the command line from start to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

from gromo_graph import load_run
from gromo_graph.cli import app

SPEC = """\
name: fruit
nodes:
  x: {kind: input, shape: [3]}        # three numbers
  h: {kind: linear, from: x, features: 2, activation: relu}
  y: {kind: linear, from: h, features: 2}
output: y
growth: {neurons: {per_step: 2}, stop: {steps: 2}, when: {until: 0.5, steps: 2}}
train: {data: fruit.csv, epochs: 4, batch_size: 16, optimizer: {name: adamw, lr: 0.02, weight_decay: 0.1}}
"""


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def told(done: Result) -> str:
    """All that was said, on one line."""
    return " ".join(done.output.split())


def csv(path: Path, classes: tuple[str, ...], shift: float) -> None:
    draw = np.random.default_rng(len(classes))
    rows = []
    for place, name in enumerate(classes):
        points = draw.normal(size=(40, 3)) + shift + 3.0 * np.eye(4, 3)[place]
        rows += [f"{','.join(f'{value:.4f}' for value in point)},{name}" for point in points]
    path.write_text("\n".join(["a,b,c,target", *rows]) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two classes, and the spec and the data of three."""
    path = tmp_path_factory.mktemp("fruit")
    (path / "my.yaml").write_text(SPEC)
    csv(path / "fruit.csv", ("pear", "quince"), 0.0)
    csv(path / "more.csv", ("pear", "quince", "apple"), 1.0)  # `apple` would come first
    done = call("grow", path / "my.yaml", "--out", path / "one")
    assert done.exit_code == 0, done.output
    for words in (("take", path / "one"), ("widen-outputs", 3)):
        done = call("edit", path / "my.yaml", *words)
        assert done.exit_code == 0, done.output
    return path


def test_the_file_keeps_its_comments_and_gets_the_new_output(folder: Path) -> None:
    text = (folder / "my.yaml").read_text()
    assert "# three numbers" in text
    assert "y.new" in text


def test_old_classes_keep_their_logits_and_weights(folder: Path) -> None:
    options = ("--set", "growth.freeze=old", "--set", "growth.stop={steps: 0}")
    more = ("grow", folder / "my.yaml", "--data", folder / "more.csv", "--weights", folder / "one")
    done = call(*more, *options, "--set", "train.optimizer.lr=1.0e-30", "--out", folder / "still")
    assert done.exit_code == 0, done.output
    one, still = load_run(folder / "one"), load_run(folder / "still")
    assert still.preparation.classes == ("pear", "quince", "apple")
    assert still.preparation.mean == one.preparation.mean
    x = np.random.default_rng(0).normal(size=(9, 3))
    scores = still.scores(x)
    assert torch.equal(scores[:, :2], one.scores(x))
    assert not scores[:, 2].abs().gt(1e-20).any()


def test_it_grows_for_the_new_class_alone(folder: Path) -> None:
    more = ("grow", folder / "my.yaml", "--data", folder / "more.csv", "--weights", folder / "one")
    done = call(
        *more, "--set", "growth.freeze=old", "--set", "train.epochs=12", "--out", folder / "two", "--json"
    )
    assert done.exit_code == 0, done.output
    one, two = load_run(folder / "one"), load_run(folder / "two")
    assert two.summary["steps"] > 0
    assert two.summary["test"]["accuracy"] > 0.5
    before, after = one.network.parts, two.network.parts
    width = len(before["h"].weight)
    assert len(after["h"].weight) > width
    assert torch.equal(after["h"].weight[:width], before["h"].weight)
    assert torch.equal(after["y.old"].weight[:, :width], before["y"].weight)
    assert after["y.new"].weight.any()
    done = call("replay", folder / "two", "--to", 1, "--out", folder / "then")
    assert done.exit_code == 0, done.output
    assert load_run(folder / "then").events[0] == two.events[0]
    found = json.loads(call("evaluate", folder / "two", "--json").stdout)
    assert found["test"]["accuracy"] == two.summary["test"]["accuracy"]
    path = folder / "one/data.json"
    text = path.read_text()
    path.write_text(text.replace("pear", "plum"))
    done = call("replay", folder / "two", "--to", 1, "--out", folder / "again")
    path.write_text(text)
    assert "began from a run with this file, which has been changed since" in " ".join(done.output.split())


def test_data_with_more_classes_are_told_the_way_to_go_on(folder: Path) -> None:
    (folder / "narrow.yaml").write_text(SPEC)
    narrow = ("grow", folder / "narrow.yaml", "--weights", folder / "one", "--out", folder / "no", "--data")
    done = call(*narrow, folder / "more.csv")
    way = "`gromo-graph edit FILE take RUN` and then `gromo-graph edit FILE widen-outputs 3`"
    assert f"one feature for each class; a run goes on with more classes by {way}" in told(done)
    done = call(*narrow, folder / "fruit.csv")
    assert f"`gromo-graph edit FILE take {folder / 'one'}` brings its sizes into your file" in told(done)
    csv(folder / "four.csv", ("pear", "quince", "apple", "fig"), 1.0)
    done = call("grow", folder / "my.yaml", "--data", folder / "four.csv", "--out", folder / "no")
    assert "one feature for each class: `gromo-graph edit FILE widen-outputs 4`" in told(done)


@pytest.mark.filterwarnings("default")
def test_outputs_may_be_widened_twice_before_training(folder: Path) -> None:
    (folder / "twice.yaml").write_text((folder / "my.yaml").read_text())
    done = call("edit", folder / "twice.yaml", "widen-outputs", 4)
    assert done.exit_code == 0, done.output
    csv(folder / "two_new.csv", ("plum", "fig"), 1.0)
    more = ("grow", folder / "twice.yaml", "--data", folder / "two_new.csv", "--weights", folder / "one")
    options = ("--set", "growth.stop={steps: 0}", "--set", "train.optimizer.lr=1.0e-30")
    done = call(*more, *options, "--set", "growth.freeze=old", "--out", folder / "twice")
    assert done.exit_code == 0, done.output
    assert "two_new.csv: no training sample has the classes `pear`, `quince` that the first" in told(done)
    one, twice = load_run(folder / "one"), load_run(folder / "twice")
    x = np.random.default_rng(0).normal(size=(9, 3))
    assert torch.equal(twice.scores(x)[:, :2], one.scores(x))
    assert twice.preparation.classes == ("pear", "quince", "fig", "plum")
    done = call(*more, "--set", "nodes.h.features=9", "--out", folder / "no")
    assert "`nodes.y.new.2.layer.bias` is missing here" in told(done)


# Tables, and several outputs

TABLE = """\
name: garden
data: {file: garden.csv, target: fruit, categorical: [soil]}
nodes:
  x: {kind: input, shape: [3]}
  h: {kind: linear, from: x, features: 2, activation: relu}
  y: {kind: linear, from: h, features: 2}
output: y
growth: {neurons: {per_step: 2}, stop: {steps: 1}, when: {until: 0.5, steps: 2}}
train: {epochs: 2, batch_size: 16}
"""


def table(path: Path, classes: tuple[str, ...], soils: tuple[str, ...]) -> None:
    draw = np.random.default_rng(len(classes))
    rows = [
        f"{draw.normal() + 3 * place:.4f},{soils[number % len(soils)]},{name}"
        for place, name in enumerate(classes)
        for number in range(40)
    ]
    path.write_text("\n".join(["size,soil,fruit", *rows]) + "\n")


@pytest.mark.filterwarnings("default")
def test_a_table_whose_new_rows_have_a_new_class_goes_on(tmp_path: Path) -> None:
    """Its columns are encoded as before, and the new class comes last though it is the first by its name."""
    (tmp_path / "my.yaml").write_text(TABLE)
    table(tmp_path / "garden.csv", ("pear", "quince"), ("clay", "sand"))
    for words in (
        ("grow", tmp_path / "my.yaml", "--out", tmp_path / "one"),
        ("edit", tmp_path / "my.yaml", "take", tmp_path / "one"),
        ("edit", tmp_path / "my.yaml", "widen-outputs", 3),
    ):
        done = call(*words)
        assert done.exit_code == 0, done.output
    table(tmp_path / "garden.csv", ("apple", "pear", "quince"), ("sand", "chalk", "clay"))
    options = (
        "--set",
        "growth.freeze=old",
        "--set",
        "growth.stop={steps: 0}",
        "--set",
        "train.optimizer.lr=1.0e-30",
    )
    done = call(
        "grow", tmp_path / "my.yaml", "--weights", tmp_path / "one", *options, "--out", tmp_path / "two"
    )
    assert done.exit_code == 0, done.output
    one, two = load_run(tmp_path / "one"), load_run(tmp_path / "two")
    assert two.preparation.classes == ("pear", "quince", "apple")
    assert two.preparation.table == one.preparation.table
    assert "column `soil`: `chalk` read as none of the categories" in told(done)
    assert "no training sample" not in told(done)
    rows = {"size": [0.5, 2.0], "soil": ["clay", "sand"]}
    assert torch.equal(two.scores(rows)[:, :2], one.scores(rows))


@pytest.mark.filterwarnings("default")
def test_one_new_class_may_come_alone_to_a_table(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(TABLE)
    table(tmp_path / "garden.csv", ("pear", "quince"), ("clay", "sand"))
    for words in (
        ("grow", tmp_path / "my.yaml", "--out", tmp_path / "one"),
        ("edit", tmp_path / "my.yaml", "take", tmp_path / "one"),
        ("edit", tmp_path / "my.yaml", "widen-outputs", 3),
    ):
        assert call(*words).exit_code == 0
    table(tmp_path / "garden.csv", ("apple",), ("clay", "sand"))
    again = ("grow", tmp_path / "my.yaml", "--set", "growth.freeze=old", "--out", tmp_path / "two")
    assert "the target has one class alone, `apple`: two are needed" in told(call(*again))
    done = call(*again, "--weights", tmp_path / "one")
    assert done.exit_code == 0, done.output
    assert "no training sample has the classes `pear`, `quince` that the first weights know" in told(done)
    assert "one class alone" not in told(done)
    assert load_run(tmp_path / "two").preparation.classes == ("pear", "quince", "apple")


SEVERAL = """\
name: several
nodes:
  x: {kind: input, shape: [2]}
  body: {kind: linear, from: x, features: 2, activation: tanh}
  kind: {kind: linear, from: body, features: 2}
  price: {kind: linear, from: body, features: 1}
outputs: [kind, price]
growth: {neurons: {per_step: 2}, stop: {steps: 1}, when: {until: 0.5, steps: 2}}
train: {loss: {kind: cross_entropy, price: mse}, epochs: 2, batch_size: 16}
"""


def several(path: Path, classes: tuple[str, ...], price: float) -> None:
    draw = np.random.default_rng(len(classes))
    kind = np.repeat(np.array(classes), 40)
    x = draw.normal(size=(len(kind), 2)) + price
    np.savez(path, x=x, **{"y.kind": kind, "y.price": price * x[:, 0]})


def test_a_network_of_several_outputs_goes_on_with_a_new_class(tmp_path: Path) -> None:
    """The classes of one output come first as before, and the numbers of the other keep their unit."""
    (tmp_path / "my.yaml").write_text(SEVERAL)
    several(tmp_path / "first.npz", ("pear", "quince"), 3.0)
    several(tmp_path / "more.npz", ("apple", "pear", "quince"), 700.0)
    for words in (
        ("grow", tmp_path / "my.yaml", "--data", tmp_path / "first.npz", "--out", tmp_path / "one"),
        ("edit", tmp_path / "my.yaml", "take", tmp_path / "one"),
        ("edit", tmp_path / "my.yaml", "widen-outputs", 3, "kind"),
    ):
        done = call(*words)
        assert done.exit_code == 0, done.output
    options = ("--set", "growth.stop={steps: 0}", "--set", "train.optimizer.lr=1.0e-30")
    more = ("--data", tmp_path / "more.npz", "--weights", tmp_path / "one")
    done = call("grow", tmp_path / "my.yaml", *more, *options, "--out", tmp_path / "two")
    assert done.exit_code == 0, done.output
    one, two = load_run(tmp_path / "one"), load_run(tmp_path / "two")
    assert two.preparation.several[0].classes == ("pear", "quince", "apple")
    x = np.random.default_rng(1).normal(size=(9, 2))
    with torch.no_grad():
        before, after = (run.network.eval()(run.preparation.inputs(x)) for run in (one, two))
    torch.testing.assert_close(after["kind"][:, :2], before["kind"])
    assert not after["kind"][:, 2].abs().gt(1e-20).any()
    torch.testing.assert_close(two.predict(x)["price"], one.predict(x)["price"])


def test_widening_one_of_several_outputs_needs_its_name(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(SEVERAL)
    done = call("edit", tmp_path / "my.yaml", "widen-outputs", 3)
    assert done.exit_code == 2
    assert "expected the name of an output, one of `kind`, `price`" in " ".join(done.output.split())
