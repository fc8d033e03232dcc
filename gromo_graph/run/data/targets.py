"""Targets: class indices, labels and values out of raw ones, and predictions back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, FiniteFloat, PositiveInt
from torch import Tensor

from gromo_graph.amounts import amount
from gromo_graph.errors import RunError
from gromo_graph.run.data.raw import Array, Raw, is_text
from gromo_graph.run.judging.probabilities import EVEN, chosen_classes, sigmoid
from gromo_graph.spec.model import Spec
from gromo_graph.spec.train_settings import Task

IGNORED = -100
"""The class of positions that count for nothing; torch's default."""

_Scale = Annotated[FiniteFloat, Field(gt=0)]


@dataclass(frozen=True)
class TargetForm:
    """The form of the target of one output; the attributes are those of `Preparation`.

    Attributes:
        name: of the output, empty if there is one alone.
    """

    name: str
    task: Task
    outputs: PositiveInt
    classes: tuple[str | int, ...] = ()
    target_mean: tuple[FiniteFloat, ...] = ()
    target_scale: tuple[_Scale, ...] = ()
    class_weight: tuple[_Scale, ...] = ()
    positions: tuple[PositiveInt, ...] = ()

    def standardising_as(self, other: TargetForm) -> TargetForm:
        """With the standardisation of another one, if both have as many numbers."""
        if len(other.target_mean) != len(self.target_mean):
            return self
        return replace(self, target_mean=other.target_mean, target_scale=other.target_scale)

    def targets(self, y: Array, *, name: str = "data") -> Tensor:
        """Targets as the loss takes them.

        Returns:
            int64 class indices (samples, *positions), float32 0 and 1 (samples, labels), or standardised values
            (samples, outputs).

        Raises:
            RunError: labels outside the classes, or another number of values than the network gives.
        """
        if self.task == "classification":
            return torch.from_numpy(class_indices(y, self.classes, name, self.positions))
        values = target_values(y, self.outputs, name, self.task)
        if self.task == "labels":
            return torch.from_numpy(values.astype(np.float32))
        standardised = (values - np.array(self.target_mean)) / np.array(self.target_scale)
        return torch.from_numpy(standardised.astype(np.float32))

    def labels(self, prediction: Tensor, threshold: float = EVEN) -> Array:
        """The labels of predictions.

        Args:
            prediction: (samples, outputs, *positions) of the network.
            threshold: the probability of the second of two classes, or of a label, above which it is predicted.

        Returns:
            Class labels (samples, *positions), 0 and 1 (samples, labels), or values in their own unit.
        """
        found = prediction.detach().cpu().double().numpy()
        if self.task == "labels":
            return (sigmoid(found) > threshold).astype(np.int64)
        if self.task == "classification":
            names: Array = np.array(self.classes)
            labels: Array = names[chosen_classes(found, threshold)]
            return labels
        values: Array = found * np.array(self.target_scale) + np.array(self.target_mean)
        return values[:, 0] if self.outputs == 1 else values


@dataclass(frozen=True)
class Wider:
    """The way to more features of an output, for messages.

    Attributes:
        spec: of the network. output: its name. goes_on: whether a run goes on from the weights of another one.
    """

    spec: Spec
    output: str
    goes_on: bool

    def advice(self, features: int) -> str:
        """The end of a message: the words to write for so many features."""
        name = f" {self.output}" if len(self.spec.outputs) > 1 else ""
        widen = f"`gromo-graph edit FILE widen-outputs {features}{name}`"
        if self.goes_on:
            return f"; a run goes on with more classes by `gromo-graph edit FILE take RUN` and then {widen}"
        node = self.spec.nodes[self.output]  # a merge has no `features`
        return f", write `features: {features}`" if "features" in type(node).model_fields else f": {widen}"


def class_names(raw: Raw, outputs: int, wider: Wider) -> tuple[str | int, ...]:
    """One class for each output feature; features beyond the classes of the data go by their number.

    Raises:
        RunError: there are more classes than output features.
    """
    assert raw.y is not None
    named: Sequence[str | int] = raw.classes
    if is_text(raw.y) and not named:
        named = sorted(set(raw.y.tolist()))
    if len(named) > outputs:
        raise RunError(
            f"{raw.name}: {amount(len(named), 'class')}, but the output of the spec has {amount(outputs, 'feature')}: "
            f"expected one feature for each class{wider.advice(len(named))}"
        )
    return (*named, *range(len(named), outputs))


