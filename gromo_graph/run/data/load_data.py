"""Data: what a network is trained on, standardised and split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gromo_graph.errors import RunError
from gromo_graph.graph import build_graph
from gromo_graph.graph.growth_goals import check_goals
from gromo_graph.run.data.class_weights import class_weights
from gromo_graph.run.data.held_out import split_of, validation_file, with_validation
from gromo_graph.run.data.image_sets.images import read_images
from gromo_graph.run.data.image_sets.torchvision_sets import is_torchvision, read_torchvision
from gromo_graph.run.data.notes import single_class, unused_outputs
from gromo_graph.run.data.preparation import Preparation, learn_form, learn_preparation
from gromo_graph.run.data.raw import Array, Raw, check_finite, is_prepared_late
from gromo_graph.run.data.samples import MappedPart, Part, Samples
from gromo_graph.run.data.several_inputs import InputForm, forms_for
from gromo_graph.run.data.sources import Source, below, find_source, is_place, read_source
from gromo_graph.run.data.split import Split
from gromo_graph.run.data.stream import as_they_are, fingerprint_of, streams
from gromo_graph.run.data.tables.encoding import TableEncoding
from gromo_graph.run.data.tables.learning import learn_table
from gromo_graph.run.data.tables.rows import Rows
from gromo_graph.run.data.tables.sources import is_table, rows_of
from gromo_graph.run.data.targets import IGNORED, class_indices, class_names, label_names, target_values
from gromo_graph.run.data.text import read_text
from gromo_graph.run.spec_source import SpecSource
from gromo_graph.spec.data_sections import UNCHANGED, Augment, ImageData, TableData, TextData
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


def load_data(
    source: Source,
    spec: Spec,
    *,
    folder: Path | None = None,
    trusted: bool = True,
    validation: Path | None = None,
) -> Data:
    """The data that a spec is trained on.

    Args:
        source: see `read_source`.
        spec: its input, output and loss say what is expected.
        folder: relative file names are below it; None takes the current folder.
        trusted: may the source be code?
        validation: the file of the samples for validation; None for the one that the spec names, below `folder`.

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
    validation = validation or validation_file(spec, folder)
    if isinstance(spec.data, TableData) and is_table(source):
        held_out = None if validation is None else rows_of(validation, spec.data, other=True)
        return of_table(rows_of(source, spec.data, folder), spec, spec.data, held_out)
    if isinstance(spec.data, ImageData) and (is_place(source) or is_torchvision(source)):
        named = is_torchvision(source)
        raw = read_torchvision(source, spec.data) if named else read_images(below(folder, source), spec.data)
        if validation is not None:
            raw = with_validation(raw, read_images(validation, spec.data))
        return replace(prepare(raw, spec), augment=spec.data.augment)
    if isinstance(spec.data, TextData) and is_place(source):
        shape, vocabulary = _reads(spec, ())
        read = partial(read_text, length=shape[-1], limit=spec.data.limit)
        known = min(vocabulary or _gives(spec), _gives(spec))
        raw = read(source, folder=folder, known=known)
        if validation is not None:
            raw = with_validation(raw, read(validation, known=known))
        return prepare(raw, spec)
    found = find_source(source, folder=folder, trusted=trusted)
    if not isinstance(found, Raw):
        return of_loaders(found, spec)
    if validation is not None:
        found = with_validation(found, read_source(validation, trusted=False, known=found.features))
    return prepare(found, spec)


def data_of(source: SpecSource, data: Source) -> Data:
    """The data that are given, or else those that the spec names, relative to its folder.

    Raises:
        RunError: they cannot be read, are not sound, or do not fit the spec; or have fewer classes than it has outputs.
    """
    if data is None:
        named = named_data(source.spec)
        found = load_data(named, source.spec, folder=source.folder, trusted=False)
    else:
        held_out = validation_file(source.spec, source.folder)
        found = load_data(data, source.spec, validation=held_out)
    _check_outputs(found, source.spec)
    return found


def named_data(spec: Spec) -> str:
    """The name of the data in a spec."""
    return spec.train.data if spec.data is None else spec.data.source


