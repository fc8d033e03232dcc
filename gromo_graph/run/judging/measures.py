"""The measures of a task, by the names that a spec has for them; scikit-learn computes them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from gromo_graph.run.data.preparation import Preparation
from gromo_graph.run.data.raw import Array
from gromo_graph.run.judging.predictions import Predictions
from gromo_graph.run.judging.probabilities import EVEN, chosen_classes, sigmoid, softmax
from gromo_graph.spec.train_settings import Task

Measures = dict[str, float | None]
"""Measures of one part of the data by their names; None if a measure does not exist for the task."""


@dataclass(frozen=True)
class Judge:
    """Measures predictions; each sample counts once.

    Attributes:
        task: of the network.
        units: of the target, for each standardised one, by output (regression).
        threshold: the probability of the second of two classes, or of a label, above which it is predicted.
        several: of several outputs the name, the features and the judge of each.
    """

    task: Task
    units: tuple[float, ...] = ()
    threshold: float = EVEN
    several: tuple[tuple[str, int, Judge], ...] = ()

    def measures(self, seen: Predictions) -> Measures:
        """All measures of the task, `loss` and `accuracy` first; of predictions that are not finite the loss alone.

        Classes: `accuracy`, `majority_rate` (that of always guessing the most frequent class), `balanced_accuracy`,
        `f1_macro`, `log_loss`, and of two classes `roc_auc`, if both are there. Values: `r2`, `rmse` and `mae`, in
        units of the target; of several outputs their mean. Several labels: the `accuracy` of whole samples, `f1_macro`,
        and `log_loss`, the mean over labels. Several outputs: the measures of each, with its name before them,
        `price.r2`.
        """
        found: Measures = {"loss": seen.loss, "accuracy": None}
        if bool(torch.isfinite(seen.outputs).all()):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of classes that no sample has, or nobody predicts
                found |= _MEASURES[self.task](self, seen.outputs.double().numpy(), seen.targets.numpy())
        return found

    def predicted(self, outputs: Array) -> Array:
        """Class indices (samples,), or of several labels 0 and 1 (samples, labels)."""
        if self.task == "labels":
            return (sigmoid(outputs) > self.threshold).astype(np.int64)
        return chosen_classes(outputs, self.threshold)


def _of_classes(judge: Judge, outputs: Array, targets: Array) -> Measures:
    from sklearn import metrics

    found, probabilities = judge.predicted(outputs), softmax(outputs)
    classes = range(outputs.shape[1])
    measures: Measures = {
        "accuracy": float(metrics.accuracy_score(targets, found)),
        "majority_rate": float(np.bincount(targets).max() / len(targets)),
        "balanced_accuracy": float(metrics.balanced_accuracy_score(targets, found)),
        "f1_macro": float(metrics.f1_score(targets, found, average="macro", zero_division=0.0)),
        "log_loss": float(metrics.log_loss(targets, probabilities, labels=list(classes))),
    }
    if len(classes) == 2 and len(np.unique(targets)) == 2:
        measures["roc_auc"] = float(metrics.roc_auc_score(targets, outputs[:, 1] - outputs[:, 0]))
    return measures


def _of_labels(judge: Judge, outputs: Array, targets: Array) -> Measures:
    from sklearn import metrics

    wanted, found = targets.astype(np.int64), judge.predicted(outputs)
    _, counts = np.unique(wanted, axis=0, return_counts=True)
    # log(1 + exp(-x)) for a label that is there, log(1 + exp(x)) for one that is not
    surprise = np.logaddexp(0.0, np.where(wanted == 1, -outputs, outputs))
    return {
        "accuracy": float(metrics.accuracy_score(wanted, found)),
        "majority_rate": float(counts.max() / len(wanted)),
        "f1_macro": float(_label_f1(wanted, found)),
        "log_loss": float(surprise.mean()),
    }


def _label_f1(wanted: Array, found: Array) -> float:
    """The mean over labels of the F1 of each; of a single label that of its being there."""
    from sklearn import metrics

    each = [
        metrics.f1_score(wanted[:, place], found[:, place], zero_division=0.0)
        for place in range(wanted.shape[1])
    ]
    return float(np.mean(each))


def _of_values(judge: Judge, outputs: Array, targets: Array) -> Measures:
    from sklearn import metrics

    wanted, found = targets.reshape(len(targets), -1), outputs.reshape(len(outputs), -1)
    units = np.array(judge.units or (1.0,))
    squared = metrics.mean_squared_error(wanted, found, multioutput="raw_values")
    absolute = metrics.mean_absolute_error(wanted, found, multioutput="raw_values")
    return {
        "r2": float(metrics.r2_score(wanted, found)) if len(wanted) > 1 else None,
        "rmse": float((np.sqrt(squared) * units).mean()),
        "mae": float((absolute * units).mean()),
    }


def _of_several(judge: Judge, outputs: Array, targets: Array) -> Measures:
    """The measures of each output; targets lie side by side, class indices in a column of numbers."""
    found: Measures = {}
    output = target = 0
    for name, features, own in judge.several:
        columns = 1 if own.task == "classification" else features
        wanted = targets[:, target : target + columns]
        wanted = wanted[:, 0].astype(np.int64) if own.task == "classification" else wanted
        measured = _MEASURES[own.task](own, outputs[:, output : output + features], wanted)
        found |= {f"{name}.{measure}": value for measure, value in measured.items()}
        output, target = output + features, target + columns
    return found


def judge_of(preparation: Preparation, threshold: float = EVEN) -> Judge:
    """The judge of a network that reads data in this form."""
    forms = preparation.several
    several = tuple((form.name, form.outputs, Judge(form.task, form.target_scale)) for form in forms)
    return Judge(preparation.task, preparation.target_scale, threshold, several)


_MEASURES: Mapping[Task, Callable[[Judge, Array, Array], Measures]] = {
    "classification": _of_classes,
    "labels": _of_labels,
    "regression": _of_values,
    "several": _of_several,
}
