"""Preparation: what turns raw samples into tensors and predictions back; learned from the training part alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, FiniteFloat, PositiveInt, TypeAdapter, ValidationError
from torch import Tensor

from gromo_graph.errors import RunError
from gromo_graph.layers.embedding import ids_problem
from gromo_graph.records.validation import first_problem
from gromo_graph.run.data.notes import constant_columns, constant_values
from gromo_graph.run.data.raw import CHUNK, Array, Raw, is_text
from gromo_graph.run.data.tables.encoding import TableEncoding
from gromo_graph.run.judging.probabilities import EVEN, chosen_classes, sigmoid
from gromo_graph.spec.train_settings import Task

_CONSTANT = 1e-12
_Scale = Annotated[FiniteFloat, Field(gt=0)]


@dataclass(frozen=True)
class Preparation:
    """The form of a network's data; `data.json` of a run.

    Attributes:
        task: classification, labels (several of a sample, each there or not) or regression.
        shape: of one input of the network, without the batch.
        outputs: features of the network's output.
        features: names of the columns of x, or ().
        classes: one for each output feature (classes and labels): a name if the data have names, else a number.
        mean, scale: of each number of a sample, in the order of the flattened input: (x − mean) / scale.
        target_mean, target_scale: of each output (regression).
        vocabulary: how many token ids the input may hold, if it is read as such; they are never standardised.
        table: what makes the numbers of a sample of a row with columns of several kinds; None if samples are numbers.
        class_weight: of each class or label in the loss; () if all weigh 1.
    """

    task: Task
    shape: tuple[PositiveInt, ...]
    outputs: PositiveInt
    features: tuple[str, ...]
    classes: tuple[str | int, ...]
    mean: tuple[FiniteFloat, ...]
    scale: tuple[_Scale, ...]
    target_mean: tuple[FiniteFloat, ...] = ()
    target_scale: tuple[_Scale, ...] = ()
    vocabulary: PositiveInt | None = None
    table: TableEncoding | None = None
    class_weight: tuple[_Scale, ...] = ()

    def inputs(self, x: Array, *, name: str = "data") -> Tensor:
        """float32 (samples, *shape) from raw samples.

        Raises:
            RunError: the samples do not have the shape that the network reads, or must be token ids and are not.
        """
        rows = fitted(x, self.shape, name, advice=self._wanted()).reshape(len(x), -1)
        standardised = (rows - np.array(self.mean)) / np.array(self.scale)
        found = torch.from_numpy(standardised.astype(np.float32)).reshape(len(x), *self.shape)
        check_tokens(found, self.vocabulary, name)
        return found

    def _wanted(self) -> str:
        named = f" ({', '.join(self.features)})" if self.features else ""
        return f"give samples of the {math.prod(self.shape)} numbers{named} that the network was trained on"

    def targets(self, y: Array, *, name: str = "data") -> Tensor:
        """int64 class indices (samples,), float32 0 and 1 (samples, labels), or standardised values (samples, outputs).

        Raises:
            RunError: labels outside the classes, or another number of values than the network gives.
        """
        if self.task == "classification":
            return torch.from_numpy(class_indices(y, self.classes, name))
        values = target_values(y, self.outputs, name, self.task)
        if self.task == "labels":
            return torch.from_numpy(values.astype(np.float32))
        standardised = (values - np.array(self.target_mean)) / np.array(self.target_scale)
        return torch.from_numpy(standardised.astype(np.float32))

    def labels(self, prediction: Tensor, threshold: float = EVEN) -> Array:
        """The labels of predictions: class labels (samples,), 0 and 1 (samples, labels), or values in their own unit.

        Args:
            prediction: (samples, outputs) of the network.
            threshold: the probability of the second of two classes, or of a label, above which it is predicted.
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `data.json`."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Preparation:
        """The inverse of `to_dict`.

        Raises:
            ValueError: it is something else; says the first thing that is wrong.
        """
        try:
            found = _SAVED.validate_json(json.dumps(values), strict=True)
        except ValidationError as error:
            raise ValueError(first_problem(error)) from error
        size, classes = math.prod(found.shape), found.task != "regression"
        of_classes, of_values = (found.outputs, 0) if classes else (0, found.outputs)
        wanted = {
            "mean": size,
            "scale": size,
            "classes": of_classes,
            "target_mean": of_values,
            "target_scale": of_values,
            "class_weight": found.outputs if found.class_weight else 0,
        }
        for name, length in wanted.items():
            if len(getattr(found, name)) != length:
                raise ValueError(f"{name}: {len(getattr(found, name))} values, expected {length}")
        return found


