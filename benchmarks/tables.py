"""Tables: a network that grows beside scikit-learn's models, on the same splits and the same numbers.

python benchmarks/tables.py                                        # three tables that need no download
python benchmarks/tables.py --table churn.csv:churned --splits 10  # tables of one's own

The network is that of `gromo-graph new table`. All models read the numbers that its section `data` makes of the
columns, learn from the training part (60 %), and are judged on the test part (20 %): classes by the macro F1, with the
threshold of two classes tuned on the validation part (20 %) for every model; numbers by R².
"""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, r2_score
from sklearn.neural_network import MLPClassifier, MLPRegressor

from gromo_graph import grow, parse_spec
from gromo_graph.run.data.load_data import load_data
from gromo_graph.run.data.prepare_data import Data
from gromo_graph.run.data.split import Split
from gromo_graph.run.data.tables import learning
from gromo_graph.run.data.tables.starter import table_starter
from gromo_graph.spec import Spec
from gromo_graph.spec.train_settings import Train

GROWN = "gromo_graph"
Model = Callable[[int], Any]
CLASSIFIERS: Mapping[str, Model] = {
    "logistic regression": lambda seed: LogisticRegression(max_iter=2000),
    "random forest": lambda seed: RandomForestClassifier(random_state=seed),
    "MLPClassifier": lambda seed: MLPClassifier(max_iter=1000, random_state=seed),
    "HistGradientBoosting": lambda seed: HistGradientBoostingClassifier(random_state=seed),
}
REGRESSORS: Mapping[str, Model] = {
    "ridge": lambda seed: Ridge(),
    "random forest": lambda seed: RandomForestRegressor(random_state=seed),
    "MLPRegressor": lambda seed: MLPRegressor(max_iter=1000, random_state=seed),
    "HistGradientBoosting": lambda seed: HistGradientBoostingRegressor(random_state=seed),
}


@dataclass(frozen=True)
class Found:
    """A model on a split.

    Attributes:
        score: on the test part. seconds: of the training.
    """

    score: float
    seconds: float


def orders(rows: int = 1500) -> pd.DataFrame:
    """A made table with columns of every kind and gaps; few orders are returned, for reasons that combine."""
    random = np.random.RandomState(7)
    price = np.exp(random.normal(3.5, 0.8, rows))
    days = random.randint(0, 720, rows)
    size = random.choice(["S", "M", "L", "XL"], rows, p=[0.2, 0.4, 0.3, 0.1])
    shop = random.choice(["web", "app", "store"], rows, p=[0.6, 0.3, 0.1])
    first = random.rand(rows) < 0.3
    risk = -4.0 + 0.02 * price + 1.5 * (size == "XL") * (shop != "store") + 1.2 * first + np.cos(days / 58.0)
    frame = pd.DataFrame(
        {
            "order": np.arange(rows),
            "day": (np.datetime64("2023-01-01") + days).astype(str),
            "price": price.round(2),
            "size": size,
            "shop": shop,
            "first": first,
            "returned": np.where(random.rand(rows) < 1.0 / (1.0 + np.exp(-risk)), "yes", "no"),
        }
    )
    frame.loc[random.rand(rows) < 0.06, "price"] = np.nan
    frame.loc[random.rand(rows) < 0.05, "size"] = None
    return frame


def own_tables(folder: Path) -> Iterator[tuple[str, str]]:
    """Files of tables that need no download, and their targets."""
    cancer, diabetes = load_breast_cancer(as_frame=True), load_diabetes(as_frame=True)
    frames = {
        "orders": (orders(), "returned"),
        "breast_cancer": (cancer.frame, "target"),
        "diabetes": (diabetes.frame, "target"),
    }
    for name, (frame, target) in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
        yield str(folder / f"{name}.csv"), target


def split_of(seed: int) -> Callable[..., Split]:
    """A split as that of a run, but drawn from a seed."""

    def split(name: str, samples: int, labels: Any, *_: object, **given: object) -> Split:
        random = np.random.RandomState(seed)
        groups = [np.arange(samples)]
        if labels is not None:
            groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        parts: list[list[Any]] = [[], [], []]
        for rows in groups:
            held = max(1, round(0.2 * len(rows)))
            cut = np.split(random.permutation(rows), [len(rows) - 2 * held, len(rows) - held])
            for part, own in zip(parts, cut, strict=True):
                part.append(own)
        return Split(*(np.sort(np.concatenate(part)) for part in parts))

    return split


