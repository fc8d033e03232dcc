"""Data from everywhere: what is read, and what is refused with one clear message."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gromo_graph.errors import RunError
from gromo_graph.run.data.builtin import TASKS
from gromo_graph.run.data.python_objects import read_object
from gromo_graph.run.data.sources import read_source
from gromo_graph.spec.train_settings import BUILT_IN_DATA


def _csv(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "data.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_built_in_sets_are_those_that_a_spec_can_name() -> None:
    assert tuple(TASKS) == BUILT_IN_DATA


@pytest.mark.parametrize("name", TASKS)
def test_built_in(name: str) -> None:
    raw = read_source(name)
    assert len(raw.x) == len(raw.y) > 100  # type: ignore[arg-type]
    assert raw.task == TASKS[name]
    assert bool(raw.classes) == (raw.task == "classification")
    assert len(raw.features) == raw.x[0].size


@pytest.mark.parametrize(
    "text",
    [
        "a,b,target\n1,2,0\n3,4,1\n",
        "target,a,b\n0,1,2\n1,3,4\n",
        "1,2,0\n3,4,1\n",
        "a;b;c\n1;2;0\n3;4;1\n",
        "\ufeffa\tb\tc\n\n1\t2\t0\n3\t4\t1\n",
    ],
)
def test_csv_with_and_without_header(tmp_path: Path, text: str) -> None:
    raw = read_source(_csv(tmp_path, text))
    np.testing.assert_array_equal(raw.x, [[1, 2], [3, 4]])
    assert raw.y is not None
    np.testing.assert_array_equal(raw.y, [0, 1])


def test_csv_text_labels(tmp_path: Path) -> None:
    raw = read_source(_csv(tmp_path, "5.1,3.5,setosa\n7,3.2,virginica\n"))
    assert raw.y is not None
    assert raw.y.tolist() == ["setosa", "virginica"]
    assert raw.features == ()


def test_csv_columns_of_a_trained_network_are_found_by_name(tmp_path: Path) -> None:
    raw = read_source(_csv(tmp_path, "id,b,a\nrow one,2,1\n"), known=("a", "b"), size=2, target=False)
    np.testing.assert_array_equal(raw.x, [[1, 2]])
    assert raw.y is None


@pytest.mark.parametrize("header", ["A,b", "b,c", "x,y,target"])
def test_csv_columns_under_other_names_are_not_read_by_position(tmp_path: Path, header: str) -> None:
    row = ",".join("1" for _ in header.split(","))
    with pytest.raises(
        RunError, match=r"trained on the columns a, b: missing .*, found " + header.replace(",", ", ")
    ):
        read_source(_csv(tmp_path, f"{header}\n{row}\n"), known=("a", "b"), size=2, target=False)


def test_csv_target_is_the_column_of_that_name_or_the_last(tmp_path: Path) -> None:
    raw = read_source(_csv(tmp_path, "x,y,z,kind\n1,2,3,0\n4,5,6,1\n"))
    assert raw.features == ("x", "y", "z")
    assert raw.y is not None
    assert raw.y.tolist() == [0, 1]
    named = read_source(_csv(tmp_path, "x,target,z\n1,2,3\n4,5,6\n"))
    assert named.features == ("x", "z")


@pytest.mark.parametrize(("text", "size"), [("1,2\n3,4\n", 2), ("1,2,\n3,4,\n", 2), ("p,q\n1,2\n3,4\n", 2)])
def test_csv_for_prediction_may_lack_the_target(tmp_path: Path, text: str, size: int) -> None:
    raw = read_source(_csv(tmp_path, text), size=size, target=False)
    np.testing.assert_array_equal(raw.x, [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("a,b,target\n", "no sample"),
        ("a,b,target\n1,2,0\n1,x,0\n", r"data.csv:3: column `b` holds 'x': expected a number"),
        ("a,b,target\n1,2,0\n1,2\n", r"data.csv:3: 2 cells: expected 3, as many as line 1 has"),
        ('a,b,target\n1,"2,0\n', r"data.csv:\d: this line is no CSV"),
        ("a,target\n1,one\n2,\n", "data.csv:3: column `target` is empty"),
        (b"a,b,target\n1,\xff,0\n", "no UTF-8"),
        ("1\n2\n", "one column only"),
    ],
)
def test_csv_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(RunError, match=message):
        read_source(_csv(tmp_path, text))


@pytest.mark.parametrize("name", ["none.csv", "none.npz"])
def test_missing_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="cannot be read: No such file"):
        read_source(tmp_path / name)


def test_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.ones((3, 2, 2), np.uint8), y=np.array(["a", "b", "a"]))
    raw = read_source("d.npz", folder=tmp_path)
    assert raw.x.shape == (3, 2, 2)
    assert raw.x.dtype == np.float64
    assert raw.y is not None
    assert raw.y.tolist() == ["a", "b", "a"]


def test_npz_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x=np.ones((3, 2)), labels=np.ones(3))
    with pytest.raises(RunError, match="array y is missing: found labels, x"):
        read_source(path)
    np.savez(path, x=np.array([{}, {}], dtype=object), y=np.ones(2))
    with pytest.raises(RunError, match="Python objects, which are never loaded"):
        read_source(path)
    path.write_bytes(pickle.dumps({"x": 1}))
    with pytest.raises(RunError, match="never loaded"):
        read_source(path)
    np.savez(path, x=np.ones((3, 2)), y=np.ones(4))
    with pytest.raises(RunError, match="3 samples in x but 4 targets in y"):
        read_source(path)
    np.savez(path, x=np.ones(3), y=np.ones(3))
    with pytest.raises(RunError, match=r"x has shape \(3,\): expected \(samples, features\)"):
        read_source(path)
    np.savez(path, x=np.ones((0, 3)), y=np.ones(0))
    with pytest.raises(RunError, match="no samples"):
        read_source(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match=r"d\.npz"):
        read_source(path)
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(RunError, match="one array without a name"):
        read_source(path)
    path.write_bytes(b"")
    with pytest.raises(RunError, match=r"no sound \.npz"):
        read_source(path)


def test_unknown_name() -> None:
    with pytest.raises(RunError, match="unknown data 'digts': did you mean `digits`"):
        read_source("digts")


def test_code_runs_only_where_it_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_data.py").write_text(
        "def load():\n    return [[1.0], [2.0]], [0, 1]\n\ndef broken():\n    raise ValueError('no such disk')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(RunError, match="only where it is given with --data"):
        read_source("their_data:load", trusted=False)
    assert "their_data" not in sys.modules
    assert read_source("their_data:load").x.tolist() == [[1.0], [2.0]]
    with pytest.raises(RunError, match=r"`broken\(\)` raised ValueError: no such disk"):
        read_source("their_data:broken")
    with pytest.raises(RunError, match="has no function `nothing`"):
        read_source("their_data:nothing")
    with pytest.raises(RunError, match="cannot be imported"):
        read_source("no_such_module:load")


class _Pairs(torch.utils.data.Dataset):  # type: ignore[type-arg]
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.full((2,), float(index)), index


def test_objects() -> None:
    for value in (
        ([[0, 0], [1, 1], [2, 2]], [0, 1, 2]),
        {"x": np.array([[0, 0], [1, 1], [2, 2]]), "y": [0, 1, 2]},
    ):
        assert read_object(value).y.tolist() == [0, 1, 2]  # type: ignore[union-attr]
    raw = read_object(_Pairs())
    assert raw.x.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert read_object({"x": [[1]], "y": [0], "features": ["a"], "classes": ["c"]}).classes == ("c",)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "found int: expected"),
        ({"x": [[1]]}, "expected the keys x and y"),
        (([[1], [2, 3]], [0, 1]), "rows of equal length"),
        ((["a", "b"], [0, 1]), "x holds <U1: expected numbers"),
        ([1, 2], "items are pairs"),
    ],
)
def test_objects_refused(value: object, message: str) -> None:
    with pytest.raises(RunError, match=message):
        read_object(value)


def test_fingerprint_is_of_the_content_alone(tmp_path: Path) -> None:
    first = read_source(_csv(tmp_path, "a,b,target\n1,2,0\n3,4,1\n"))
    np.savez(tmp_path / "same.npz", x=[[1, 2], [3, 4]], y=[0, 1])
    assert read_source(tmp_path / "same.npz").fingerprint == first.fingerprint
    np.savez(tmp_path / "other.npz", x=[[1, 2], [3, 4]], y=[1, 1])
    assert read_source(tmp_path / "other.npz").fingerprint != first.fingerprint