def _check_outputs(data: Data, spec: Spec) -> None:
    """Refuse outputs without a class, unless the spec allows them; token ids often have more than occur.

    Raises:
        RunError: there are such.
    """
    if data.unused is None or spec.train.allow_unused_outputs or data.preparation.vocabulary is not None:
        return
    raise RunError(
        f"{data.unused}: write as many `features` as there are classes, or `train.allow_unused_outputs: true` to keep "
        "them"
    )


def of_table(rows: Rows, spec: Spec, section: TableData, held_out: Rows | None = None) -> Data:
    """Data out of a table with columns of several kinds.

    Args:
        rows: the table. spec: that they are for. section: what it says about them.
        held_out: rows for validation of a file of their own; None takes some of the others.

    Raises:
        RunError: with everything that is wrong with the columns; or they do not fit the spec.
    """
    task = spec.train.task
    learned = learn_table(rows, section, task, validation=spec.train.held_out)
    raw, parts, notes = learned.raw, learned.parts, learned.notes
    if held_out is not None:
        raw = with_validation(raw, learned.encoding.raw(held_out, task))
        parts = replace(parts, validation=np.arange(len(rows), len(raw.x)))
        notes = (*notes, *(f"{held_out.name}: {words}" for words in learned.encoding.unseen(held_out)))
    return prepare(raw, spec, parts).of_table(learned.encoding, notes)


def of_loaders(loaders: Mapping[str, Any], spec: Spec) -> Data:
    """Data out of loaders (stream.py), given as the network reads them.

    Raises:
        RunError: they give something else.
    """
    if len(spec.outputs) > 1 or len(spec.inputs) > 1:
        raise RunError(
            "data: found loaders by part, and the spec has several inputs or outputs: give samples, "
            "{'x': {...}, 'y': {...}}"
        )
    (shape, vocabulary), outputs = _reads(spec, ()), _gives(spec)
    task = spec.train.task
    parts = streams(loaders, shape=shape, outputs=outputs, task=task, vocabulary=vocabulary)
    return Data(
        parts["train"],
        parts["validation"],
        parts.get("test"),
        as_they_are(shape, outputs, task, vocabulary),
        fingerprint_of(parts),
    )


def _reads(spec: Spec, forms: tuple[InputForm, ...]) -> tuple[tuple[int, ...], int | None]:
    """The shape of a sample, and the number of token ids that the one input may hold; None if it holds values."""
    if forms:
        return (sum(form.size for form in forms),), None
    (name,) = spec.inputs
    return build_graph(spec).shapes[name], vocabularies(spec.nodes).get(name)


def _gives(spec: Spec) -> int:
    """The features of the one output."""
    return build_graph(spec).shapes[spec.outputs[0]][0]


def _positions(spec: Spec) -> tuple[int, ...]:
    """The positions of the one output, each with a class of its own; () if a sample has one."""
    return build_graph(spec).shapes[spec.outputs[0]][1:]


def prepare(raw: Raw, spec: Spec, parts: Split | None = None) -> Data:
    """Check, split and standardise raw data.

    Args:
        raw: the data. spec: that they are for.
        parts: the rows of each part, perhaps none for test; None takes the split that is the same for every seed.

    Raises:
        RunError: they are not sound, or do not fit the spec.
    """
    check_finite(raw)
    if len(spec.outputs) > 1:
        return _prepare_several(raw, spec, parts)
    if raw.several:
        names = ", ".join(each.name for each in raw.several)
        raise RunError(
            f"{raw.name}: there are targets for {names}, and the spec has one output: give y as an array"
        )
    outputs, forms = _gives(spec), forms_for(raw, spec)
    shape, vocabulary = _reads(spec, forms)
    task, positions = _task(raw, spec), _positions(spec)
    classes: tuple[str | int, ...] = ()
    labels: Array | None = None
    notes: list[str] = []
    unused: str | None = None
    if task == "classification":
        assert raw.y is not None
        classes = class_names(raw, outputs)
        labels = class_indices(raw.y, classes, raw.name, positions)
        notes = single_class(raw)
        unused = None if positions else unused_outputs(raw, outputs)  # a text seldom has all tokens
    elif task == "labels":
        classes = label_names(raw, outputs)
    if positions and raw.weights is not None:
        raise RunError(
            f"{raw.name}: samples with a class for each position cannot have weights: leave them out"
        )
    rows = _rows(raw, spec, None if positions else labels, classes) if parts is None else parts
    wanted = labels
    if task == "labels":
        assert raw.y is not None
        wanted = target_values(raw.y, outputs, raw.name, task)
    weights: tuple[float, ...] = ()
    if wanted is not None:
        seen = wanted[rows.train]
        seen = seen[seen != IGNORED] if positions else seen
        weights = class_weights(spec.train.class_weight, classes, seen, name=raw.name)
    learned = learn_preparation(
        raw,
        rows.train,
        task=task,
        shape=shape,
        classes=classes,
        outputs=outputs,
        positions=positions,
        vocabulary=vocabulary,
        class_weight=weights,
        inputs=forms,
    )
    train, validation, test = as_parts(raw, learned.preparation, (rows.train, rows.validation, rows.test))
    return Data(
        train,
        validation,
        test if len(test) else None,
        learned.preparation,
        raw.fingerprint,
        notes=(*learned.notes, *notes, *([unused] if unused else [])),
        unused=unused,
    )


