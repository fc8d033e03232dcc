"""`Data`: raw data, checked, split and standardised for a spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from gromo_graph.errors import RunError
from gromo_graph.graph import build_graph
from gromo_graph.run.data.held_out import split_of
from gromo_graph.run.data.learn_preparation import Target, learn_preparation
from gromo_graph.run.data.notes import missing_classes, single_class, unused_outputs
from gromo_graph.run.data.preparation import Preparation
from gromo_graph.run.data.raw import Array, Raw, check_finite, is_prepared_late
from gromo_graph.run.data.samples import MappedPart, Part, Samples
from gromo_graph.run.data.several_inputs import InputForm, forms_for
from gromo_graph.run.data.split import Split
from gromo_graph.run.data.tables.encoding import TableEncoding
from gromo_graph.run.data.targets import Wider, with_known_classes
from gromo_graph.spec.data_sections import UNCHANGED, Augment
from gromo_graph.spec.model import Spec
from gromo_graph.spec.token_inputs import vocabularies
from gromo_graph.spec.train_settings import TASKS, Task


@dataclass(frozen=True, eq=False)
class Data:
    """All samples in three parts.

    Attributes:
        train, validation, test: 60, 20 and 20 %, the same for every seed; or what loaders give, perhaps without test.
        preparation: standardisation, classes and names; learned from the training part alone.
        fingerprint: sha256 of the raw content; of loaders, of the first batch that is held out.
        notes: that are said once, about columns, targets and outputs that nothing is learned of.
        unused: the words about outputs that no class is for, if there are such; one of the notes.
        augment: random changes of the training samples.
    """

    train: Samples
    validation: Samples
    test: Samples | None
    preparation: Preparation
    fingerprint: str
    notes: tuple[str, ...] = ()
    unused: str | None = None
    augment: Augment = UNCHANGED

    @property
    def parts(self) -> dict[str, Samples]:
        """train, validation and test by name, as far as they are there."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}

    def of_table(self, encoding: TableEncoding, notes: Sequence[str]) -> Data:
        """The same data, known to be the rows of a table, with notes about its columns."""
        preparation = replace(self.preparation, table=encoding)
        return replace(self, preparation=preparation, notes=(*notes, *self.notes))


def shape_and_vocabulary(spec: Spec, forms: tuple[InputForm, ...]) -> tuple[tuple[int, ...], int | None]:
    """The shape of a sample, and the number of token ids that the one input may hold; None if it holds values."""
    if forms:
        return (sum(form.size for form in forms),), None
    (name,) = spec.inputs
    return build_graph(spec).shapes[name], vocabularies(spec.nodes).get(name)


def output_features(spec: Spec) -> int:
    """The features of the one output."""
    return build_graph(spec).shapes[spec.outputs[0]][0]


def prepare(raw: Raw, spec: Spec, parts: Split | None = None, *, known: Preparation | None = None) -> Data:
    """Check, split and standardise raw data.

    Args:
        raw: the data. spec: that they are for.
        parts: the rows of each part, perhaps none for test; None takes the split that is the same for every seed.
        known: the preparation of an earlier run: its classes come first, and its standardisation stays; None learns it.

    Raises:
        RunError: they are not sound, or do not fit the spec.
    """
    check_finite(raw)
    fingerprint, inputs, one = raw.fingerprint, forms_for(raw, spec), len(spec.outputs) == 1
    if one and spec.train.task == "classification" and not raw.several:
        raw = with_known_classes(raw, () if known is None else known.classes)
    targets = _targets(raw, spec, known)
    rows = _rows(raw, spec, targets) if parts is None else parts
    learned = [each.form(rows.train, spec.train.class_weight) for each in targets]
    shape, vocabulary = shape_and_vocabulary(spec, inputs)
    found = learn_preparation(
        raw,
        rows.train,
        shape=shape,
        vocabulary=vocabulary,
        inputs=inputs,
        targets=[form for form, _ in learned],
    )
    preparation = found.preparation
    if known is not None:
        preparation = preparation.standardising_as(known)
    notes = [*found.notes, *(note for _, told in learned for note in told)]
    notes += [] if known is None else _lost_classes(targets, rows.train, known)
    unused: str | None = None
    if one and preparation.task == "classification":
        notes += single_class(raw) if known is None else []
        # A text seldom has all tokens, and the classes of an earlier run may be missing.
        complete = not preparation.positions and known is None
        unused = unused_outputs(raw, preparation.outputs) if complete else None
        notes += [unused] if unused else []
    train, validation, test = as_parts(raw, preparation, (rows.train, rows.validation, rows.test))
    return Data(
        train,
        validation,
        test if len(test) else None,
        preparation,
        fingerprint,
        notes=tuple(notes),
        unused=unused,
    )


