"""Data from anywhere, as a spec needs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gromo_graph.errors import RunError
from gromo_graph.graph import build_graph
from gromo_graph.graph.growth_goals import check_goals
from gromo_graph.run.data.held_out import validation_file, with_validation
from gromo_graph.run.data.image_sets.images import read_images
from gromo_graph.run.data.image_sets.torchvision_sets import is_torchvision, read_torchvision
from gromo_graph.run.data.preparation import Preparation
from gromo_graph.run.data.prepare_data import Data, output_features, prepare, shape_and_vocabulary
from gromo_graph.run.data.raw import Raw
from gromo_graph.run.data.sources import Source, below, find_source, is_place, read_source
from gromo_graph.run.data.stream import as_they_are, fingerprint_of, streams
from gromo_graph.run.data.tables.learning import learn_table
from gromo_graph.run.data.tables.rows import Rows
from gromo_graph.run.data.tables.sources import is_table, rows_of
from gromo_graph.run.data.text import read_text
from gromo_graph.run.spec_source import SpecSource
from gromo_graph.spec.data_sections import UNCHANGED, ImageData, TableData, TextData
from gromo_graph.spec.kinds.softmax import Softmax
from gromo_graph.spec.model import Spec
from gromo_graph.spec.train_settings import TASKS


def load_data(
    source: Source,
    spec: Spec,
    *,
    folder: Path | None = None,
    trusted: bool = True,
    validation: Path | None = None,
    known: Preparation | None = None,
) -> Data:
    """The data that a spec is trained on.

    Args:
        source: see `read_source`.
        spec: its input, output and loss say what is expected.
        folder: relative file names are below it; None takes the current folder.
        trusted: may the source be code?
        validation: the file of the samples for validation; None for the one that the spec names, below `folder`.
        known: the preparation of an earlier run, which goes on with these data; None learns one.

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
        return of_table(rows_of(source, spec.data, folder), spec, spec.data, held_out, known)
    augment = UNCHANGED
    if isinstance(spec.data, ImageData) and (is_place(source) or is_torchvision(source)):
        named = is_torchvision(source)
        raw = read_torchvision(source, spec.data) if named else read_images(below(folder, source), spec.data)
        read: Callable[[Path], Raw] = partial(read_images, section=spec.data)
        augment = spec.data.augment
    elif isinstance(spec.data, TextData) and is_place(source):
        shape, vocabulary = shape_and_vocabulary(spec, ())
        tokens = min(vocabulary or output_features(spec), output_features(spec))
        read = partial(read_text, length=shape[-1], limit=spec.data.limit, known=tokens)
        raw, known = read(source, folder=folder), None
    else:
        found = find_source(source, folder=folder, trusted=trusted)
        if not isinstance(found, Raw):
            return of_loaders(found, spec)
        raw, read = found, partial(read_source, trusted=False, known=found.features)
    if validation is not None:
        raw = with_validation(raw, read(validation))
    return replace(prepare(raw, spec, known=known), augment=augment)


def data_of(source: SpecSource, data: Source, *, known: Preparation | None = None) -> Data:
    """The data that are given, or else those that the spec names, relative to its folder.

    Args:
        known: as for `load_data`.

    Raises:
        RunError: they cannot be read, are not sound, or do not fit the spec; or have fewer classes than it has outputs.
    """
    if data is None:
        named = named_data(source.spec)
        found = load_data(named, source.spec, folder=source.folder, trusted=False, known=known)
    else:
        held_out = validation_file(source.spec, source.folder)
        found = load_data(data, source.spec, validation=held_out, known=known)
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


def of_table(
    rows: Rows,
    spec: Spec,
    section: TableData,
    held_out: Rows | None = None,
    known: Preparation | None = None,
) -> Data:
    """Data out of a table with columns of several kinds.

    Args:
        rows: the table. spec: that they are for. section: what it says about them.
        held_out: rows for validation of a file of their own; None takes some of the others.
        known: as for `load_data`.

    Raises:
        RunError: with everything that is wrong with the columns; or they do not fit the spec.
    """
    task = spec.train.task
    learned = learn_table(rows, section, task, validation=spec.train.held_out, known=known)
    raw, parts, notes = learned.raw, learned.parts, learned.notes
    if held_out is not None:
        raw = with_validation(raw, learned.encoding.raw(held_out, task))
        parts = replace(parts, validation=np.arange(len(rows), len(raw.x)))
        notes = (*notes, *(f"{held_out.name}: {words}" for words in learned.encoding.unseen(held_out)))
    return prepare(raw, spec, parts, known=known).of_table(learned.encoding, notes)


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
    (shape, vocabulary), outputs = shape_and_vocabulary(spec, ()), output_features(spec)
    task = spec.train.task
    parts = streams(loaders, shape=shape, outputs=outputs, task=task, vocabulary=vocabulary)
    return Data(
        parts["train"],
        parts["validation"],
        parts.get("test"),
        as_they_are(shape, outputs, task, vocabulary),
        fingerprint_of(parts),
    )


def check_trainable(spec: Spec) -> None:
    """Refuse a spec with outputs that have positions and no class for each, or shares that the loss makes again.

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
        node, loss = spec.nodes[output], spec.train.loss_of(output).name
        if isinstance(node, Softmax) and TASKS[loss] != "regression":
            made = "softmax" if TASKS[loss] == "classification" else "sigmoid"
            raise RunError(
                f"the output `{output}` is a `{node.kind}`. `{node.kind}` with `{loss}`: leave it out, the loss "
                f"applies a {made} itself"
            )
