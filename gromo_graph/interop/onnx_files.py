"""ONNX files: made by torch's exporter, checked, and run."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gromo_graph.errors import RunError

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

PREPARATION = "preparation"
"""The name under which a file carries the preparation of its samples as JSON."""

NOT_RUN = "not run: pip install onnxruntime"

Inputs = tuple[Tensor, ...]


def check_installed() -> None:
    """
    Raises:
        RunError: a package that writes ONNX is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401 - torch's exporter uses it
    except ImportError as error:
        raise RunError(
            f"the format onnx needs a package that is not installed ({error.name}): "
            "pip install 'gromo_graph[onnx]'"
        ) from error


def onnx_model(
    module: torch.nn.Module,
    inputs: Inputs,
    *,
    dynamic_shapes: Any,
    input_names: Sequence[str],
    output_names: Sequence[str],
) -> Any:
    """The ONNX model of a module.

    Args:
        module: in evaluation mode. inputs: an example. dynamic_shapes: as `torch.export` takes them.
        input_names, output_names: of the model.

    Raises:
        RunError: torch cannot export it.
    """
    with by_torch():
        program: Any = torch.onnx.export(
            module,
            inputs,
            dynamo=True,
            dynamic_shapes=dynamic_shapes,
            input_names=list(input_names),
            output_names=list(output_names),
            verbose=False,
        )
    _rename_inner_values(program, {*input_names, *output_names})
    return program.model_proto


def valid_bytes(model: Any) -> bytes:
    """The content of the file of a model.

    Raises:
        RunError: it is not valid.
    """
    import onnx

    content: bytes = model.SerializeToString()
    try:
        onnx.checker.check_model(content)
    except onnx.checker.ValidationError as error:
        raise RunError(f"torch made an ONNX file that is not valid, nothing was written: {error}") from error
    return content


def runner(content: bytes) -> tuple[Callable[[Mapping[str, Any]], list[Any]], str] | None:
    """A function that runs a model on arrays by name, and the name of its library; None without onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(arrays: Mapping[str, Any]) -> list[Any]:
        found: list[Any] = session.run(None, dict(arrays))
        return found

    return run, f"onnxruntime {onnxruntime.__version__}"


def _rename_inner_values(program: Any, names: set[str]) -> None:
    """Give another name to inner values that torch has named like an input or an output."""
    ends = {id(value) for value in (*program.model.graph.inputs, *program.model.graph.outputs)}
    for node in program.model.graph:
        for value in node.outputs:
            if value.name in names and id(value) not in ends:
                value.name = f"inside/{value.name}"


@contextmanager
def by_torch() -> Iterator[None]:
    """A call of one of torch's exporters, which log missing packages and do not support every layer.

    Raises:
        RunError: they fail.
    """
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        first: BaseException = error
        while first.__cause__ is not None:  # what went wrong, and not where that was noticed
            first = first.__cause__
        text = (_COLOURS.sub("", str(first)).strip() or "no message").splitlines()[0][:200]
        raise RunError(
            f"torch {torch.__version__} cannot export this network: {type(first).__name__}: {text}"
        ) from error
    finally:
        logger.setLevel(level)