def _rows(raw: Raw, spec: Spec, labels: Array | None, classes: tuple[str | int, ...]) -> Split:
    """The rows of each part, the same for every seed."""
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


def _prepare_several(raw: Raw, spec: Spec, parts: Split | None) -> Data:
    """Prepare data for a network with several outputs; parts are stratified by the first output with classes."""
    columns = _columns_of(raw, spec.outputs)
    shapes = build_graph(spec).shapes
    tasks = [TASKS[spec.train.loss_of(name).name] for name in spec.outputs]
    labels: Array | None = None
    classes: tuple[str | int, ...] = ()
    for own, name, task in zip(columns, spec.outputs, tasks, strict=True):
        if task == "classification" and labels is None:
            assert own.y is not None
            classes = class_names(own, shapes[name][0])
            labels = class_indices(own.y, classes, own.name)
    rows = _rows(raw, spec, labels, classes) if parts is None else parts
    asked = spec.train.class_weight
    learned = [
        learn_form(own, rows.train, name=name, task=task, outputs=shapes[name][0], asked=asked)
        for own, name, task in zip(columns, spec.outputs, tasks, strict=True)
    ]
    forms, notes = tuple(form for form, _ in learned), [note for _, told in learned for note in told]
    inputs = forms_for(raw, spec)
    shape, vocabulary = _reads(spec, inputs)
    of_inputs = learn_preparation(
        raw,
        rows.train,
        task="several",
        shape=shape,
        classes=(),
        outputs=sum(form.outputs for form in forms),
        vocabulary=vocabulary,
        inputs=inputs,
    )
    preparation = replace(of_inputs.preparation, several=forms)
    train, validation, test = as_parts(raw, preparation, (rows.train, rows.validation, rows.test))
    return Data(
        train,
        validation,
        test if len(test) else None,
        preparation,
        raw.fingerprint,
        notes=(*of_inputs.notes, *notes),
    )


def check_trainable(spec: Spec) -> None:
    """Refuse a spec with outputs that have positions and no class for each.

    Raises:
        RunError: the spec has such.
        GraphError: growth should lead to widths that cannot be reached.
    """
    graph = build_graph(spec)
    check_goals(graph)
    for output in spec.outputs:
        shape = graph.shapes[output]
        if len(shape) != 1 and (len(spec.outputs) > 1 or spec.train.task != "classification"):
            raise RunError(
                f"the output `{output}` has the shape {list(shape)}: expected [features]; put a `flatten` and a "
                "`linear` node behind it"
            )


def _task(raw: Raw, spec: Spec) -> Task:
    task = spec.train.task
    if raw.task is not None and raw.task != task:
        other = next(loss for loss, its_task in TASKS.items() if its_task == raw.task)
        raise RunError(
            f"{raw.name}: these data are for {raw.task}, and `train.loss: {spec.train.loss}` is for {task}: "
            f"write `train.loss: {other}`, or give other data"
        )
    return task
