"""Files of a network with its preprocessing, each compared with the network before it is written."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gromo_graph.errors import RunError
from gromo_graph.interop.onnx_files import NOT_RUN, PREPARATION, by_torch, runner, valid_bytes
from gromo_graph.interop.raw_columns import standalone_rows
from gromo_graph.interop.raw_columns.onnx_columns import inputs_of, prepared_model
from gromo_graph.interop.raw_columns.prepared_network import PreparedNetwork, any_batch
from gromo_graph.run.data.raw import Array

_SAMPLES = 3
_OTHER_SAMPLES = 20
_CLOSE = 1e-5


@dataclass(frozen=True)
class PreparedFile:
    """A file and its check.

    Attributes:
        content: of the file.
        difference: the largest of its probabilities from the network's, or of its values in units of the target's
            standard deviation; None if it was not run.
        runtime: the package that ran it, or the reason why none did.
    """

    content: bytes
    difference: float | None
    runtime: str


def onnx_file(network: PreparedNetwork, preparation: str) -> PreparedFile:
    """An ONNX file (`prepared_model`); `preparation` is the JSON that its metadata carry.

    Raises:
        RunError: a package is missing, torch cannot export the network, or the outputs differ.
    """
    model = prepared_model(network)
    model.metadata_props.add(key=PREPARATION, value=preparation)
    content = valid_bytes(model)
    session = runner(content)
    if session is None:
        return PreparedFile(content, None, NOT_RUN)
    run, version = session
    examples = network.examples(_OTHER_SAMPLES, seed=1)
    found = run(inputs_of(network, [each.numpy() for each in examples]))
    return PreparedFile(content, _difference(network, examples, found), version)


def program_file(network: PreparedNetwork, preparation: str) -> PreparedFile:
    """A program of `torch.export` with the inputs of `PreparedNetwork`; `preparation` is the JSON of its extra file.

    Raises:
        RunError: torch cannot export the network, or the outputs differ.
    """
    examples = network.examples(_SAMPLES)
    content = io.BytesIO()
    with by_torch():
        program = torch.export.export(network, examples, dynamic_shapes=(any_batch(examples),))
        torch.export.save(program, content, extra_files={f"{PREPARATION}.json": preparation})
        content.seek(0)
        again: Any = torch.export.load(content).module()
    others = network.examples(_OTHER_SAMPLES, seed=1)
    with torch.no_grad():
        found = [each.numpy() for each in again(*others)]
    difference = _difference(network, others, found)
    return PreparedFile(content.getvalue(), difference, f"torch {torch.__version__}")


def rows_file(network: PreparedNetwork, preparation: Mapping[str, Any]) -> tuple[str, float]:
    """The text of a file of Python that reads rows for an exported source, and the difference of what it gives.

    Raises:
        RunError: the outputs differ.
    """
    examples = network.examples(_OTHER_SAMPLES, seed=1)
    given = [each.numpy() for each in examples]
    rows: Any = given[0] if len(given) == 1 else dict(zip(network.input_names, given, strict=True))
    if network.columns:
        rows = {name: _cells(values) for name, values in inputs_of(network, given).items()}
        for column in network.columns:
            if column.kind == "date":
                rows[column.name] = [
                    None if days is None else standalone_rows.FIRST + days * standalone_rows.DAY
                    for days in rows[column.name]
                ]
    outputs = standalone_rows.outputs(network.plain, preparation, rows)
    found = network.judged(outputs)[-1].numpy()
    text = Path(standalone_rows.__file__).read_text(encoding="utf-8")
    return text, _difference(network, examples, [found])


def _cells(values: Array) -> list[Any]:
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values.tolist()]


def _difference(network: PreparedNetwork, inputs: Sequence[torch.Tensor], found: Sequence[Array]) -> float:
    """
    Raises:
        RunError: the last outputs differ by more than rounding.
    """
    with torch.no_grad():
        expected = network(*inputs)[-1].numpy()
    scale = max(network.preparation.target_scale, default=1.0)
    difference = float(np.abs(expected - found[-1]).max()) / scale
    if not difference <= _CLOSE:
        raise RunError(
            f"the exported file gives other predictions than the network: they differ by {difference:.3g}; nothing "
            "was written"
        )
    return difference
