"""The objective of a training is one mean however samples are cut, and growth has its exact slopes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gromo_graph import GrowthScheduler, compile_network, grow, load_run, parse_spec
from gromo_graph.errors import RunError
from gromo_graph.growth.losses import mean_loss
from gromo_graph.run.data.load_data import load_data
from gromo_graph.run.data.samples import Part
from gromo_graph.run.data.tensor_loader import TensorLoader
from gromo_graph.run.trainer import evaluate, train_epoch
from gromo_graph.run.training.objective import Objective, objective_of
from gromo_graph.spec.train_settings import Train
from tests.run.specs import classifier

SPEC = """
nodes:
  x: {kind: input, shape: [4]}
  h: {kind: linear, from: x, features: 2, activation: tanh}
  y: {kind: linear, from: h, features: 3}
output: y
growth: {neurons: {per_step: 2}, statistics: {samples: 48}, project: never}
"""
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(48, 4, generator=GENERATOR, dtype=torch.float64)
CLASSES = torch.arange(48) // 16  # in order: batches of one class are the worst case
LABELS = (X[:, :3] > 0.5).double()
VALUES = X[:, 1:].square()
WEIGHTS = torch.rand(48, 1, generator=GENERATOR, dtype=torch.float64)


def of(loss: str, target: Tensor, *, weighted: bool = False, **options: Any) -> tuple[Objective, Tensor]:
    """The objective of a loss, and its targets, with weights of samples or without."""
    weight = options.pop("class_weight", ())
    train = Train.model_validate({"loss": loss, **options})
    if weighted:
        target = torch.cat((target.double().reshape(48, -1), WEIGHTS), dim=1)
    return objective_of(train, class_weight=weight, weighted=weighted), target


OBJECTIVES = {
    "classes with weights": of("cross_entropy", CLASSES, class_weight=(1.0, 0.2, 30.0)),
    "smoothed classes with weights": of(
        "cross_entropy", CLASSES, class_weight=(1.0, 0.2, 30.0), label_smoothing=0.1
    ),
    "weighted samples": of("cross_entropy", CLASSES, weighted=True),
    "all at once": of(
        "cross_entropy", CLASSES, class_weight=(1.0, 0.2, 30.0), label_smoothing=0.1, weighted=True
    ),
    "labels": of("binary_cross_entropy", LABELS),
    "labels with weights": of("binary_cross_entropy", LABELS, class_weight=(1.0, 5.0, 0.2), weighted=True),
    "huber": of("huber", VALUES),
    "l1, weighted": of("l1", VALUES, weighted=True),
}
each = pytest.mark.parametrize(("objective", "target"), OBJECTIVES.values(), ids=OBJECTIVES)


@each
def test_the_mean_is_the_same_however_samples_are_cut(objective: Objective, target: Tensor) -> None:
    network = compile_network(parse_spec(SPEC), seed=0).double()
    with torch.no_grad():
        whole = float(objective(network(X), target))
    cut = list(zip(X.split(7), target.split(7), strict=True))
    assert evaluate(network, objective, cut)["loss"] == pytest.approx(whole, rel=1e-12)
    assert mean_loss(network, objective, cut, checked=False) == pytest.approx(whole, rel=1e-12)


@each
def test_slopes_are_those_of_finite_differences(objective: Objective, target: Tensor) -> None:
    network = compile_network(parse_spec(SPEC), seed=0).double()
    cut = list(zip(X.split(7), target.split(7), strict=True))
    scheduler = GrowthScheduler(network, objective, epochs=9)
    candidate = scheduler.plan(cut).candidates[0]
    assert candidate.slope is not None
    assert candidate.slope > 0
    before = mean_loss(network, objective, cut)
    scheduler.apply(candidate, 1e-7, loader=cut)
    found = (before - mean_loss(network, objective, cut)) / 1e-7
    assert found == pytest.approx(candidate.slope, rel=1e-4)


@each
def test_accumulated_batches_are_one_also_with_weights(objective: Objective, target: Tensor) -> None:
    networks = []
    for size, accumulate in ((12, 1), (3, 4)):
        network = compile_network(parse_spec(SPEC), seed=0).double()
        loader = TensorLoader(Part(X, target), size)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        train_epoch(network, objective, loader, [optimizer], rate=lambda _: 0.1, accumulate=accumulate)
        networks.append(network)
    for one, many in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(many, one, rtol=1e-10, atol=1e-12)


def test_weights_of_samples_are_as_if_samples_stood_there_more_than_once() -> None:
    x = np.random.default_rng(0).normal(size=(30, 2))
    y, times = np.arange(30) % 2, np.arange(30) % 3 + 1
    run = grow(classifier(train__epochs="2"), data={"x": x, "y": y, "sample_weight": times})
    assert run.data is not None
    assert run.data.train.weighted
    weighted = run.measure({"x": x, "y": y, "sample_weight": times})["train"]
    train = run.data.train
    assert isinstance(train, Part)
    often = train.y[:, -1].long()
    with torch.no_grad():
        outputs = run.network(train.x).repeat_interleave(often, dim=0)
        expected = torch.nn.functional.cross_entropy(outputs, train.y[:, 0].repeat_interleave(often).long())
    assert weighted["loss"] == pytest.approx(float(expected), rel=1e-5)


def test_weights_that_are_none_are_refused() -> None:
    x, y = np.zeros((6, 2)), np.arange(6) % 2
    for weights, message in (
        ([1.0] * 5, "5 weights for 6 samples"),
        ([1.0] * 5 + [-1.0], "sample_weight is -1 in row 6"),
        ([0.0] * 6, "sample_weight is 0 in all rows"),
    ):
        with pytest.raises(RunError, match=message):
            load_data({"x": x, "y": y, "sample_weight": weights}, classifier())


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    x = np.random.default_rng(0).normal(size=(100, 2))
    y = np.array(["rare" if place % 10 == 0 else "usual" for place in range(100)])
    data = load_data((x, y), classifier(train__class_weight="balanced"))
    train = np.array([data.preparation.classes[each] for each in data.train.y])
    expected = compute_class_weight("balanced", classes=np.array(["rare", "usual"]), y=train)
    assert data.preparation.class_weight == pytest.approx(expected.tolist())
    given = load_data((x, y), classifier(train__class_weight="{rare: 5}"))
    assert given.preparation.class_weight == (5.0, 1.0)
    with pytest.raises(
        RunError, match=r"names `rar`, and the classes are rare, usual: did you mean `rare`\?"
    ):
        load_data((x, y), classifier(train__class_weight="{rar: 5}"))


def test_a_rare_class_is_found_with_weights(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    y = np.arange(240) % 8 == 0
    data = random.normal(size=(240, 2)) + 1.2 * y[:, None], np.where(y, "yes", "no")
    plain = grow(classifier(train__epochs="6"), data=data)
    run = grow(classifier(train__epochs="6", train__class_weight="balanced"), data=data, out=tmp_path / "run")
    found = [(each.predict(data[0]) == "yes").mean() for each in (plain, run)]
    assert found[0] < 0.1 < found[1]
    loaded = load_run(tmp_path / "run")
    assert loaded.preparation.class_weight == run.preparation.class_weight
    assert loaded.measure(data)["test"] == run.summary["test"], "the loss has the weights of the training"


def test_a_network_of_several_labels(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(120, 4))
    y = np.stack([x[:, 0] > 0, x[:, 1] > 0.8], axis=1).astype(int)
    text = SPEC.replace("features: 3", "features: 2") + "train: {loss: binary_cross_entropy, epochs: 12, "
    text += "batch_size: 16, optimizer: {lr: 0.05}, class_weight: balanced, metrics: [f1_macro]}"
    run = grow(parse_spec(text), data={"x": x, "y": y, "classes": ["warm", "wet"]}, out=tmp_path / "run")
    assert run.summary["steps"] > 0
    test = run.summary["test"]
    assert set(test) == {"loss", "accuracy", "majority_rate", "f1_macro", "log_loss"}
    assert test["accuracy"] > 0.7 > test["majority_rate"]
    loaded = load_run(tmp_path / "run")
    predicted = loaded.predict(x)
    assert predicted.shape == (120, 2)
    assert ((loaded.probabilities(x) > 0.5) == predicted).all()
    assert (predicted == y).mean() > 0.85
    assert loaded.preparation.classes == ("warm", "wet")
    with pytest.raises(RunError, match=r"the target holds 2, and `train.loss: binary_cross_entropy` is for"):
        load_data((x, y * 2), parse_spec(text))