_SAVED = TypeAdapter(Preparation)


@dataclass(frozen=True)
class Learned:
    """The preparation learned from the training rows.

    Attributes:
        preparation: how samples are read.
        notes: about columns and targets that never change.
    """

    preparation: Preparation
    notes: tuple[str, ...]


def learn_preparation(
    raw: Raw,
    train: Array,
    *,
    task: Task,
    shape: tuple[int, ...],
    classes: tuple[str | int, ...],
    outputs: int,
    vocabulary: int | None = None,
    class_weight: tuple[float, ...] = (),
) -> Learned:
    """The preparation that the training rows teach.

    A sample's numbers are standardised one by one; if the data or the input of the spec have the form of an
    image or a sequence, channel by channel, so that pixels at the edge, which hardly ever differ from 0, are not
    blown up (digits: test loss 0.10 against 0.12). Token ids (`vocabulary`) are left as they are.

    Raises:
        RunError: numbers too large to be standardised.
    """
    form = shape if len(shape) > 1 else raw.x.shape[1:]
    rows = fitted(raw.x, shape, raw.name).reshape(len(raw.x), *form)
    notes: list[str] = []
    moments = _AS_IT_IS
    if vocabulary is None:
        moments = _moments(rows, train, (0, *range(2, rows.ndim)), raw.name).without(raw.switches)
        constant = moments.constant.ravel()
        notes += constant_columns(raw, constant, features=raw.features, channels=len(form) > 1)
    target_mean: tuple[float, ...] = ()
    target_scale: tuple[float, ...] = ()
    if task == "regression":
        assert raw.y is not None
        values = _moments(target_values(raw.y, outputs, raw.name, task), train, (0,), raw.name)
        target_mean, target_scale = _listed(values.mean), _listed(values.scale)
        notes += constant_values(raw, values.constant.ravel())
    preparation = Preparation(
        task=task,
        shape=shape,
        outputs=outputs,
        features=raw.features if len(raw.features) == math.prod(shape) else (),
        classes=classes,
        mean=_listed(np.broadcast_to(moments.mean, (1, *form))),
        scale=_listed(np.broadcast_to(moments.scale, (1, *form))),
        target_mean=target_mean,
        target_scale=target_scale,
        vocabulary=vocabulary,
        class_weight=class_weight,
    )
    return Learned(preparation, tuple(notes))


def check_tokens(x: Tensor, vocabulary: int | None, name: str) -> None:
    """Refuse values that are no token ids, if the network reads token ids.

    Raises:
        RunError: a number is not whole, or outside the vocabulary.
    """
    problem = None if vocabulary is None else ids_problem(x, vocabulary)
    if problem is not None:
        raise RunError(
            f"{name}: {problem}, as the embedding of the spec has a vocabulary of {vocabulary}: give other data, or "
            "write another `vocabulary`"
        )


