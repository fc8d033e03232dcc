"""The estimators keep the rules of scikit-learn, train on what they should, and grow."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_friedman1
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.estimator_checks import parametrize_with_checks

from gromo_graph import GrowingClassifier, GrowingRegressor, RunError, SpecError, load_spec, parse_spec
from gromo_graph.interop import growing_estimator
from gromo_graph.run.data.split import hold_out

ROOT = Path(__file__).resolve().parent.parent.parent
IRIS = load_iris(return_X_y=True)
QUICK: dict[str, Any] = {"epochs": 20, "batch_size": 32, "lr": 0.02, "random_state": 0}
QUICKER = {**QUICK, "epochs": 10}

IMAGES = """
name: images
nodes:
  picture: {kind: input, shape: [1, 8, 8]}
  edges:   {kind: conv2d, from: picture, features: 1, kernel: 3, activation: relu}
  small:   {kind: max_pool2d, from: edges, kernel: 3}
  flat:    {kind: flatten, from: small}
  digit:   {kind: linear, from: flat, features: 2}
output: digit
train: {epochs: 4}
"""


def not_repeated(estimator: Any) -> dict[str, str]:
    """The one check that cannot pass: a sample of weight 2 is not two samples, one of which may be held out."""
    reason = "a share of the samples is held out, and batches are drawn"
    return {f"check_sample_weight_equivalence_on_{form}_data": reason for form in ("dense", "sparse")}


@pytest.mark.slow
@parametrize_with_checks(
    [GrowingClassifier(**QUICKER), GrowingRegressor(**QUICKER)], expected_failed_checks=not_repeated
)
def test_scikit_learn_s_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_it_grows_and_one_seed_gives_one_network() -> None:
    x, y = IRIS
    first, second = (GrowingClassifier(hidden=(2,), **QUICK).fit(x, y) for _ in range(2))
    assert first.score(x, y) > 0.9
    assert any(event.decision is not None for event in first.events_)
    assert first.network_.graph.features("hidden1") > 2
    assert first.network_.spec == second.network_.spec
    assert np.array_equal(first.predict_proba(x), second.predict_proba(x))
    other = GrowingClassifier(hidden=(2,), **{**QUICK, "random_state": 1}).fit(x, y)
    assert not np.array_equal(first.predict_proba(x), other.predict_proba(x))


def test_all_is_trained_on_but_the_share_that_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def watched(command: Any, start: Any, **rest: Any) -> Any:
        seen.append(start.data)
        return run(command, start, **rest)

    run = growing_estimator.in_memory
    monkeypatch.setattr(growing_estimator, "in_memory", watched)
    x, y = IRIS
    model = GrowingClassifier(epochs=1, validation_fraction=0.1, random_state=0).fit(x, y)
    (data,) = seen
    assert (len(data.train), len(data.validation), data.test) == (135, 15, None)
    assert np.bincount(data.validation.y).tolist() == [5, 5, 5]
    whole = np.concatenate([data.train.x.numpy(), data.validation.x.numpy()])
    mean, scale = (np.array(values) for values in (model.run_.preparation.mean, model.run_.preparation.scale))
    assert sorted(map(tuple, (whole * scale + mean).round(1))) == sorted(map(tuple, x.round(1)))
    assert model.run_.data is None


def test_what_is_held_out_leaves_a_sample_of_each_class_to_train_on() -> None:
    labels = np.array([0] * 7 + [1] * 2 + [2])
    parts = hold_out(10, labels, 0.5, seed=3)
    assert sorted([*parts.train, *parts.validation]) == list(range(10))
    assert set(labels[parts.train]) == {0, 1, 2}
    assert 2 not in labels[parts.validation]
    assert len(hold_out(5, None, 0.01, seed=0).validation) == 1


@pytest.mark.parametrize("form", ["spec", "text", "path"])
def test_a_spec_gets_the_sizes_of_the_data(form: str, tmp_path: Path) -> None:
    text = (ROOT / "specs" / "digits_mlp.yaml").read_text()
    file = tmp_path / "mlp.yaml"
    file.write_text(text)
    given = {"spec": parse_spec(text), "text": text, "path": file}[form]
    model = GrowingClassifier(given, max_parameters=80, **QUICK).fit(*IRIS)
    spec = model.network_.spec
    assert (spec.nodes["pixels"].shape, spec.nodes["logits"].features) == ((4,), 3)
    assert spec.growth.stop.parameters == 80
    assert model.network_.graph.parameter_count <= 80
    assert (spec.train.epochs, spec.train.batch_size, spec.train.optimizer.lr) == (20, 32, 0.02)
    assert spec.train.optimizer.weight_decay == 0.2  # what nobody asked to change is that of the spec


def test_rows_of_pixels_become_images() -> None:
    x, y = load_digits(n_class=4, return_X_y=True)
    model = GrowingClassifier(IMAGES, random_state=0, epochs=8).fit(x, y)
    assert model.network_.graph.shapes["digit"] == (4,)
    assert model.score(x, y) > 0.8
    with pytest.raises(
        RunError, match=r"X has 4 features, but the input `picture` .* \[1, 8, 8\], 64 numbers"
    ):
        GrowingClassifier(IMAGES).fit(*IRIS)


def test_specs_that_cannot_serve_are_refused() -> None:
    with pytest.raises(SpecError):
        GrowingClassifier("nodes: {\n").fit(*IRIS)
    with pytest.raises(SpecError, match="epochs"):
        GrowingClassifier(epochs=0).fit(*IRIS)
    with pytest.raises(RunError, match="2 inputs"):
        GrowingClassifier(load_spec(ROOT / "specs" / "two_inputs.yaml")).fit(*IRIS)
    joined = """
