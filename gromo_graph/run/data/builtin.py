"""The data sets that ship with scikit-learn."""

from __future__ import annotations

import importlib

from gromo_graph.run.data.raw import Raw, raw_from
from gromo_graph.spec.train_settings import Task

TASKS: dict[str, Task] = {
    "digits": "classification",
    "iris": "classification",
    "wine": "classification",
    "breast_cancer": "classification",
    "diabetes": "regression",
}

_IMAGES = {"digits": (1, 8, 8)}


def read_builtin(name: str) -> Raw:
    """Read one of the sets of `TASKS` from the installed scikit-learn; nothing is downloaded."""
    datasets = importlib.import_module("sklearn.datasets")
    bunch = getattr(datasets, f"load_{name}")()
    task = TASKS[name]
    classes = tuple(str(label) for label in bunch.target_names) if task == "classification" else ()
    features = tuple(str(feature) for feature in bunch.feature_names)
    x = bunch.data.reshape(-1, *_IMAGES[name]) if name in _IMAGES else bunch.data
    return raw_from(name, x, bunch.target, features=features, classes=classes, task=task)