def _lost_classes(targets: Sequence[Target], train: Array, known: Preparation) -> list[str]:
    """Notes about the classes of an earlier run that no training row has, of each output with a class a sample."""
    before = {"": known.classes, **{form.name: form.classes for form in known.several}}
    return [
        note
        for each in targets
        if each.one_class is not None
        for note in missing_classes(each.raw.name, before.get(each.name, ()), each.one_class[train])
    ]


def _targets(raw: Raw, spec: Spec, known: Preparation | None) -> list[Target]:
    """The target of each output; of several outputs the classes of an earlier run come first.

    Raises:
        RunError: a target is missing or there is one for no output; one does not fit its output.
    """
    shapes = build_graph(spec).shapes
    if len(spec.outputs) > 1:
        before = {} if known is None else {form.name: form.classes for form in known.several}
        found = []
        for name, own in zip(spec.outputs, _columns_of(raw, spec.outputs), strict=True):
            task = TASKS[spec.train.loss_of(name).name]
            own = with_known_classes(own, before.get(name, ())) if task == "classification" else own
            wider = Wider(spec, name, goes_on=known is not None)
            found.append(Target.of(own, task, shapes[name][0], wider=wider, name=name))
        return found
    if raw.several:
        names = ", ".join(each.name for each in raw.several)
        raise RunError(
            f"{raw.name}: there are targets for {names}, and the spec has one output: give y as an array"
        )
    outputs, *positions = shapes[spec.outputs[0]]
    if positions and raw.weights is not None:
        raise RunError(
            f"{raw.name}: samples with a class for each position cannot have weights: leave them out"
        )
    wider = Wider(spec, spec.outputs[0], goes_on=known is not None)
    return [Target.of(raw, _task(raw, spec), outputs, wider=wider, positions=tuple(positions))]


def _rows(raw: Raw, spec: Spec, targets: Sequence[Target]) -> Split:
    """The rows of each part, the same for every seed; each has its share of every class of the first classification."""
    stratified = next((each for each in targets if each.one_class is not None), None)
    labels, classes = (None, ()) if stratified is None else (stratified.one_class, stratified.classes)
    return split_of(raw, labels, classes, validation=spec.train.held_out)


def as_parts(raw: Raw, preparation: Preparation, parts: Sequence[Array]) -> list[Part | MappedPart]:
    """Parts with some rows of the data each, prepared for the network; those of a mapped file when they are used."""
    y = _prepared_targets(raw, preparation)
    weighted = raw.weights is not None
    if raw.weights is not None:
        own = torch.from_numpy(raw.weights.astype(np.float32))
        y = torch.cat((y.float().reshape(len(y), -1), own[:, None]), dim=1)
    if is_prepared_late(raw.x):
        preparation.inputs(raw.x[:1], name=raw.name)  # refuses another shape now, not in the middle of a run
        return [MappedPart(raw.x, rows, y[rows], preparation, raw.name, weighted=weighted) for rows in parts]
    x = preparation.raw_inputs(raw)
    return [Part(x[rows], y[rows], weighted, preparation.several_inputs) for rows in parts]


def _prepared_targets(raw: Raw, preparation: Preparation) -> Tensor:
    """The targets for the network; those of several outputs side by side, as numbers."""
    assert raw.y is not None
    if not preparation.several:
        return preparation.targets(raw.y, name=raw.name)
    columns, prepared = _columns_of(raw, [form.name for form in preparation.several]), []
    for form, own in zip(preparation.several, columns, strict=True):
        assert own.y is not None
        prepared.append(form.targets(own.y, name=own.name).float().reshape(len(own.y), -1))
    return torch.cat(prepared, dim=1)


def _columns_of(raw: Raw, outputs: Sequence[str]) -> list[Raw]:
    """The data with the target of each output alone.

    Raises:
        RunError: there is no target for an output, or one for none.
    """
    known = {each.name: each for each in raw.several}
    if set(known) != set(outputs):
        found = ", ".join(known) or "one target without a name"
        raise RunError(
            f"{raw.name}: expected a target for each output, {', '.join(outputs)}, found {found}: give y as a map, "
            "{'name': targets}"
        )
    return [known[name].of(raw) for name in outputs]


def _task(raw: Raw, spec: Spec) -> Task:
    task = spec.train.task
    if raw.task is not None and raw.task != task:
        other = next(loss for loss, its_task in TASKS.items() if its_task == raw.task)
        raise RunError(
            f"{raw.name}: these data are for {raw.task}, and `train.loss: {spec.train.loss}` is for {task}: "
            f"write `train.loss: {other}`, or give other data"
        )
    return task
