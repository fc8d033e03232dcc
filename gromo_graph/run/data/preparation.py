"""Preparation: what turns raw samples into tensors and predictions back; learned from the training part alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, FiniteFloat, PositiveInt, TypeAdapter, ValidationError
from torch import Tensor

from gromo_graph.errors import RunError
from gromo_graph.layers.embedding import ids_problem
from gromo_graph.records.validation import first_problem
from gromo_graph.run.data.raw import Array, Raw
from gromo_graph.run.data.several_inputs import InputForm, arranged, slices
from gromo_graph.run.data.tables.encoding import TableEncoding
from gromo_graph.run.data.targets import TargetForm
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
        forms = {form.name: form for form in other.several}
        several = tuple(each.standardising_as(forms.get(each.name, each)) for each in self.several)
        return replace(found, several=several)

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
