"""The spec that `gromo-graph new table` prints: every column of a file with what was found in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gromo_graph.amounts import amount
from gromo_graph.run.data.several_inputs import InputForm
from gromo_graph.run.data.tables.column_kinds import FEW_NUMBERS, MOST, Column, free_texts
from gromo_graph.run.data.tables.encoded_columns import MOST_CATEGORIES, most_places
from gromo_graph.run.data.tables.learning import LearnedTable, learn_table
from gromo_graph.run.data.tables.reading import read_rows
from gromo_graph.run.data.tables.rows import Rows, counted, number_cells, text_cells
from gromo_graph.spec.data_sections import TableData
from gromo_graph.spec.text.write import flow_text
from gromo_graph.spec.train_settings import Task

_LISTS = {
    "numeric": "number",
    "categorical": "category",
    "embedding": "embedded",
    "dates": "date",
    "drop": "drop",
}
_LOSSES = {"classification": "cross_entropy", "labels": "binary_cross_entropy", "regression": "mse"}
_COMMENT = 45  # the column in which comments begin
_BUDGET = 500  # parameters, at least
_STEPS = 2000  # of training, at least
_BATCH = 32

_NODES = ("columns", "joined", "hidden1", "hidden2", "logits", "value")  # of the spec

_SPEC = """\
# A network that grows, for the table {file}.
#   gromo-graph grow FILE                     train it and let it grow
#   gromo-graph predict RUN --data NEW.csv    rows as in the table, with or without the target
version: 1
name: {name}

data:
{data}

nodes:
{inputs}
  hidden1: {{kind: linear, from: {read}, features: 2, activation: relu}}
  hidden2: {{kind: linear, from: hidden1, features: 2, activation: relu}}
  {output}: {{kind: linear, from: hidden2, features: {outputs}}}
output: {output}

growth:
{stop}

train:
{loss}
  # Strong decay keeps the network from fitting the noise of a small table; lower it if the training loss stays high.
  optimizer: {{name: adamw, lr: 0.003, weight_decay: 1.0}}
  batch_size: {batch}
  epochs: {epochs}
