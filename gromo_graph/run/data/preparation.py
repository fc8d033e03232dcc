"""Preparation: what turns raw samples into tensors and predictions back; learned from the training part alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, FiniteFloat, PositiveInt, TypeAdapter, ValidationError
from torch import Tensor

from gromo_graph.errors import RunError
from gromo_graph.layers.embedding import ids_problem
from gromo_graph.records.validation import first_problem
from gromo_graph.run.data.class_weights import ClassWeight, class_weights
from gromo_graph.run.data.notes import constant_columns, constant_values
from gromo_graph.run.data.raw import CHUNK, Array, Raw
from gromo_graph.run.data.several_inputs import InputForm, arranged, slices
from gromo_graph.run.data.tables.encoding import TableEncoding
from gromo_graph.run.data.targets import TargetForm, class_indices, class_names, label_names, target_values
from gromo_graph.run.judging.probabilities import EVEN
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
        several_inputs: the forms of several inputs, side by side in samples of `shape`; () of one.
        several: the forms of the targets of several outputs, in their order; () of a network with one output.
        positions: of the output, each with a class of its own; () if a sample has one.
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
    several: tuple[TargetForm, ...] = ()
    several_inputs: tuple[InputForm, ...] = ()
    positions: tuple[PositiveInt, ...] = ()

    def inputs(self, x: Array, *, name: str = "data") -> Tensor:
        """float32 (samples, *shape) from raw samples.

        Raises:
            RunError: the samples do not have the shape that the network reads, or must be token ids and are not.
        """
        rows = fitted(x, self.shape, name, advice=self._wanted()).reshape(len(x), -1)
        standardised = (rows - np.array(self.mean)) / np.array(self.scale)
        found = torch.from_numpy(standardised.astype(np.float32)).reshape(len(x), *self.shape)
        check_tokens(found, self.vocabulary, name)
        for form, own in zip(self.several_inputs, slices(self.several_inputs), strict=True):
            check_tokens(found[:, own], form.vocabulary, f"{name}, `{form.name}`")
        return found

    def raw_inputs(self, raw: Raw) -> Tensor:
        """As `inputs`, for data whose several inputs may stand in another order."""
        return self.inputs(arranged(raw, self.several_inputs), name=raw.name)

    def _wanted(self) -> str:
        named = f" ({', '.join(self.features)})" if self.features else ""
        return f"give samples of the {math.prod(self.shape)} numbers{named} that the network was trained on"

    def targets(self, y: Array, *, name: str = "data") -> Tensor:
        """int64 class indices (samples,), float32 0 and 1 (samples, labels), or standardised values (samples, outputs).

        Raises:
            RunError: labels outside the classes, or another number of values than the network gives.
        """
        return self.form.targets(y, name=name)

    def labels(self, prediction: Tensor, threshold: float = EVEN) -> Array:
        """The labels of predictions, as of `TargetForm`."""
        return self.form.labels(prediction, threshold)

    def standardising_as(self, other: Preparation) -> Preparation:
        """With the standardisation of another one, as far as both read numbers of one shape."""
        found = self
        if other.shape == self.shape:
            found = replace(found, mean=other.mean, scale=other.scale)
        if len(other.target_mean) == len(self.target_mean):
            found = replace(found, target_mean=other.target_mean, target_scale=other.target_scale)
        return found

    @property
    def form(self) -> TargetForm:
        """The form of the one target."""
        return TargetForm(
            "",
            self.task,
            self.outputs,
            self.classes,
            self.target_mean,
            self.target_scale,
            self.class_weight,
            self.positions,
        )

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
        size = math.prod(found.shape)
        of_classes = found.outputs if found.task in ("classification", "labels") else 0
        of_values = found.outputs if found.task == "regression" else 0
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
        if bool(found.several) != (found.task == "several"):
            raise ValueError("several: expected the forms of several targets, and none of one")
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
    inputs: tuple[InputForm, ...] = (),
    positions: tuple[int, ...] = (),
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
    if inputs:
        moments = _of_inputs(rows, train, inputs, raw.name).without(raw.switches)
        notes += constant_columns(raw, moments.constant.ravel(), features=raw.features, channels=False)
    elif vocabulary is None:
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
        several_inputs=inputs,
        positions=positions,
    )
    return Learned(preparation, tuple(notes))


def learn_form(
    raw: Raw, train: Array, *, name: str, task: Task, outputs: int, asked: ClassWeight
) -> tuple[TargetForm, list[str]]:
    """The form of one of several targets that the training rows teach, and notes about it.

    Args:
        raw: with this target alone. train: rows. name: of the output. task: of it. outputs: its features.
        asked: the weights of its classes.

    Raises:
        RunError: the target does not fit the output.
    """
    assert raw.y is not None
    if task == "regression":
        values = _moments(target_values(raw.y, outputs, raw.name, task), train, (0,), raw.name)
        notes = constant_values(raw, values.constant.ravel())
        return TargetForm(name, task, outputs, (), _listed(values.mean), _listed(values.scale)), notes
    if task == "labels":
        labels, classes = target_values(raw.y, outputs, raw.name, task), label_names(raw, outputs)
    else:
        classes = class_names(raw, outputs)
        labels = class_indices(raw.y, classes, raw.name)
    weights = class_weights(asked, classes, labels[train], name=raw.name)
    return TargetForm(name, task, outputs, classes, class_weight=weights), []


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
        """The same preparation, with some columns left unchanged."""
        if not any(switches):
            return self
        kept = np.array(switches)
        return _Moments(
            np.where(kept, 0.0, self.mean), np.where(kept, 1.0, self.scale), self.constant & ~kept
        )

    def spread_over(self, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
        """Mean, scale and constant of each number of a sample, (1, numbers)."""
        mean, scale, constant = (
            np.broadcast_to(each, (1, *shape)).reshape(1, -1)
            for each in (self.mean, self.scale, self.constant)
        )
        return mean, scale, constant


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


def _of_inputs(rows: Array, train: Array, forms: Sequence[InputForm], name: str) -> _Moments:
    """The moments of several inputs side by side, (1, numbers): each as if it were alone, token ids as they are."""
    found = []
    for form, own in zip(forms, slices(forms), strict=True):
        shaped = rows[:, own].reshape(len(rows), *form.shape)
        axes = (0, *range(2, shaped.ndim))
        moments = _AS_IT_IS if form.vocabulary is not None else _moments(shaped, train, axes, name)
        found.append(moments.spread_over(form.shape))
    return _Moments(*(np.concatenate(each, axis=1) for each in zip(*found, strict=True)))


def _listed(array: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in array.ravel())
