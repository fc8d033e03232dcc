"""Data: what a network is trained on, standardised and split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from gromo_graph.errors import RunError
from gromo_graph.graph import build_graph
from gromo_graph.run.preparation import Preparation, class_indices, class_names, learn_preparation
from gromo_graph.run.raw import Raw, Task, check_finite
from gromo_graph.run.sources import Source, read_source
from gromo_graph.run.split import split
from gromo_graph.spec.model import Spec

_TASKS: dict[str, Task] = {"cross_entropy": "classification", "mse": "regression"}
"""What each loss of a spec is for."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some samples.

    Attributes:
        x: float32 (samples, *input shape), standardised.
        y: int64 class indices (samples,), or float32 standardised values (samples, outputs).
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class Data:
    """All samples in three parts.

    Attributes:
        train, validation, test: 60, 20 and 20 %, the same for every seed.
        preparation: standardisation, classes and names; learned from the training part alone.
        fingerprint: sha256 of the raw content.
    """

    train: Part
    validation: Part
    test: Part
    preparation: Preparation
    fingerprint: str

    @property
    def parts(self) -> dict[str, Part]:
        """train, validation and test by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def load_data(source: Source, spec: Spec, *, folder: Path | None = None, trusted: bool = True) -> Data:
    """The data that a spec is trained on.

    Args:
        source: see `read_source`.
        spec: its input, output and loss say what is expected.
        folder: relative file names are below it; None takes the current folder.
        trusted: may the source be code?

    Raises:
        RunError: the data cannot be read, are not sound, or do not fit the spec.

    >>> from gromo_graph.spec import parse_spec
    >>> spec = parse_spec('''
    ... name: small
    ... nodes:
    ...   x: {kind: input, shape: [1]}
    ...   y: {kind: linear, from: x, features: 2}
    ... output: y
    ... ''')
    >>> data = load_data(([[float(i)] for i in range(20)], [0, 1] * 10), spec)
    >>> len(data.train), len(data.validation), len(data.test), data.preparation.classes
    (12, 4, 4, (0, 1))
    """
    check_trainable(spec)
    return prepare(read_source(source, folder=folder, trusted=trusted), spec)


def prepare(raw: Raw, spec: Spec) -> Data:
    """Check, split and standardise raw data.

    Raises:
        RunError: they are not sound, or do not fit the spec.
    """
    check_finite(raw)
    shapes = build_graph(spec).shapes
    shape, outputs = shapes[spec.inputs[0]], shapes[spec.outputs[0]][0]
    task = _task(raw, spec)
    classes: tuple[str | int, ...] = ()
    labels = None
    if task == "classification":
        assert raw.y is not None
        classes = class_names(raw, outputs)
        labels = class_indices(raw.y, classes, raw.name)
    rows = split(raw.name, len(raw.x), labels, classes)
    preparation = learn_preparation(raw, rows.train, task=task, shape=shape, classes=classes, outputs=outputs)
    whole = as_part(raw, preparation)
    train, validation, test = (
        Part(whole.x[part], whole.y[part]) for part in (rows.train, rows.validation, rows.test)
    )
    return Data(train, validation, test, preparation, raw.fingerprint)


def as_part(raw: Raw, preparation: Preparation) -> Part:
    """All samples, prepared as the network expects them."""
    assert raw.y is not None
    return Part(preparation.inputs(raw.x, name=raw.name), preparation.targets(raw.y, name=raw.name))


def check_trainable(spec: Spec) -> None:
    """The built-in training has one input and one output of [features].

    Raises:
        RunError: the spec has others.
    """
    if len(spec.inputs) != 1 or len(spec.outputs) != 1:
        raise RunError(
            f"`{spec.name}` has {len(spec.inputs)} inputs and {len(spec.outputs)} outputs, and `grow` trains "
            "networks of one each: train this one in a loop of your own with GrowthScheduler"
        )
    shape = build_graph(spec).shapes[spec.outputs[0]]
    if len(shape) != 1:
        raise RunError(
            f"the output `{spec.outputs[0]}` has the shape {list(shape)}: expected [features]; put a `flatten` "
            "and a `linear` node behind it"
        )


def _task(raw: Raw, spec: Spec) -> Task:
    task = _TASKS[spec.train.loss]
    if raw.task is not None and raw.task != task:
        other = next(loss for loss, its_task in _TASKS.items() if its_task == raw.task)
        raise RunError(
            f"{raw.name}: these data are for {raw.task}, and `train.loss: {spec.train.loss}` is for {task}: "
            f"write `train.loss: {other}`, or give other data"
        )
    return task
