"""Data are checked, standardised from the training part alone, and split the same for every seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gromo_graph.errors import RunError
from gromo_graph.run.data.load_data import load_data
from gromo_graph.run.data.preparation import Preparation
from gromo_graph.spec import parse_spec
from tests.run.specs import DIABETES, classifier, iris

_RANDOM = np.random.RandomState(1)


def _rows(samples: int = 40, features: int = 2) -> np.ndarray:  # type: ignore[type-arg]
    return _RANDOM.normal(3.0, 2.0, (samples, features))


def test_split_is_fixed_stratified_and_whole() -> None:
    first, second = load_data("iris", iris()), load_data("iris", iris())
    assert [len(part) for part in first.parts.values()] == [90, 30, 30]
    for name, part in first.parts.items():
        assert torch.equal(part.x, second.parts[name].x)
        assert torch.bincount(part.y).tolist() == [len(part) // 3] * 3
    rows = torch.cat([part.x for part in first.parts.values()])
    whole = first.preparation.inputs(np.asarray(load_raw_iris()))
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, whole.tolist()))


def load_raw_iris() -> np.ndarray:  # type: ignore[type-arg]
    from gromo_graph.run.data.builtin import read_builtin

    return read_builtin("iris").x


def test_standardised_from_the_training_part_alone() -> None:
    x, y = _rows(), np.tile([0, 1], 20)
    data = load_data((x, y), classifier())
    assert torch.allclose(data.train.x.mean(0), torch.zeros(2), atol=1e-6)
    assert torch.allclose(data.train.x.std(0, unbiased=False), torch.ones(2), atol=1e-6)
    assert not torch.allclose(data.test.x.mean(0), torch.zeros(2), atol=1e-3)
    held_out = [
        i for i in range(40) if not (data.preparation.inputs(x[i : i + 1]) == data.train.x).all(1).any()
    ]
    assert len(held_out) == 16
    x[held_out] *= 100.0
    assert load_data((x, y), classifier()).preparation.mean == data.preparation.mean


def test_a_constant_feature_stays_finite() -> None:
    x = _rows()
    x[:, 1] = 7.0
    data = load_data((x, np.tile([0, 1], 20)), classifier())
    assert (data.train.x[:, 1] == 0).all()


def test_images_are_standardised_by_channel_and_fit_flat_inputs() -> None:
    images = _RANDOM.normal(size=(40, 1, 3, 3))
    images[:, :, 0, 0] = 0.0  # a pixel that never changes
    labels = np.tile([0, 1], 20)
    data = load_data((images, labels), classifier(9))
    assert data.train.x.shape == (24, 9)
    assert len(set(data.preparation.scale)) == 1
    flat = load_data((images.reshape(40, 9), labels), classifier(9))
    assert len(set(flat.preparation.scale)) > 1
    assert flat.fingerprint == data.fingerprint


def test_regression_targets_are_standardised_and_given_back() -> None:
    spec = parse_spec(DIABETES)
    data = load_data("diabetes", spec)
    assert data.train.y.shape == (data.train.x.shape[0], 1)
    assert abs(float(data.train.y.mean())) < 1e-6
    found = data.preparation.labels(data.train.y)
    assert found.shape == (len(data.train),)
    assert found.min() >= 24.9
    assert 300 < found.max() <= 346.1


def test_text_labels_become_classes() -> None:
    data = load_data((_rows(12), np.array(["no", "yes"] * 6)), classifier())
    assert data.preparation.classes == ("no", "yes")
    assert data.preparation.labels(torch.tensor([[0.0, 1.0]])).tolist() == ["yes"]


def test_preparation_survives_json() -> None:
    import json

    for spec in (iris(), parse_spec(DIABETES)):
        preparation = load_data(spec.train.data, spec).preparation
        assert Preparation.from_dict(json.loads(json.dumps(preparation.to_dict()))) == preparation


def _nan(value: float) -> np.ndarray:  # type: ignore[type-arg]
    x = _rows()
    x[4, 1] = x[7, 0] = value
    return x


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (
            _nan(np.nan),
            [0, 1] * 20,
            "2 values that are missing, NaN or infinite, the first in row 5, column 2",
        ),
        (_nan(np.inf), [0, 1] * 20, "the first in row 5, column 2"),
        (_rows(), [0.0, np.nan] * 20, "the first in row 2, the target"),
        (_rows(), [0, 2] * 20, "labels outside the classes: found 2 in 20 of 40 samples, expected .* 0 to 1"),
        (_rows(), [-1, 1] * 20, "labels outside the classes: found -1"),
        (_rows(), ["a", "b", "c", "d"] * 10, "4 classes, but the output of the spec has 2 features"),
        (_rows(), [0.5, 1] * 20, "holds 0.5, so this is regression"),
        (_rows(), [0] * 38 + [1] * 2, r"too few samples of `1` \(2\): each class needs at least 3"),
        (_rows(40, 3), [0, 1] * 20, r"a sample has the shape \[3\], but the input of the spec has \[2\]"),
        (_rows(), [[0, 1]] * 40, "expected one class for each sample"),
        (_rows() * 1e300, [0, 1] * 20, "cannot be standardised"),
    ],
)
def test_refused(x: np.ndarray, y: list[object], message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(RunError, match=message):
        load_data((x, y), classifier())


def test_task_and_loss_have_to_agree() -> None:
    with pytest.raises(RunError, match=r"diabetes: these data are for regression, .*write `train.loss: mse`"):
        load_data("diabetes", iris(nodes__x__shape="[10]"))
    with pytest.raises(RunError, match=r"iris: these data are for classification, .*cross_entropy"):
        load_data("iris", iris(train__loss="mse"))
    with pytest.raises(RunError, match="holds text"):
        load_data((_rows(), ["a", "b"] * 20), classifier(**{"train.loss": "mse"}))
    with pytest.raises(RunError, match=r"1 target value.* has 2 features"):
        load_data((_rows(), [0.5, 1] * 20), classifier(**{"train.loss": "mse"}))


def test_fewer_classes_than_output_features() -> None:
    data = load_data("iris", iris(nodes__y__features="5"))
    assert data.preparation.classes == ("setosa", "versicolor", "virginica", 3, 4)
    with pytest.raises(RunError, match="3 classes, but the output of the spec has 2 features"):
        load_data("iris", iris(nodes__y__features="2"))


def test_one_input_and_one_output() -> None:
    two = """\
name: two
nodes:
  a: {kind: input, shape: [2]}
  b: {kind: input, shape: [2]}
  c: {kind: merge, from: [a, b]}
  y: {kind: linear, from: c, features: 2}
output: y
"""
    with pytest.raises(RunError, match="2 inputs and 1 outputs"):
        load_data((_rows(), [0, 1] * 20), parse_spec(two))