def with_known_classes(raw: Raw, known: tuple[str | int, ...]) -> Raw:
    """The data with the classes of an earlier run first, so that their logits mean the same; new ones come behind."""
    assert raw.y is not None
    own = raw.classes or (tuple(sorted(set(raw.y.tolist()))) if is_text(raw.y) else ())
    first = tuple(each for each in known if isinstance(each, str))  # numbers are their own places
    classes = (*first, *(each for each in own if each not in first))
    if not own or classes == own:
        return raw
    y = raw.y if is_text(raw.y) else np.array([classes.index(each) for each in own])[raw.y.astype(np.int64)]
    return replace(raw, y=y, classes=classes)


def class_indices(
    y: Array, classes: tuple[str | int, ...], name: str, positions: tuple[int, ...] = ()
) -> Array:
    """The index of each label: text by name, numbers as they are, −100 at positions that count for nothing.

    Args:
        y: (samples, *positions). positions: of a sample, each with a label of its own.

    Raises:
        RunError: labels outside the classes, or values that are no labels; or all positions of a sample are ignored.
    """
    if positions:
        return _of_positions(y, classes, name, positions)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise RunError(f"{name}: y has shape {y.shape}: expected one class for each sample")
    if is_text(y):
        index = {str(label): place for place, label in enumerate(classes)}
        outside = sorted(set(y.tolist()) - set(index))
        indices = np.array([index.get(label, -1) for label in y.tolist()], dtype=np.int64)
        expected = ", ".join(map(str, classes[:12])) + (", ..." if len(classes) > 12 else "")
    else:
        if (y != np.round(y)).any():
            value = float(y[y != np.round(y)][0])
            raise RunError(
                f"{name}: the target holds {value:g}, so this is regression, and `train.loss: cross_entropy` "
                "is for classes: expected whole numbers or text, or `train.loss: mse`"
            )
        outside = [f"{label:g}" for label in np.unique(y[(y < 0) | (y >= len(classes))]).tolist()]
        indices = np.where((y < 0) | (y >= len(classes)), -1, y).astype(np.int64)
        expected = f"whole numbers from 0 to {len(classes) - 1}"
    if outside:
        listed = ", ".join(outside[:8]) + (", ..." if len(outside) > 8 else "")
        raise RunError(
            f"{name}: labels outside the classes: found {listed} in {int((indices < 0).sum())} of {len(y)} "
            f"samples, expected {expected}, as the output of the spec has {amount(len(classes), 'feature')}"
        )
    return indices


def _of_positions(y: Array, classes: tuple[str | int, ...], name: str, positions: tuple[int, ...]) -> Array:
    if y.shape[1:] != positions:
        raise RunError(
            f"{name}: y has shape {y.shape}: expected a class for each position of the output, (samples, "
            f"{', '.join(map(str, positions))}); for one class a sample put a `flatten` and a `linear` node behind it"
        )
    counted = np.ones(y.shape, dtype=bool) if is_text(y) else y != IGNORED
    empty = np.flatnonzero(~counted.reshape(len(y), -1).any(axis=1))
    if len(empty):
        raise RunError(
            f"{name}: all targets of sample {empty[0] + 1} are {IGNORED}, which counts for nothing: leave it out"
        )
    indices = np.full(y.shape, IGNORED, dtype=np.int64)
    indices[counted] = class_indices(y[counted], classes, name)
    return indices


def label_names(raw: Raw, outputs: int) -> tuple[str | int, ...]:
    """The name of each label of a sample that has several: those of the data, else their numbers."""
    return raw.classes if len(raw.classes) == outputs else tuple(range(outputs))


def target_values(y: Array, outputs: int, name: str, task: Task) -> Array:
    """Targets as (samples, outputs): numbers, or 0 and 1 for labels.

    Raises:
        RunError: text, another number of values than the network gives, or labels that are not 0 or 1.
    """
    if is_text(y):
        loss = "mse` is for numbers" if task == "regression" else "binary_cross_entropy` is for 0 and 1"
        raise RunError(
            f"{name}: the target holds text ({str(y[0])[:40]!r}), so this is classification, and "
            f"`train.loss: {loss}: expected `train.loss: cross_entropy`"
        )
    values = y.reshape(len(y), -1)
    if values.shape[1] != outputs:
        raise RunError(
            f"{name}: {values.shape[1]} target value(s) for each sample, but the output of the spec has "
            f"{amount(outputs, 'feature')}: write `features: {values.shape[1]}`"
        )
    if task == "labels" and not np.isin(values, (0.0, 1.0)).all():
        wrong = values[~np.isin(values, (0.0, 1.0))][0]
        raise RunError(
            f"{name}: the target holds {wrong:g}, and `train.loss: binary_cross_entropy` is for labels that are there "
            "(1) or not (0): expected 0 and 1, or another loss"
        )
    return values
