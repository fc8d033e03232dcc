"""The measures of a run: those of scikit-learn on the same predictions, and what follows from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics

from gromo_graph.run import grow, load_run
from gromo_graph.run.data.raw import Array
from gromo_graph.run.judging.measures import Judge
from gromo_graph.run.judging.predictions import Predictions
from gromo_graph.run.judging.threshold import tuned_threshold
from gromo_graph.run.judging.verdict import no_better_than_a_guess
from gromo_graph.spec import parse_spec
from tests.run.specs import DIABETES, classifier, iris


def imbalanced(samples: int = 240) -> tuple[Array, list[str]]:
    """Rows of which one in eight is `yes`; the two classes overlap."""
    random = np.random.default_rng(0)
    y = np.arange(samples) % 8 == 0
    x = random.normal(size=(samples, 2)) + 1.2 * y[:, None]
    return x, ["yes" if each else "no" for each in y]


def seen(outputs: list[list[float]], targets: list[int]) -> Predictions:
    return Predictions(torch.tensor(outputs, dtype=torch.float64), torch.tensor(targets), 0.25)


def test_measures_of_classes_are_those_of_scikit_learn() -> None:
    run = grow(iris(train__epochs="6"))
    test = run.data.test  # type: ignore[union-attr]
    assert test is not None
    with torch.no_grad():
        outputs = run.network(test.x)  # type: ignore[union-attr]
    wanted, found = test.y.numpy(), outputs.argmax(1).numpy()  # type: ignore[union-attr]
    measured = run.summary["test"]
    assert measured["accuracy"] == metrics.accuracy_score(wanted, found)
    assert measured["balanced_accuracy"] == metrics.balanced_accuracy_score(wanted, found)
    assert measured["f1_macro"] == metrics.f1_score(wanted, found, average="macro")
    assert measured["log_loss"] == pytest.approx(measured["loss"], rel=1e-5)
    assert measured["majority_rate"] == pytest.approx(1 / 3)
    assert "roc_auc" not in measured, "three classes have no AUC"
    matrix = run.results["confusion_matrix"]
    assert matrix["counts"] == metrics.confusion_matrix(wanted, found).tolist()
    assert (matrix["part"], matrix["classes"]) == ("test", ["setosa", "versicolor", "virginica"])


def test_measures_of_numbers_are_in_units_of_the_target() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 10))
    y = 1000.0 + 50.0 * x[:, 0] + random.normal(size=60)
    run = grow(parse_spec(DIABETES, overrides={"train.epochs": "30"}), data=(x, y))
    found = run.measure((x[:20], y[:20]))["all"]
    predicted = run.predict(x[:20])
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(y[:20], predicted), rel=1e-4)
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(y[:20], predicted), rel=1e-4)
    assert found["r2"] == pytest.approx(metrics.r2_score(y[:20], predicted), rel=1e-4)
    assert found["accuracy"] is None


def test_auc_needs_both_of_two_classes() -> None:
    judge = Judge("classification")
    both = judge.measures(seen([[0.0, 1.0], [0.0, -1.0], [0.0, 2.0]], [1, 0, 0]))
    assert both["roc_auc"] == 0.5
    assert "roc_auc" not in judge.measures(seen([[0.0, 1.0], [0.0, -1.0]], [1, 1]))


def test_predictions_that_are_not_finite_have_a_loss_alone() -> None:
    found = Judge("classification").measures(seen([[0.0, float("nan")]], [0]))
    assert found == {"loss": 0.25, "accuracy": None}


def test_a_guess_that_is_as_good_is_told() -> None:
    guessing = seen([[1.0, 0.0]] * 10, [0] * 9 + [1])
    judge = Judge("classification")
    said = no_better_than_a_guess("test", judge.measures(guessing), guessing, ("no", "yes"))
    assert said == "test: the accuracy is 90.0 %, no better than always saying `no` (90.0 %)"
    right = seen([[1.0, 0.0]] * 9 + [[0.0, 1.0]], [0] * 9 + [1])
    assert no_better_than_a_guess("test", judge.measures(right), right, ("no", "yes")) is None
    mean = Predictions(torch.zeros(4, 1), torch.tensor([[1.0], [-1.0], [2.0], [-2.0]]), 2.5)
    measured = Judge("regression", (3.0,)).measures(mean)
    assert measured["r2"] == 0.0
    assert "always saying the mean" in str(no_better_than_a_guess("test", measured, mean, ()))


@pytest.mark.parametrize("seed", range(2))
def test_the_tuned_threshold_is_the_best_of_all(seed: int) -> None:
    random = np.random.default_rng(seed)
    targets = (random.random(60) < 0.2).astype(np.int64)
    second = np.clip(0.25 + 0.2 * targets + 0.15 * random.normal(size=60), 0.01, 0.99).round(3)
    outputs = np.log(np.column_stack([1.0 - second, second]))
    found = tuned_threshold(Predictions(torch.tensor(outputs), torch.tensor(targets), 0.0))

    def f1(threshold: float) -> float:
        return float(metrics.f1_score(targets, second > threshold, average="macro", zero_division=0.0))

    assert f1(found) == pytest.approx(max(f1(threshold) for threshold in np.linspace(0.005, 0.995, 67)))


def test_a_task_of_few_and_many_is_judged_by_a_tuned_threshold(tmp_path: Path) -> None:
    data = imbalanced()
    plain = classifier(2, 2, **{"train.epochs": "8", "train.metrics": "[f1_macro, roc_auc]"})
    tuned = classifier(2, 2, **{"train.epochs": "8", "train.threshold": "tuned"})
    even = grow(plain, data=data, out=tmp_path / "even")
    run = grow(tuned, data=data, out=tmp_path / "tuned")
    assert "threshold" not in even.summary
    assert 0.0 < run.summary["threshold"] < 0.5, "the rare class is predicted at less than 0.5"
    f1 = [each.summary["validation"]["f1_macro"] for each in (even, run)]
    assert f1[1] > f1[0]
    loaded = load_run(tmp_path / "tuned")
    assert loaded.summary == run.summary
    assert loaded.measure(data) == {part: run.summary[part] for part in ("train", "validation", "test")}
    above = loaded.probabilities(data[0])[:, 1] > run.summary["threshold"]
    assert (loaded.predict(data[0]) == np.where(above, "yes", "no")).all()
    epoch = json.loads((tmp_path / "even" / "journal.jsonl").read_text().splitlines()[-1])
    assert set(epoch["validation"]) == {"loss", "accuracy", "f1_macro", "roc_auc"}
    page = (tmp_path / "tuned" / "report.html").read_text()
    assert "true classes in rows, predicted ones in columns" in page
    assert f"<dt>threshold, tuned</dt><dd>{run.summary['threshold']:.3g}</dd>" in page
    assert "threshold, tuned" not in (tmp_path / "even" / "report.html").read_text()


def test_always_the_same_is_told_in_the_notes_and_on_the_page(tmp_path: Path) -> None:
    x, y = imbalanced()
    spec = classifier(
        2, 2, **{"train.epochs": "1", "train.optimizer.lr": "0.00001", "growth.stop.steps": "0"}
    )
    run = grow(spec, data=(0.001 * np.random.default_rng(1).normal(size=x.shape), y), out=tmp_path / "run")
    accuracy, majority = (run.summary["test"][name] for name in ("accuracy", "majority_rate"))
    told = [note for note in run.summary.get("notes", ()) if "no better than always saying `no`" in note]
    assert bool(told) == (accuracy <= majority) is True
    assert "no better than always saying" in (tmp_path / "run" / "report.html").read_text()