"""


@dataclass(frozen=True)
class TableStarter:
    """A spec for a table.

    Attributes:
        text: the document. notes: about columns that are not read.
    """

    text: str
    notes: tuple[str, ...]


def table_starter(file: str, *targets: str) -> TableStarter:
    """A spec for a file, each column in a list and with a comment.

    Args:
        file: as it is to stand in the spec. targets: the columns to predict; several are numbers, or labels of 0 and 1.

    Raises:
        RunError: the file cannot be read, or with everything that is wrong with its columns.
        SpecError: it has another ending than tables have.
    """
    section = TableData(file=file, target=targets if len(targets) > 1 else targets[0])
    rows = read_rows(Path(file), section)
    text = free_texts(rows, [name for name in rows.header if name not in targets])
    task = task_of(rows, *targets)
    told = section.model_copy(update={"drop": tuple(text)})
    learned = learn_table(rows, told, task)
    many = _of_many_categories(learned)
    if many:
        learned = learn_table(rows, told.model_copy(update={"embedding": many}), task)
    columns = [_with_reason(column, text) for column in learned.columns]
    dropped = tuple(f"{column.name}: {column.about}" for column in columns if column.kind == "drop")
    return TableStarter(_text(rows, section, learned, columns, task), dropped)


def task_of(rows: Rows, target: str, *others: str) -> Task:
    """Classification if the target holds texts, or no more than ten different whole numbers.

    Several targets are labels if all hold 0 and 1 alone, else numbers.

    >>> import pandas
    >>> rows = Rows("t", pandas.DataFrame({"kind": ["a", "b"] * 6, "size": [n / 7 for n in range(12)]}))
    >>> task_of(rows, "kind"), task_of(rows, "size")
    ('classification', 'regression')
    """
    if others:
        known = [name for name in (target, *others) if name in rows.header]
        numbers = [number_cells(rows.column(name), rows.decimal).values for name in known]
        return "labels" if np.isin(numbers, (0.0, 1.0)).all() else "regression"
    if target not in rows.header:
        return "classification"  # it is told with everything else that is wrong
    cells = number_cells(rows.column(target), rows.decimal)
    if cells.wrong.mean() > 1.0 - MOST or str(rows.column(target).dtype) in ("bool", "boolean", "category"):
        return "classification"
    values = cells.values[~(cells.gaps | cells.wrong)]
    few = len(np.unique(values)) <= FEW_NUMBERS and bool((values == np.round(values)).all())
    return "classification" if few else "regression"


def _with_reason(column: Column, text: Mapping[str, str]) -> Column:
    return replace(column, about=text.get(column.name, column.about))


def _text(
    rows: Rows, section: TableData, learned: LearnedTable, columns: Sequence[Column], task: Task
) -> str:
    classes = task == "classification"
    features, path = len(learned.encoding.features), Path(section.file)
    inputs, read = _input_nodes(learned.encoding.inputs, {column.name: column for column in columns})
    names = np.unique(learned.raw.y) if classes and learned.raw.y is not None else ()
    tuned = [_line("  threshold: tuned", "of the second class, for the highest F1 of the validation part")]
    steps = -(-len(learned.parts.train) // _BATCH)
    return _SPEC.format(
        file=_printable(path.name),
        name=flow_text(_printable(path.stem)),
        data="\n".join(_data_lines(rows, section, columns, task)),
        inputs="\n".join(inputs),
        read=read,
        output="value" if task == "regression" else "logits",
        outputs=len(names) if classes else len(section.targets),
        stop=_line(
            f"  stop: {{parameters: {max(_BUDGET, 20 * features)}}}", "the network gets no larger than this"
        ),
        loss="\n".join([f"  loss: {_LOSSES[task]}", *(tuned if len(names) == 2 else [])]),
        batch=_BATCH,
        epochs=min(100, max(20, -(-_STEPS // steps))),
    )


def _of_many_categories(learned: LearnedTable) -> tuple[str, ...]:
    """The columns of more categories than switches are made for, whose names can be those of nodes."""
    return tuple(
        column.name
        for column in learned.columns
        if column.kind == "category"
        and len(counted(column.cells.values.tolist())) > MOST_CATEGORIES
        and column.name not in _NODES
        and "->" not in column.name
    )


def _input_nodes(inputs: Sequence[InputForm], columns: Mapping[str, Column]) -> tuple[list[str], str]:
    """The lines of the nodes that read the columns, and the name of the one that gives them all.

    Another split of the rows may make other categories rare: the vocabularies hold what any split may have.
    """
    lines, parts = [], []
    for form in inputs:
        name = flow_text(form.name or "columns")
        about = (
            "numbers, and switches for categories" if form.vocabulary is None else "the number of a category"
        )
        lines.append(_line(f"  {name}: {{kind: input, shape: {list(form.shape)}}}", about))
        if form.vocabulary is None:
            parts.append(name)
            continue
        looked_up, flat = (flow_text(f"{form.name}{suffix}") for suffix in (" embedded", " flat"))
        most = most_places(columns[form.name].cells.values)
        embedding = f"  {looked_up}: {{kind: embedding, from: {name}, vocabulary: {most}, features: 2}}"
        lines.append(_line(embedding, "enough places for any split of the rows"))
        lines.append(f"  {flat}: {{kind: flatten, from: {looked_up}}}")
        parts.append(flat)
    if len(parts) == 1:
        return lines, parts[0]
    return [*lines, f"  joined: {{kind: merge, from: [{', '.join(parts)}], merge: concat}}"], "joined"


def _data_lines(rows: Rows, section: TableData, columns: Sequence[Column], task: Task) -> Iterator[str]:
    yield _line(f"  file: {flow_text(section.file)}", "relative to this file")
    abouts = [_about_target(rows, target, task) for target in section.targets]
    named = section.target if isinstance(section.target, str) else list(section.target)
    yield _line(f"  target: {flow_text(named)}", "; ".join(abouts))
    for key, kind in _LISTS.items():
        listed = [column for column in columns if column.kind == kind]
        if not listed:
            continue
        yield f"  {key}:"
        for column in listed:
            yield _line(f"    - {flow_text(column.name)}", column.about.removesuffix(": not read"))
    yield _line("  missing: indicator", "gaps are filled in and told to the network; or impute, or refuse")
    if rows.separator:
        for key in ("separator", "decimal", "encoding"):
            yield f"  {key}: {flow_text(getattr(rows, key))}"


def _about_target(rows: Rows, name: str, task: Task) -> str:
    if task == "regression":
        values = number_cells(rows.column(name), rows.decimal).values
        return f"{np.nanmin(values):.6g} to {np.nanmax(values):.6g}"
    counts = counted(text_cells(rows.column(name)).values.tolist())
    shares = [f"{text[:20]} ({count / len(rows):.0%})" for text, count in list(counts.items())[:3]]
    return (
        f"{amount(len(counts), 'class')}: {', '.join(shares)}{', ...' if len(counts) > len(shares) else ''}"
    )


def _line(text: str, comment: str) -> str:
    return f"{text.ljust(_COMMENT - 1)} # {_printable(comment)}"


def _printable(text: str) -> str:
    """A text of a file on one line, in a comment too."""
    return "".join(character if character.isprintable() else " " for character in text)
