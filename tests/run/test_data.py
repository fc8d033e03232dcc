"""Data are checked, standardised from the training part alone, and split the same for every seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gromo_graph import dump_spec, from_torch, grow, load_run
from gromo_graph.errors import RunError
from gromo_graph.run.data.load_data import load_data
from gromo_graph.run.data.preparation import Preparation
from gromo_graph.run.measured_plan import plan
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
    with pytest.raises(RunError, match=r"the target holds text \('[a-z]+'\)"):
        load_data((_rows(), ["a", "b"] * 20), classifier(**{"train.loss": "mse"}))
    with pytest.raises(RunError, match=r"1 target value.* has 2 features"):
        load_data((_rows(), [0.5, 1] * 20), classifier(**{"train.loss": "mse"}))


def test_fewer_classes_than_output_features() -> None:
    data = load_data("iris", iris(nodes__y__features="5"))
    assert data.preparation.classes == ("setosa", "versicolor", "virginica", 3, 4)
    with pytest.raises(RunError, match="3 classes, but the output of the spec has 2 features"):
        load_data("iris", iris(nodes__y__features="2"))


@pytest.mark.parametrize("labels", [[0, 1], ["no", "yes"]])
def test_outputs_that_no_class_is_for_are_refused_or_said(labels: list[object], tmp_path: Path) -> None:
    data = (_rows(), labels * 20)
    said = "the output of the spec has 5 features for 2 classes: no sample teaches the other 3"
    for begin in (grow, plan):
        with pytest.raises(RunError, match=said + ": write as many `features`.*allow_unused_outputs: true"):
            begin(classifier(outputs=5), data=data)
    allowed = classifier(outputs=5, **{"train.allow_unused_outputs": "true", "train.epochs": "1"})
    with pytest.warns(UserWarning, match=said) as caught:
        run = grow(allowed, data=data, out=tmp_path / "run", device="cpu")
    assert len(caught) == 1
    told, guess = run.summary["notes"]
    assert told == f"data: {said}"
    assert "no better than always saying" in guess, "nothing could be learned from these labels"
    again = load_run(tmp_path / "run")
    assert again.summary == run.summary
    assert again.evaluate(data) == run.evaluate()  # said once


def test_token_ids_and_imported_heads_may_have_more_outputs_than_classes() -> None:
    ids = np.tile(np.arange(4), (40, 1))
    spec = parse_spec(
        """
nodes:
  x: {kind: input, shape: [4]}
  e: {kind: embedding, from: x, vocabulary: 5, features: 2}
  f: {kind: flatten, from: e}
  y: {kind: linear, from: f, features: 6}
output: y
train: {epochs: 1}
"""
    )
    with pytest.warns(UserWarning, match="6 features for 2 classes"):
        assert grow(spec, data=(ids, [0, 1] * 20)).summary["notes"]
    head = from_torch(torch.nn.Sequential(torch.nn.Linear(2, 10)), torch.zeros(1, 2)).spec
    imported = parse_spec(dump_spec(head), overrides={"train.epochs": "1"})
    with pytest.warns(UserWarning, match="10 features for 2 classes"):
        grow(imported, data=(_rows(), [0, 1] * 20))


def test_what_never_changes_is_said() -> None:
    x = np.column_stack([_rows(40, 1), np.full(40, 7.0), 1e6 + 1e-8 * _rows(40, 1)])
    x[:, 0] *= 1e-15  # small, and not constant
    said = r"columns 2, 3 are constant in the training part \(the standard deviation is under 1e-12 of the scale\)"
    with pytest.warns(UserWarning, match=said) as caught:
        run = grow(classifier(3, **{"train.epochs": "1"}), data=(x, [0, 1] * 20))
    assert len(caught) == 1
    told, guess = run.summary["notes"]
    assert "constant" in told
    assert "no better than always saying" in guess
    assert float(run.data.train.x[:, 0].std()) == pytest.approx(1.0, abs=0.05)  # type: ignore[union-attr]
    named = load_data({"x": x, "y": [0, 1] * 20, "features": ["a", "b", "c"]}, classifier(3))
    assert named.notes[0].startswith("data: columns `b`, `c` are constant")
    many = load_data((np.column_stack([_rows(), np.ones((40, 7))]), [0, 1] * 20), classifier(9))
    assert "columns 3, 4, 5, 6, 7 and 2 more are constant" in many.notes[0]
    images = _RANDOM.normal(size=(40, 2, 3))
    images[:, 1] = 0.0
    assert "channel 2 is constant" in load_data((images, [0, 1] * 20), classifier(6)).notes[0]
    assert load_data((_rows(), [0, 1] * 20), classifier()).notes == ()


def test_a_target_that_never_changes_is_said() -> None:
    numbers = {"train.loss": "mse"}
    constant = load_data((_rows(), np.full(40, 3.5)), classifier(outputs=1, **numbers))
    assert constant.notes == (
        "data: the target is constant in the training part (the standard deviation is under 1e-12 of the scale): "
        "there is nothing to predict",
    )
    second = np.column_stack([_rows(40, 1), np.zeros(40)])
    several = load_data((_rows(), second), classifier(outputs=2, **numbers))
    assert several.notes[0].startswith("data: the target in column 2 is constant")
    single = load_data((_rows(), ["a"] * 40), classifier(outputs=1))
    assert single.notes == ("data: the target has one class alone, `a`: there is nothing to predict",)


def test_several_inputs_have_names() -> None:
    two = """\
name: two
nodes:
  a: {kind: input, shape: [2]}
  b: {kind: input, shape: [2]}
  c: {kind: merge, from: [a, b]}
  y: {kind: linear, from: c, features: 2}
output: y
"""
    with pytest.raises(RunError, match="expected samples for each input, a, b, found samples without a name"):
        load_data((_rows(), [0, 1] * 20), parse_spec(two))


def test_images_with_their_channels_at_the_end_are_told_how_to_turn_them() -> None:
    spec = parse_spec(
        """
        nodes:
          x: {kind: input, shape: [3, 4, 5]}
          f: {kind: flatten, from: x}
          y: {kind: linear, from: f, features: 2}
        output: y
        train: {epochs: 1}
        """
    )
    x = np.random.default_rng(0).normal(size=(20, 4, 5, 3))
    with pytest.raises(RunError, match=r"channels come first: give `x\.transpose\(\(0, 3, 1, 2\)\)`"):
        grow(spec, data=(x, [0, 1] * 10))
    assert grow(spec, data=(x.transpose((0, 3, 1, 2)), [0, 1] * 10)).summary["parameters"] > 0