def fitted(x: Array, shape: tuple[int, ...], name: str, *, advice: str | None = None) -> Array:
    """Samples in the input's shape: flat rows become images and back; a single channel is added or left out.

    Raises:
        RunError: the sizes do not agree.
    """
    found = x.shape[1:]
    same_size = math.prod(found) == math.prod(shape)
    one_channel = (1, *found) == shape or found == (1, *shape)
    if found == shape or one_channel or (same_size and (len(found) == 1 or len(shape) == 1)):
        return x.reshape(len(x), *shape)
    if len(found) > 1 and (*found[-1:], *found[:-1]) == shape:  # x.transpose((0, 3, 1, 2)) of an image
        order = (0, len(found), *range(1, len(found)))
        advice = f"the channels come first: give `x.transpose({order})`"
    raise RunError(
        f"{name}: a sample has the shape {list(found)}, but the input of the spec has {list(shape)}: "
        + (advice or f"write `shape: {list(found)}` or give other data")
    )


def class_names(raw: Raw, outputs: int) -> tuple[str | int, ...]:
    """One class for each output feature; features beyond the classes of the data go by their number.

    Raises:
        RunError: there are more classes than output features.
    """
    assert raw.y is not None
    named: Sequence[str | int] = raw.classes
    if is_text(raw.y):
        named = sorted(set(raw.y.tolist()))
    if len(named) > outputs:
        raise RunError(
            f"{raw.name}: {len(named)} classes, but the output of the spec has {outputs} features: "
            f"expected one feature for each class, write `features: {len(named)}`"
        )
    return (*named, *range(len(named), outputs))


def class_indices(y: Array, classes: tuple[str | int, ...], name: str) -> Array:
    """The index of each label: text by name, numbers as they are.

    Raises:
        RunError: labels outside the classes, or values that are no labels.
    """
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
            f"samples, expected {expected}, as the output of the spec has {len(classes)} features"
        )
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
            f"{outputs} features: write `features: {values.shape[1]}`"
        )
    if task == "labels" and not np.isin(values, (0.0, 1.0)).all():
        wrong = values[~np.isin(values, (0.0, 1.0))][0]
        raise RunError(
            f"{name}: the target holds {wrong:g}, and `train.loss: binary_cross_entropy` is for labels that are there "
            "(1) or not (0): expected 0 and 1, or another loss"
        )
    return values


@dataclass(frozen=True, eq=False)
class _Moments:
    """Numbers along one axis of the samples; the other axes have the size 1.

    Attributes:
        mean: of the values.
        scale: their standard deviation, or 1 for those that never change.
        constant: whether the standard deviation is no more than 1e-12 of the size of the values.
    """

    mean: Array
    scale: Array
    constant: Array

    def without(self, switches: tuple[bool, ...]) -> _Moments:
        """Those that leave some columns as they are."""
        if not any(switches):
            return self
        kept = np.array(switches)
        return _Moments(
            np.where(kept, 0.0, self.mean), np.where(kept, 1.0, self.scale), self.constant & ~kept
        )


_AS_IT_IS = _Moments(np.zeros(1), np.ones(1), np.zeros(1, dtype=bool))


def _moments(rows: Array, train: Array, axes: tuple[int, ...], name: str) -> _Moments:
    """Mean and standard deviation over some rows and the other axes, in two passes over pieces of them."""
    size = max(1, CHUNK // max(1, math.prod(rows.shape[1:])))
    pieces = [train[start : start + size] for start in range(0, len(train), size)]

    def mean_of(function: Callable[[Array], Array]) -> Array:
        """Mean over the rows of something of each."""
        total: Array = sum(
            function(np.asarray(rows[piece], dtype=np.float64)).mean(axis=axes, keepdims=True)
            * (len(piece) / len(train))
            for piece in pieces
        )
        return total

    with np.errstate(over="ignore", invalid="ignore"):
        mean = mean_of(lambda values: values)
        scale = np.sqrt(mean_of(lambda values: np.square(values - mean)))
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        largest = max(float(np.abs(rows[piece]).max()) for piece in pieces)
        raise RunError(f"{name}: numbers as large as {largest:.3g} cannot be standardised")
    constant = scale <= _CONSTANT * np.maximum(np.abs(mean), scale)
    return _Moments(mean, np.where(constant, 1.0, scale), constant)


def _listed(array: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in array.ravel())
