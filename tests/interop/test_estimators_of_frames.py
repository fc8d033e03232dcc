"""Estimators fitted on DataFrames with columns of any kind."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import cross_val_score

from gromo_graph import GrowingClassifier, GrowingRegressor
from gromo_graph.errors import RunError
from tests.run.tables.tables import shop, shop_spec

QUICK: dict[str, Any] = {"epochs": 15, "batch_size": 16, "lr": 0.02, "random_state": 0}


def _frame() -> pd.DataFrame:
    return shop(150).drop(columns=["kind", "price"])


def test_a_classifier_of_a_frame() -> None:
    frame, y = _frame(), shop(150)["kind"]
    model = GrowingClassifier(**QUICK).fit(frame, y)
    assert model.score(frame, y) > 0.75
    assert model.feature_names_in_.tolist() == list(frame.columns)
    assert "column `customer_id`: a different whole number in each row" in str(model.run_.summary["notes"])
    new = frame.head(4).copy()
    new["city"], new["age"] = "Kyiv", None
    assert np.isfinite(model.predict_proba(new)).all()
    again = pickle.loads(pickle.dumps(model))  # noqa: S301 - made here
    assert again.predict(frame).tolist() == model.predict(frame).tolist()
    assert set(model.predict(new)) <= {"old", "new"}


def test_the_preprocessing_is_learned_from_the_rows_that_are_trained_on() -> None:
    frame, y = _frame(), shop(150)["price"]
    frame["age"] += np.linspace(0.0, 0.9, len(frame))
    model = GrowingRegressor(**{**QUICK, "epochs": 1}, validation_fraction=0.5).fit(frame, y)
    table = model.run_.preparation.table
    assert table is not None
    (age,) = (column for column in table.columns if column.name == "age")
    assert age.kind == "number"
    assert age.fill != frame["age"].median()
    assert model.predict(frame.head(3)).shape == (3,)


def test_folds_of_a_frame() -> None:
    scores = cross_val_score(GrowingRegressor(**QUICK), _frame(), shop(150)["price"], cv=2)
    assert scores.mean() > 0.2


def test_the_lists_of_a_spec_are_followed() -> None:
    spec = shop_spec(1, "{file: shop.csv, target: kind, categorical: [age], drop: [since, customer_id]}")
    model = GrowingClassifier(spec, **{**QUICK, "epochs": 1}).fit(_frame(), shop(150)["kind"])
    assert not any(name.startswith("since") for name in model.run_.preparation.features)
    assert any(name.startswith("age=") for name in model.run_.preparation.features)


def test_frames_of_numbers_are_read_as_before() -> None:
    frame = _frame()[["age"]].fillna(40.0).assign(other=1.0 * np.arange(150))
    model = GrowingClassifier(**QUICK).fit(frame, shop(150)["kind"])
    assert model.run_.preparation.table is None
    with pytest.raises(ValueError, match="NaN"):
        GrowingClassifier(**QUICK).fit(frame.assign(age=np.nan), shop(150)["kind"])


def test_what_is_wrong_with_a_frame_is_told() -> None:
    model = GrowingClassifier(**{**QUICK, "epochs": 1}).fit(_frame(), shop(150)["kind"])
    with pytest.raises(RunError, match=r"column `age`: 'forty' in row 1, .* and 147 more: expected a number"):
        model.predict(_frame().astype({"age": object}).assign(age="forty"))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(_frame().rename(columns={"age": "years"}))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        GrowingClassifier(**QUICK).fit(_frame(), shop(20)["kind"])
    words = [f"some words of row {row}" for row in range(150)]
    with pytest.raises(RunError, match="column `note`: free text"):
        GrowingClassifier(**QUICK).fit(_frame().assign(note=words), shop(150)["kind"])