def fitting(spec: Spec, features: int) -> Spec:
    """The spec with an input of so many features: which categories are rare differs between splits."""
    (name,) = spec.inputs
    node = spec.nodes[name].model_copy(update={"shape": (features,)})
    return replace(spec, nodes={**spec.nodes, name: node})


def best_threshold(probability: Any, y: Any) -> float:
    """The threshold with the highest macro F1."""
    tried = np.unique(np.quantile(probability, np.linspace(0.0, 1.0, 200)))
    scores = [f1_score(y, probability > each, average="macro", zero_division=0) for each in tried]
    return float(tried[int(np.argmax(scores))])


def judged(outputs: Mapping[str, Any], y: Mapping[str, Any], train: Train) -> float:
    """The score of the test part; outputs are probabilities, or values."""
    if train.task == "regression":
        return float(r2_score(y["test"], outputs["test"]))
    if outputs["test"].shape[1] > 2:
        return float(f1_score(y["test"], outputs["test"].argmax(axis=1), average="macro"))
    threshold = best_threshold(outputs["validation"][:, 1], y["validation"])
    return float(f1_score(y["test"], outputs["test"][:, 1] > threshold, average="macro"))


def grown(spec: Spec, file: str, seed: int) -> tuple[Found, Data]:
    """The network that grows, and the data that it was trained on."""
    begin = time.perf_counter()
    run = grow(spec, data=file, seed=seed, device="cpu")
    seconds = time.perf_counter() - begin
    assert run.data is not None
    measure = "f1_macro" if spec.train.task == "classification" else "r2"
    return Found(float(run.evaluate()[measure]), seconds), run.data


def beside(models: Mapping[str, Model], data: Data, spec: Spec, seed: int) -> Iterator[tuple[str, Found]]:
    """Scikit-learn's models on the same numbers."""
    x = {name: part.x.reshape(len(part), -1).numpy() for name, part in data.parts.items()}
    y = {name: part.y.numpy().reshape(len(part), -1)[:, 0] for name, part in data.parts.items()}
    for name, make in models.items():
        begin = time.perf_counter()
        model = make(seed).fit(x["train"], y["train"])
        seconds = time.perf_counter() - begin
        ask = model.predict if spec.train.task == "regression" else model.predict_proba
        yield name, Found(judged({part: ask(rows) for part, rows in x.items()}, y, spec.train), seconds)


def compared(file: str, target: str, splits: int) -> None:
    """Print a row for each model."""
    starter = parse_spec(table_starter(file, target).text)
    models = REGRESSORS if starter.train.task == "regression" else CLASSIFIERS
    found: dict[str, list[Found]] = {name: [] for name in (GROWN, *models)}
    for seed in range(splits):
        with mock.patch.object(learning, "split", split_of(seed)):
            spec = starter
            try:
                load_data(file, spec)
            except Exception as error:  # categories that are rare here: the message says which size is needed
                features = int(str(error).partition("shape [")[2].partition("]")[0])
                spec = fitting(spec, features)
            own, data = grown(spec, file, seed)
        found[GROWN].append(own)
        for name, each in beside(models, data, spec, seed):
            found[name].append(each)
    measure = "R²" if starter.train.task == "regression" else "macro F1"
    print(f"\n{Path(file).name}, {splits} splits: {measure} of the test part")
    best = max(np.mean([each.score for each in values]) for name, values in found.items() if name != GROWN)
    for name, values in found.items():
        scores = [each.score for each in values]
        error = np.std(scores) / np.sqrt(len(scores))
        seconds = np.mean([each.seconds for each in values])
        beside_best = f", {np.mean(scores) - best:+.3f} to the best of the others" if name == GROWN else ""
        print(f"  {name:22} {np.mean(scores):.3f} ± {error:.3f} {seconds:8.2f} s{beside_best}")


def main() -> None:
    """Compare on the tables that are asked for."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--table", action="append", metavar="FILE:TARGET", help="a table of one's own")
    asked.add_argument("--splits", type=int, default=3)
    given = asked.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        own = [tuple(each.rsplit(":", 1)) for each in given.table or ()]
        for file, target in own or own_tables(Path(folder)):
            compared(file, target, given.splits)


if __name__ == "__main__":
    main()
