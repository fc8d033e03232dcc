"""Settings of the training that contradict each other, or that the network has no use for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gromo_graph.spec.settings import Growth
from gromo_graph.spec.text.locations import Path
from gromo_graph.spec.train_settings import MEASURES, Task, Train
from gromo_graph.spec.wording import listed

Found = Iterator[tuple[Path, str]]

_SAMPLES: dict[Task, str] = {
    "classification": "classes",
    "labels": "labels",
    "regression": "numbers",
    "several": "several outputs",
}


def training_problems(growth: Growth, train: Train, outputs: Sequence[str] = ()) -> Found:
    """The path and the message of each contradiction.

    Args:
        outputs: the names of the outputs; () if they are not known.
    """
    if len(outputs) > 1 or train.task == "several":
        yield from _of_several(growth, train, outputs)
        return
    yield from _goals(growth, train)
    yield from _metrics(train)
    yield from _watched(train)
    yield from _of_classes(train)
    schedule = train.schedule_options
    for name in sorted(schedule.model_fields_set.intersection(schedule.unused)):
        message = f"`{schedule.name}` has no `{name}`: leave it out"
        yield ("train", "schedule", name), message
    if train.warmup and train.schedule_options.name == "one_cycle":
        yield (
            ("train", "warmup"),
            "`schedule: one_cycle` has a rise of its own, `pct_start`: leave `warmup` out",
        )


def _of_several(growth: Growth, train: Train, outputs: Sequence[str]) -> Found:
    """Several outputs have a loss for each, and no measure of them all but the loss."""
    if isinstance(train.loss, dict) and outputs:
        for name in [name for name in train.loss if name not in outputs]:
            yield ("train", "loss", name), f"`{name}` is no output: expected {listed(outputs)}"
        missing = [name for name in outputs if name not in train.loss]
        if missing:
            yield ("train", "loss"), f"a loss is missing for {listed(missing)}: every output needs one"
    alone = "it is for networks with one output: leave it out"
    if train.metrics:
        yield ("train", "metrics"), f"{alone}; all measures of each output are in the summary"
    if train.watch != "loss":
        yield ("train", "watch"), alone
    if train.threshold != 0.5:
        yield ("train", "threshold"), alone
    if isinstance(train.class_weight, dict):
        message = "weights by name are for networks with one output: write `balanced`, or leave it out"
        yield ("train", "class_weight"), message
    if growth.stop.accuracy is not None:
        yield ("growth", "stop", "accuracy"), alone
    if growth.when.watch == "validation_error":
        yield ("growth", "when", "watch"), "several outputs have no errors to count: watch `validation_loss`"


def _goals(growth: Growth, train: Train) -> Found:
    """Only classes have an accuracy that growth could go by."""
    if train.task == "classification":
        return
    if growth.stop.accuracy is not None:
        message = (
            f"`train.loss: {train.loss}` has no accuracy: leave it out, or end by `improvement` or a budget"
        )
        yield ("growth", "stop", "accuracy"), message
    if growth.when.watch == "validation_error":
        message = (
            f"`train.loss: {train.loss}` has no errors to count: watch `validation_loss` or `train_loss`"
        )
        yield ("growth", "when", "watch"), message


def _of_classes(train: Train) -> Found:
    """Settings that other tasks have no use for."""
    if train.task == "classification":
        return
    if train.threshold == "tuned" or (train.task == "regression" and train.threshold != 0.5):
        message = f"{_is_for(train)}, and a threshold is between two classes: leave it out"
        yield ("train", "threshold"), message
    if train.label_smoothing:
        message = f"it is for `cross_entropy`, and {_is_for(train)}: leave it out"
        yield ("train", "label_smoothing"), message
    if train.task == "regression" and train.class_weight is not None:
        yield ("train", "class_weight"), f"{_is_for(train)}, which have no classes: leave it out"


def _metrics(train: Train) -> Found:
    known = MEASURES[train.task]
    for place, metric in enumerate(train.metrics):
        if metric not in known:
            tasks = [task for task, measures in MEASURES.items() if metric in measures]
            meant = " and ".join(_SAMPLES[task] for task in tasks)
            message = f"`{metric}` is for {meant}, and {_is_for(train)}: expected {listed(known)}"
            yield ("train", "metrics", place), message


def _watched(train: Train) -> Found:
    known = ("loss", *MEASURES[train.task])
    if train.watch not in known:
        yield ("train", "watch"), f"{_is_for(train)}, which have no `{train.watch}`: expected {listed(known)}"


def _is_for(train: Train) -> str:
    return f"`train.loss: {train.loss}` is for {_SAMPLES[train.task]}"
