"""A run is found again, predicts and measures; a damaged one is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from gromo_graph.errors import GromoGraphError, RunError
from gromo_graph.run import Run, grow, load_run
from gromo_graph.run.data.builtin import read_builtin
from gromo_graph.spec import parse_spec
from tests.run.specs import DIABETES, iris


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return grow(iris(train__epochs="20"), out=tmp_path_factory.mktemp("runs") / "iris")


@pytest.fixture
def copied(made: Run, tmp_path: Path) -> Path:
    assert made.path is not None
    for file in (path for path in made.path.rglob("*") if path.is_file()):
        target = tmp_path / "run" / file.relative_to(made.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    return tmp_path / "run"


def test_found_again_as_it_was(made: Run) -> None:
    assert made.path is not None
    found = load_run(made.path)
    assert found.summary == made.summary
    assert found.spec == made.spec
    assert found.events == made.events
    raw = read_builtin("iris")
    np.testing.assert_array_equal(found.predict(raw.x), made.predict(raw.x))


def test_predictions_are_labels_of_raw_samples(made: Run) -> None:
    raw = read_builtin("iris")
    found = made.predict(raw.x.tolist())
    assert raw.y is not None
    right = (found == np.array(raw.classes)[raw.y.astype(int)]).mean()
    assert right > 0.85
    probabilities = made.probabilities(torch.tensor(raw.x))
    np.testing.assert_allclose(probabilities.sum(1), 1.0)
    assert (np.array(raw.classes)[probabilities.argmax(1)] == found).all()


def test_predictions_of_a_regression_are_in_its_unit() -> None:
    run = grow(parse_spec(DIABETES, overrides={"train.epochs": "20"}))
    raw = read_builtin("diabetes")
    found = run.predict(raw.x)
    assert found.shape == (442,)
    assert raw.y is not None
    assert np.corrcoef(found, raw.y)[0, 1] > 0.5
    assert 100 < found.mean() < 200
    with pytest.raises(RunError, match="no probabilities"):
        run.probabilities(raw.x)


def test_measuring(made: Run, tmp_path: Path) -> None:
    assert made.evaluate() == made.summary["test"]
    assert made.evaluate("iris") == made.summary["test"]
    assert made.path is not None
    assert load_run(made.path).measure() == {
        part: made.summary[part] for part in ("train", "validation", "test")
    }
    raw = read_builtin("iris")
    others = made.measure((raw.x[:30], raw.y[:30]))  # type: ignore[index]
    assert list(others) == ["all"]
    assert others["all"]["accuracy"] == 1.0  # setosa
    with pytest.raises(RunError, match="labels outside"):
        made.evaluate((raw.x[:2], [0, 3]))
    with pytest.raises(RunError, match="missing, NaN or infinite"):
        made.evaluate((raw.x[:2] * np.nan, [0, 1]))


def test_data_from_python_have_to_be_given_again(tmp_path: Path) -> None:
    raw = read_builtin("iris")
    grow(iris(), data=(raw.x, raw.y), out=tmp_path / "run")
    run = load_run(tmp_path / "run")
    with pytest.raises(RunError, match="came from Python: give them with --data"):
        run.evaluate()
    assert set(run.measure((raw.x, raw.y))) == {"train", "validation", "test"}


def test_a_run_folder_never_names_code(copied: Path) -> None:
    command = json.loads((copied / "command.json").read_text())
    (copied / "command.json").write_text(json.dumps({**command, "data": "os:getcwd", "checksum": None}))
    with pytest.raises(RunError, match="it runs only where it is given with --data"):
        load_run(copied).evaluate()


def test_data_that_changed_since(tmp_path: Path) -> None:
    rows = "".join(f"{i % 3},{i},{i % 5},{i % 7},{i % 3}\n" for i in range(60))
    (tmp_path / "rows.csv").write_text(rows)
    run = grow(iris(), data=tmp_path / "rows.csv", out=tmp_path / "run")
    (tmp_path / "rows.csv").write_text(rows + "1,2,3,4,0\n")
    with pytest.raises(RunError, match="not the data of the run any more"):
        load_run(tmp_path / "run").evaluate()
    assert run.evaluate() == run.summary["test"]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([5.1, 3.5, 1.4, 0.2], r"expected \(samples, features\)"),
        ([[5.1, 3.5]], r"a sample has the shape \[2\], but the input of the spec has \[4\]"),
        ([[5.1, 3.5, 1.4, float("nan")]], "the first in row 1, column 4"),
        ([["a", "b", "c", "d"]], "expected numbers"),
    ],
)
def test_samples_refused(made: Run, x: Any, message: str) -> None:
    with pytest.raises(RunError, match=message):
        made.predict(x)


def test_shows_itself(made: Run) -> None:
    assert made._repr_svg_().startswith("<svg")
    assert repr(made).startswith("small\ndata          loss  accuracy\n")


_DAMAGE = [
    ("journal.jsonl", None, "no run|journal"),
    ("journal.jsonl", b"", "journal is empty"),
    ("journal.jsonl", b"{}\n", "damaged line"),
    ("spec.yaml", None, "spec.yaml is damaged.*no such file"),
    ("spec.yaml", b"nodes: [", "spec.yaml is damaged"),
    ("data.json", None, "holds no data.json"),
    ("data.json", b"{}", "data.json: this file is damaged"),
    ("data.json", b'{"task": NaN}', "data.json: this file is damaged"),
    ("weights.safetensors", None, "weights are missing"),
    ("weights.safetensors", b"", "weights cannot be read"),
    ("weights.safetensors", b"\xff" * 64, "weights cannot be read"),
    ("summary.json", b"{}", "summary.json: this file is damaged"),
    ("summary.json", b'{"steps": 1', "damaged"),
]


@pytest.mark.parametrize(("name", "content", "message"), _DAMAGE)
def test_damage_is_named(copied: Path, name: str, content: bytes | None, message: str) -> None:
    if content is None:
        (copied / name).unlink()
    else:
        (copied / name).write_bytes(content)
    with pytest.raises(RunError, match=message):
        load_run(copied)


def test_cut_files_are_named(copied: Path) -> None:
    for name in ("weights.safetensors", "data.json", "summary.json"):
        whole = (copied / name).read_bytes()
        for share in (0.1, 0.5, 0.9):
            (copied / name).write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(GromoGraphError, match=name):
                load_run(copied)
        (copied / name).write_bytes(whole)
    load_run(copied)


def test_weights_of_another_network_are_named(copied: Path, tmp_path: Path) -> None:
    other = grow(iris(nodes__hidden__features="7"), out=tmp_path / "other").path
    assert other is not None
    (copied / "weights.safetensors").write_bytes((other / "weights.safetensors").read_bytes())
    with pytest.raises(RunError, match=r"weights of another network than that of spec\.yaml"):
        load_run(copied)


def test_a_flipped_bit_is_noticed(copied: Path) -> None:
    for name in ("weights.safetensors", "data.json", "command.json"):
        file = copied / name
        content = file.read_bytes()
        place = len(content) - 30 if name == "weights.safetensors" else content.index(b"0.") + 2
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(
            RunError, match=f"{name}: this file is damaged: its content is not what was written"
        ):
            load_run(copied).evaluate()
        file.write_bytes(content)


def test_weights_of_others_have_no_seal(copied: Path) -> None:
    state = {name: tensor + 1 for name, tensor in load_run(copied).network.state_dict().items()}
    safetensors.torch.save_file(state, copied / "weights.safetensors")
    for name, tensor in load_run(copied).network.state_dict().items():
        assert torch.equal(tensor, state[name])