nodes:
  x: {kind: input, shape: [4]}
  a: {kind: linear, from: x, features: 2}
  y: {kind: merge, from: [x, a], merge: concat}
output: y
name: joined
"""
    with pytest.raises(RunError, match="output `y` of `joined` would have 6 features where 3 are needed"):
        GrowingClassifier(joined).fit(*IRIS)


def test_labels_come_back_as_they_were() -> None:
    x, y = IRIS
    words = np.array(["setosa", "versicolor", "virginica"], dtype=object)[y]
    model = GrowingClassifier(**QUICK).fit(x, words)
    assert list(model.classes_) == ["setosa", "versicolor", "virginica"]
    assert np.mean(model.predict(x) == words) > 0.9
    assert model.run_.predict(x[:1]).tolist() == model.predict(x[:1]).tolist()
    rows = y < 2
    numbers = np.where(y[rows] == 0, -3, 7)
    assert set(GrowingClassifier(**QUICK).fit(x[rows], numbers).predict(x[rows])) == {-3, 7}


def test_values_are_predicted_in_their_unit() -> None:
    x, y = make_friedman1(300, random_state=0)
    both = np.stack([y, 1000.0 - 50.0 * y], axis=1)
    model = GrowingRegressor(**{**QUICK, "epochs": 40}).fit(x, both)
    assert model.predict(x).shape == (300, 2)
    assert model.score(x, both) > 0.8
    assert abs(model.predict(x)[:, 1].mean() - both[:, 1].mean()) < 50


def test_a_copy_and_a_pickle_are_the_same_estimator() -> None:
    x, y = np.tile(IRIS[0], (20, 1)), np.tile(IRIS[1], 20)
    model = GrowingClassifier(
        parse_spec(IMAGES.replace("[1, 8, 8]", "[1, 2, 2]").replace("kernel: 3", "kernel: 1"))
    )
    assert clone(model).get_params() == model.get_params()
    model = GrowingClassifier(**{**QUICK, "epochs": 3}, max_parameters=1000).fit(x, y)
    text = pickle.dumps(model)
    assert np.array_equal(pickle.loads(text).predict_proba(x), model.predict_proba(x))  # noqa: S301 - our own
    assert len(text) < x.nbytes  # no samples in it
    assert not hasattr(clone(model), "network_")
    assert model.set_params(hidden=(3,), epochs=2).fit(x, y).network_.spec.train.epochs == 2


def test_it_works_where_estimators_do() -> None:
    x, y = IRIS
    quick = GrowingClassifier(**{**QUICK, "epochs": 10})
    line = make_pipeline(PolynomialFeatures(2), quick)
    assert cross_val_score(line, x, y, cv=3).mean() > 0.85
    grid = GridSearchCV(quick, {"max_parameters": [40, 120], "hidden": [(2,), (2, 2)]}, cv=2).fit(x, y)
    assert grid.best_estimator_.network_.graph.parameter_count <= grid.best_params_["max_parameters"]
    assert grid.score(x, y) > 0.8


def test_columns_keep_their_names() -> None:
    names = ["sepal length", "sepal width", "petal length", "petal width"]
    model = GrowingClassifier(**{**QUICK, "epochs": 2}).fit(pandas.DataFrame(IRIS[0], columns=names), IRIS[1])
    assert model.feature_names_in_.tolist() == names
    assert model.run_.preparation.features == tuple(names)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(pandas.DataFrame(IRIS[0], columns=names[::-1]))


def test_each_growth_step_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    model = GrowingClassifier(hidden=(1,), verbose=True, **QUICK).fit(*IRIS)
    told = capsys.readouterr().out.splitlines()
    assert len(told) == len(model.events_)
    assert told[0].startswith("epoch 1 of 20: widen hidden1 by ")


def test_data_that_cannot_serve_are_refused() -> None:
    x, y = IRIS
    with pytest.raises(ValueError, match="y has one class, `0`: expected two"):
        GrowingClassifier().fit(x[:10], np.zeros(10, dtype=int))
    for share in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="expected a share between 0 and 1"):
            GrowingClassifier(validation_fraction=share).fit(x, y)
    with pytest.raises(ValueError, match="max_parameters=100, but the network begins with 139"):
        GrowingClassifier(hidden=(8, 8), max_parameters=100).fit(x, y)
    with pytest.raises(NotFittedError):
        GrowingRegressor().predict(x)
    with pytest.raises(RunError, match="unknown device 'tpu'"):
        GrowingRegressor(device="tpu").fit(x, y)


def test_weights_of_classes_and_samples_are_those_of_the_loss() -> None:
    random = np.random.default_rng(0)
    rare = np.arange(240) % 8 == 0
    x, y = random.normal(size=(240, 2)) + 1.2 * rare[:, None], np.where(rare, "yes", "no")
    quick = {**QUICK, "epochs": 8, "max_parameters": 500}
    plain = GrowingClassifier(**quick).fit(x, y)
    balanced = GrowingClassifier(**quick, class_weight="balanced").fit(x, y)
    given = GrowingClassifier(**quick, class_weight={"yes": 7.0}).fit(x, y)
    weighted = GrowingClassifier(**quick).fit(x, y, sample_weight=np.where(rare, 7.0, 1.0))
    shares = [(model.predict(x) == "yes").mean() for model in (plain, balanced, given, weighted)]
    assert shares[0] < 0.1 < min(shares[1:])
    np.testing.assert_allclose(given.predict_proba(x), weighted.predict_proba(x), atol=0.02)
    same = GrowingClassifier(**quick).fit(x, y, sample_weight=np.full(240, 3.0))
    assert np.array_equal(same.predict_proba(x), plain.predict_proba(x)), "equal weights are no weights"
    without = GrowingClassifier(**quick).fit(x[:120], y[:120])
    left_out = GrowingClassifier(**quick).fit(x, y, sample_weight=(np.arange(240) < 120).astype(float))
    assert np.array_equal(left_out.predict_proba(x), without.predict_proba(x))
    with pytest.raises(RunError, match="did you mean `yes`"):
        GrowingClassifier(**quick, class_weight={"yess": 7.0}).fit(x, y)


def test_partial_fit_goes_on_and_grows() -> None:
    x, y = IRIS
    order = np.random.default_rng(0).permutation(len(y))
    model = GrowingClassifier(hidden=(1,), lr=0.05, batch_size=16, max_parameters=90, random_state=0)
    losses, sizes = [], []
    for _ in range(5):
        for rows in np.split(order, 2):
            model.partial_fit(x[rows], y[rows], classes=[0, 1, 2])
        losses.append(-np.log(model.predict_proba(x)[np.arange(150), y]).mean())
        sizes.append(model.network_.graph.parameter_count)
    assert losses[-1] < 0.7 * losses[0]
    assert sizes == sorted(sizes)
    assert 11 < sizes[-1] <= 90
    assert model.score(x, y) > 0.85
    assert len([event for event in model.events_ if event.decision]) >= 2
    with pytest.raises(ValueError, match="label `3`, which is none of the classes"):
        model.partial_fit(x, y + 1)
    targets = np.stack([x[:, 0], x[:, 1] ** 2], axis=1)
    regressor = GrowingRegressor(hidden=(2,), lr=0.05, random_state=0).partial_fit(x, targets)
    assert regressor.partial_fit(x, targets).predict(x).shape == (150, 2)


def test_the_default_start_fits_a_small_budget() -> None:
    x, y = IRIS
    model = GrowingClassifier(max_parameters=60, **QUICK).fit(x, y)
    assert model.events_[0].parameters_before <= 30
    assert model.network_.graph.parameter_count <= 60
    assert any(event.decision is not None for event in model.events_)
    with pytest.raises(ValueError, match="max_parameters=10, but the network begins with 11"):
        GrowingClassifier(max_parameters=10).fit(x, y)
