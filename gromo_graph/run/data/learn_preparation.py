"""The preparation that the training rows teach: what standardises samples, and the form of each target."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gromo_graph.errors import RunError
from gromo_graph.run.data.class_weights import ClassWeight, class_weights
from gromo_graph.run.data.notes import constant_columns, constant_values
from gromo_graph.run.data.preparation import Preparation, fitted
from gromo_graph.run.data.raw import CHUNK, Array, Raw
from gromo_graph.run.data.several_inputs import InputForm, slices
from gromo_graph.run.data.targets import (
    IGNORED,
    TargetForm,
    Wider,
    class_indices,
    class_names,
    label_names,
    target_values,
)
from gromo_graph.spec.train_settings import Task

_CONSTANT = 1e-12


@dataclass(frozen=True, eq=False)
class Target:
    """The target of one output.

    Attributes:
        raw: the data with this target alone. name: of the output, empty if there is one alone.
        task: of the output. outputs: its features. positions: of a sample, each with a class; () if it has one class.
        classes: their names; () of a regression.
        values: class indices (samples, *positions), 0 and 1 (samples, labels), or numbers (samples, outputs).
    """

    raw: Raw
    name: str
    task: Task
    outputs: int
    positions: tuple[int, ...]
    classes: tuple[str | int, ...]
    values: Array

    @classmethod
    def of(
        cls,
        raw: Raw,
        task: Task,
        outputs: int,
        *,
        wider: Wider,
        name: str = "",
        positions: tuple[int, ...] = (),
    ) -> Target:
        """
        Args:
            wider: the way to more outputs, for a message.

        Raises:
            RunError: the target does not fit the output.
        """
        assert raw.y is not None
        classes: tuple[str | int, ...] = ()
        if task == "classification":
            classes = class_names(raw, outputs, wider)
            values = class_indices(raw.y, classes, raw.name, positions)
        else:
            classes = label_names(raw, outputs) if task == "labels" else ()
            values = target_values(raw.y, outputs, raw.name, task)
        return cls(raw, name, task, outputs, positions, classes, values)

    @property
    def one_class(self) -> Array | None:
        """The class of each sample, if each has one."""
        return self.values if self.task == "classification" and not self.positions else None

    def form(self, train: Array, asked: ClassWeight) -> tuple[TargetForm, list[str]]:
        """The form that the training rows teach, and notes about it.

        Args:
            train: rows. asked: the weights of the classes.

        Raises:
            RunError: an unknown class is asked for, or numbers are too large to be standardised.
        """
        name = self.raw.name
        if self.task == "regression":
            found = _moments(self.values, train, (0,), name)
            form = TargetForm(
                self.name, self.task, self.outputs, (), _listed(found.mean), _listed(found.scale)
            )
            return form, constant_values(self.raw, found.constant.ravel())
        taught = self.values[train]
        taught = taught[taught != IGNORED] if self.positions else taught
        weights = class_weights(asked, self.classes, taught, name=name)
        return TargetForm(
            self.name,
            self.task,
            self.outputs,
            self.classes,
            class_weight=weights,
            positions=self.positions,
        ), []


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
    shape: tuple[int, ...],
    vocabulary: int | None,
    inputs: tuple[InputForm, ...],
    targets: Sequence[TargetForm],
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
    one = (
        targets[0] if len(targets) == 1 else TargetForm("", "several", sum(each.outputs for each in targets))
    )
    preparation = Preparation(
        task=one.task,
        shape=shape,
        outputs=one.outputs,
        features=raw.features if len(raw.features) == math.prod(shape) else (),
        classes=one.classes,
        mean=_listed(np.broadcast_to(moments.mean, (1, *form))),
        scale=_listed(np.broadcast_to(moments.scale, (1, *form))),
        target_mean=one.target_mean,
        target_scale=one.target_scale,
        vocabulary=vocabulary,
        class_weight=one.class_weight,
        several=tuple(targets) if len(targets) > 1 else (),
        several_inputs=inputs,
        positions=one.positions,
    )
    return Learned(preparation, tuple(notes))


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
