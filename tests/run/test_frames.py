"""DataFrames and Series as data: their columns by name, their texts and categories as classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gromo_graph import grow, load_run
from gromo_graph.errors import RunError
from gromo_graph.interop.estimators import GrowingClassifier, GrowingRegressor
from gromo_graph.run.data.python_objects import read_object
from gromo_graph.run.data.sources import read_source
from tests.run.specs import classifier

_RANDOM = np.random.RandomState(3)
_X = _RANDOM.normal(size=(60, 2))
_LABELS = np.where(_X[:, 0] > 0, "yes", "no")


def _frame() -> pd.DataFrame:
    return pd.DataFrame({"a": _X[:, 0], "target": _LABELS, "b": _X[:, 1]})


def _spec(**values: str) -> Any:
    return classifier(**{"train.epochs": "12", "train.optimizer.lr": "0.05", **values})


def test_a_frame_reads_as_the_table_of_its_file(tmp_path: Path) -> None:
    frame = _frame()
    frame.to_csv(tmp_path / "data.csv", index=False)
    read, told = read_object(frame), read_source(tmp_path / "data.csv")
    assert read.features == told.features == ("a", "b")
    np.testing.assert_allclose(read.x, told.x)
    assert read.y is not None
    assert told.y is not None
    assert read.y.tolist() == told.y.tolist() == _LABELS.tolist()


def test_the_last_column_is_the_target_if_none_is_called_so() -> None:
    raw = read_object(pd.DataFrame({"a": [1, 2], "b": [3, 4], "kind": [0, 1]}))
    assert raw.features == ("a", "b")
    assert raw.y is not None
    assert raw.y.tolist() == [0, 1]
    plain = read_object(pd.DataFrame(np.arange(6.0).reshape(2, 3)))
    assert plain.features == ()
    assert plain.x.tolist() == [[0, 1], [3, 4]]


@pytest.mark.parametrize("dtype", [object, "str", "category"])
def test_a_run_of_a_frame_finds_columns_by_name(tmp_path: Path, dtype: Any) -> None:
    frame = _frame().astype({"target": dtype})
    run = grow(_spec(), data=frame, out=tmp_path / "run", device="cpu")
    assert run.preparation.classes == ("no", "yes")
    expected = run.predict(_X).tolist()
    assert np.mean(np.array(expected) == _LABELS) > 0.8
    turned = frame[["b", "target", "a"]]
    for given in (turned, turned[["b", "a"]], turned.assign(more=1.0)):
        assert run.predict(given).tolist() == expected
    assert run.evaluate(turned)["loss"] == pytest.approx(run.evaluate()["loss"])
    with pytest.raises(RunError, match=r"trained on the columns a, b: missing a"):
        run.predict(frame[["b"]].assign(c=1.0))
    again = load_run(tmp_path / "run")
    assert again.predict(turned).tolist() == expected
    assert again.evaluate((turned[["b", "a"]], turned["target"]))["loss"] == pytest.approx(
        run.evaluate()["loss"]
    )


def test_pairs_and_mappings_of_frame_and_series() -> None:
    frame = _frame()
    x, y = frame[["a", "b"]], frame["target"]
    for value in ((x, y), {"x": x, "y": y}, (x, frame[["target"]]), (x, y.to_numpy()), (x, y.tolist())):
        raw = read_object(value)
        assert raw.features == ("a", "b")
        np.testing.assert_array_equal(raw.x, _X)
        assert raw.y is not None
        assert raw.y.tolist() == _LABELS.tolist()
    several = read_object((x, frame[["a", "b"]])).y
    assert several is not None
    assert several.shape == (60, 2)


def test_categories_are_classes_whatever_they_are() -> None:
    raw = read_object(([[0.0], [1.0], [2.0]], pd.Series([30, 10, 30], dtype="category")))
    assert raw.y is not None
    assert raw.y.tolist() == ["30", "10", "30"]


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", "bool", "int8", "float32", object])
def test_numbers_of_every_dtype(dtype: Any) -> None:
    x = pd.DataFrame({"a": pd.Series([0, 1, 1], dtype=dtype)})
    raw = read_object((x, pd.Series([0, 1, 0], dtype=dtype)))
    assert raw.x.tolist() == [[0.0], [1.0], [1.0]]
    assert raw.y is not None
    assert raw.y.tolist() == [0, 1, 0]


_SHUFFLED = pd.Series([0, 1], index=[1, 0])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (pd.Series([1.0, 2.0]), "found one Series: expected a DataFrame"),
        (pd.DataFrame({"a": [1.0]}), "one column only"),
        (pd.DataFrame({"a": [], "b": []}), "no samples"),
        (
            pd.DataFrame({"a": ["1", "x"], "b": [0, 1]}),
            r"row 1: column `a` holds '1' \(.*\): expected a number",
        ),
        (pd.DataFrame({"a": pd.Categorical([1, 2]), "b": [0, 1]}), None),
        (
            pd.DataFrame({"a": pd.to_datetime(["2020-01-01"]), "b": [0]}),
            "row 1: column `a` holds '2020-01-01",
        ),
        (pd.DataFrame({"a": [1.0, 2.0], "b": ["u", None]}), "row 2: column `b` is empty: expected a class"),
        (pd.DataFrame([[1, 2, 3]], columns=["a", "a", "b"]), "several columns are called `a`"),
        ((pd.DataFrame({"a": [1.0, 2.0]}), _SHUFFLED), "same index in different orders"),
        ((pd.DataFrame({"a": [1.0, 2.0]}), pd.Series([1.0])), "2 samples in x but 1 target in y"),
    ],
)
def test_refused(value: object, message: str | None) -> None:
    if message is None:  # categories that are numbers are numbers as a feature
        assert read_object(value).x.tolist() == [[1.0], [2.0]]
        return
    with pytest.raises(RunError, match=message):
        read_object(value)


def test_missing_numbers_are_told_with_their_column() -> None:
    x = pd.DataFrame({"a": pd.Series([1, None] * 10, dtype="Int64"), "b": 1.0})
    with pytest.raises(RunError, match=r"10 values that are missing, .* in row 2, column `a`"):
        grow(_spec(), data=(x, [0, 1] * 10))


def test_estimators_take_frames() -> None:
    frame = _frame()
    x, y = frame[["a", "b"]], frame["target"].astype("category")
    model = GrowingClassifier(epochs=12, lr=0.05, batch_size=16, random_state=0, device="cpu").fit(x, y)
    assert list(model.feature_names_in_) == ["a", "b"]
    assert set(model.predict(x)) == {"no", "yes"}
    assert model.score(x, y) > 0.8
    values = GrowingRegressor(epochs=2, random_state=0, device="cpu").fit(x, frame["a"]).predict(x)
    assert values.shape == (60,)


def _masked(values: Any) -> Any:
    return np.ma.masked_array(values, mask=np.zeros_like(values, dtype=bool))


@pytest.mark.parametrize(
    "value",
    [
        (_masked(_X), [0, 1] * 30),
        (_X, _masked([0, 1] * 30)),
        {"x": _masked(_X), "y": [0, 1] * 30},
        ([*_masked(_X)], [0, 1] * 30),
        [(_masked(row), 0) for row in _X],
    ],
)
def test_masked_arrays_are_refused(value: Any) -> None:
    with pytest.raises(RunError, match=r"is a masked array, .* fill them in"):
        grow(_spec(), data=value)


def test_masked_arrays_are_refused_by_predict_and_by_estimators() -> None:
    run = grow(_spec(**{"train.epochs": "1"}), data=(_X, [0, 1] * 30))
    with pytest.raises(RunError, match="x is a masked array"):
        run.predict(_masked(_X))
    model = GrowingClassifier(epochs=1, random_state=0, device="cpu")
    for x, y in ((_masked(_X), _LABELS), (_X, _masked([0, 1] * 30))):
        with pytest.raises(ValueError, match="masked array"):
            model.fit(x, y)
    with pytest.raises(ValueError, match="masked array"):
        model.fit(_X, _LABELS).predict(_masked(_X))
