"""`export`: a network as files that need no gromo_graph, each checked against the network before it is written."""

from __future__ import annotations

import io
import json
import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, fx

from gromo_graph.arguments import checked
from gromo_graph.errors import RunError
from gromo_graph.interop.onnx_files import (
    NOT_RUN,
    PREPARATION,
    by_torch,
    check_installed,
    onnx_model,
    runner,
    valid_bytes,
)
from gromo_graph.interop.raw_columns.prepared_files import onnx_file, program_file, rows_file
from gromo_graph.interop.raw_columns.prepared_network import PreparedNetwork
from gromo_graph.interop.source import source_of, weights_of
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.example_inputs import random_inputs
from gromo_graph.network.forward import evaluation_mode
from gromo_graph.network.plain import identifiers
from gromo_graph.records.atomic_files import write_atomically, writing
from gromo_graph.run.data.preparation import Preparation
from gromo_graph.run.judging.probabilities import EVEN

Format = Literal["torch", "source", "onnx", "torchexport"]
"""The formats that a network can be written in."""

_BY_SUFFIX: Mapping[str, Format] = {".py": "source", ".onnx": "onnx", ".pt2": "torchexport"}
_WEIGHTS = "weights.safetensors"
_SAMPLES = 3
_OTHER_SAMPLES = 5
_CLOSE: Mapping[Format, float] = {"torch": 1e-6, "source": 1e-6, "torchexport": 1e-6, "onnx": 1e-4}
"""The largest difference of outputs relative to the largest output; another runtime sums in another order."""


@dataclass(frozen=True)
class Exported:
    """The written files and their check.

    Attributes:
        format: of the files. files: their paths.
        difference: the largest between their outputs and the network's, on random inputs of another batch size; None
            if they were not run.
        runtime: the package that ran them, or the reason why none did.
    """

    format: Format
    files: tuple[Path, ...]
    difference: float | None
    runtime: str


@checked
def export(
    network: GrowingNetwork,
    out: str | os.PathLike[str],
    *,
    format: Format | None = None,
    force: bool = False,
    preparation: Preparation | None = None,
    with_preprocessing: bool = False,
    threshold: float = EVEN,
    any_length: bool = False,
) -> Exported:
    """Write a network as files that need no gromo_graph.

    - `torch`: a folder that Python can import, with the source and `weights.safetensors`: `import it; it.load()`.
    - `source`: the same as two files, `out` and the weights beside it. The source knows the sha256 of its weights, and
      refuses others in their place.
    - `onnx`: one file, in evaluation mode, with any batch size; it needs the extra `onnx`.
    - `torchexport`: a program of `torch.export`, in evaluation mode, with any batch size.

    Nothing is written if its outputs differ from those of the network. The preparation of samples is written as JSON:
    `preparation()` of the source and the metadata of its weights, the entry `preparation` of ONNX's metadata_props, and
    the extra file `preparation.json` of a program.

    Args:
        network: is not changed; adapters are merged into the weights of their layers.
        out: the file, or the folder for `torch`.
        format: None follows the ending of `out`: .py, .onnx, .pt2, and `torch` for a folder without one.
        force: replace files that exist.
        preparation: standardisation of samples and names of classes, as `run.preparation`; None leaves them out.
        with_preprocessing: put the preparation into the file, which then reads raw samples, or the columns of a table,
            and gives classes and probabilities, or values in their unit. ONNX has an input for each column by its name,
            with categories as text; a program takes the columns in their order, categories by their places; source has
            a file more, `NAME_rows.py` or `rows.py`, whose `predict` takes a list for each column.
        any_length: let a file of onnx or torchexport also take inputs with fewer positions along the last dimension.
        threshold: with it, the probability of the second of two classes above which it is predicted.

    Raises:
        RunError: there is a file already, it cannot be written, a package is missing, or the outputs differ.
        CompileError: no source can be written for a node.

    >>> import tempfile
    >>> from gromo_graph import compile_network, parse_spec
    >>> network = compile_network(parse_spec('''
    ... nodes:
    ...   x: {kind: input, shape: [3]}
    ...   y: {kind: linear, from: x, features: 2}
    ... output: y
    ... '''))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = export(network, f"{folder}/small.py")
    >>> done.format, [path.name for path in done.files], done.difference
    ('source', ['small.py', 'small.safetensors'], 0.0)
    """
    path = Path(out)
    chosen = format_of(path) if format is None else format
    if chosen not in get_args(Format):
        raise RunError(f"there is no format {chosen!r}: expected one of {', '.join(get_args(Format))}")
    if any_length and (chosen in ("torch", "source") or with_preprocessing):
        raise RunError("`any_length` is for onnx and torchexport without preprocessing: leave it out")
    files = _files(path, chosen, with_preprocessing=with_preprocessing)
    _check_free(path, chosen, files, force=force)
    network = network.merged()
    told = None if preparation is None else json.dumps(preparation.to_dict(), allow_nan=False)
    with evaluation_mode(network):
        if with_preprocessing:
            return _write_prepared(network, chosen, files, preparation, threshold)
        match chosen:
            case "torch" | "source":
                return _write_source(network, chosen, files, told)
            case "torchexport":
                return _write_program(network, files, told, any_length=any_length)
            case _:
                return _write_onnx(network, files, told, any_length=any_length)


def _write_prepared(
    network: GrowingNetwork,
    chosen: Format,
    files: tuple[Path, ...],
    preparation: Preparation | None,
    threshold: float,
) -> Exported:
    """
    Raises:
        RunError: there is no preparation, or it is for several outputs; or as for `export`.
    """
    if preparation is None:
        raise RunError("a spec has no preprocessing: it is learned from data, so export a run")
    if preparation.several:
        raise RunError("a network with several outputs is exported without its preprocessing: leave it out")
    told = json.dumps({**preparation.to_dict(), "threshold": threshold}, allow_nan=False)
    prepared = PreparedNetwork(network, preparation, threshold).cpu().eval()
    if chosen in ("torch", "source"):
        text, difference = rows_file(prepared, json.loads(told))
        done = _write_source(network, chosen, files[:2], told)
        write_atomically(files[2], text)
        return Exported(chosen, files, difference, done.runtime)
    file = (onnx_file if chosen == "onnx" else program_file)(prepared, told)
    write_atomically(files[0], file.content)
    return Exported(chosen, files, file.difference, file.runtime)


def format_of(path: Path) -> Format:
    """The format that the ending of a file asks for.

    >>> format_of(Path("a.onnx")), format_of(Path("model"))
    ('onnx', 'torch')
    """
    if not path.suffix or path.is_dir():
        return "torch"
    if path.suffix.lower() not in _BY_SUFFIX:
        near = get_close_matches(path.suffix.lower(), _BY_SUFFIX, n=1)
        raise RunError(
            f"{path}: the ending {path.suffix!r} names no format: expected {', '.join(_BY_SUFFIX)}, a folder without "
            f"ending, or a format ({', '.join(get_args(Format))})"
            + "".join(f"; did you mean `{path.with_suffix(suffix)}`?" for suffix in near)
        )
    return _BY_SUFFIX[path.suffix.lower()]


def _files(path: Path, chosen: Format, *, with_preprocessing: bool) -> tuple[Path, ...]:
    """The files of a format; those of source have one more with the preprocessing."""
    if chosen == "torch":
        return path / "__init__.py", path / _WEIGHTS, *([path / "rows.py"] if with_preprocessing else [])
    if chosen == "source":
        rows = path.with_name(f"{path.stem}_rows.py")
        return path, path.with_suffix(".safetensors"), *([rows] if with_preprocessing else [])
    return (path,)


def _check_free(path: Path, chosen: Format, files: tuple[Path, ...], *, force: bool) -> None:
    if chosen == "source" and path.suffix == ".safetensors":
        raise RunError(f"{path}: the weights are put beside the source: give it the ending .py")
    if chosen == "torch" and path.exists() and not path.is_dir():
        raise RunError(f"{path}: this is a file, expected a folder for the format `torch`")
    for file in files:
        if file.is_dir():
            raise RunError(f"{file}: this is a folder, expected a file for the format `{chosen}`")
        if file.exists() and not force:
            raise RunError(
                f"{file}: this file already exists: choose another one, or replace it with `force=True` (on the "
                "command line `--force`)"
            )


def _write_source(
    network: GrowingNetwork, chosen: Format, files: tuple[Path, ...], preparation: str | None
) -> Exported:
    source, weights = files
    content = weights_of(network, preparation)
    text = source_of(network, weights=weights.name, content=content, prepared=preparation is not None)
    # The text is not run here: it was made of a spec that anybody may have written. Its steps are those of the module.
    difference = _compared(network, chosen, network.to_torch())
    if chosen == "torch":
        with writing(source.parent):
            source.parent.mkdir(parents=True, exist_ok=True)
    # A crash between the two leaves weights that the source refuses.
    write_atomically(weights, content)
    write_atomically(source, text)
    return Exported(chosen, files, difference, f"torch {torch.__version__}, the same steps as a module")


def _write_program(
    network: GrowingNetwork, files: tuple[Path, ...], preparation: str | None, *, any_length: bool
) -> Exported:
    plain = _plain(network, any_length)
    with by_torch():
        program = torch.export.export(
            plain, random_inputs(network, _SAMPLES), dynamic_shapes=_dynamic(network, any_length)
        )
        content = io.BytesIO()
        extra = None if preparation is None else {f"{PREPARATION}.json": preparation}
        torch.export.save(program, content, extra_files=extra)
        content.seek(0)
        again: Any = torch.export.load(content).module()
    difference = _compared(network, "torchexport", again, any_length=any_length)
    write_atomically(files[0], content.getvalue())
    return Exported("torchexport", files, difference, f"torch {torch.__version__}")


def _write_onnx(
    network: GrowingNetwork, files: tuple[Path, ...], preparation: str | None, *, any_length: bool
) -> Exported:
    check_installed()
    given = network.spec.inputs  # an output may be one of these
    ends = [f"{name} output" if name in given else name for name in network.spec.outputs]
    names = identifiers(dict.fromkeys((*given, *ends)))
    called = [names[name] for name in given]
    model = onnx_model(
        _plain(network, any_length),
        random_inputs(network, _SAMPLES),
        dynamic_shapes=_dynamic(network, any_length),
        input_names=called,
        output_names=[names[name] for name in ends],
    )
    if preparation is not None:
        model.metadata_props.add(key=PREPARATION, value=preparation)
    content = valid_bytes(model)
    session = runner(content)
    difference, runtime = None, NOT_RUN
    if session is not None:
        on_arrays, runtime = session

        def run(*inputs: Tensor) -> Any:
            arrays = {name: tensor.cpu().numpy() for name, tensor in zip(called, inputs, strict=True)}
            found = [torch.from_numpy(value) for value in on_arrays(arrays)]
            return (
                dict(zip(network.spec.outputs, found, strict=True))
                if network.spec.named_outputs
                else found[0]
            )

        difference = _compared(network, "onnx", run, any_length=any_length)
    write_atomically(files[0], content)
    return Exported("onnx", files, difference, runtime)


def _plain(network: GrowingNetwork, any_length: bool) -> torch.nn.Module:
    """The network in plain torch; with any length numbers of positions are cut to what they are combined with.

    Raises:
        RunError: it cannot read fewer positions.
    """
    plain = network.to_torch()
    if any_length:
        assert isinstance(plain, fx.GraphModule)
        for node in plain.graph.find_nodes(op="get_attr"):
            for reader, value in [(each, _combined_with(each)) for each in node.users]:
                if value is None:
                    continue
                with plain.graph.inserting_before(reader):
                    length = plain.graph.call_method("size", (value, 2))
                    device = plain.get_parameter(str(node.target)).device
                    first = plain.graph.call_function(torch.arange, (length,), {"device": device})
                    cut = plain.graph.call_method("index_select", (node, 1, first))
                reader.replace_input_with(node, cut)
        plain.recompile()
        try:
            with torch.no_grad():
                plain(*_shorter(random_inputs(network, _OTHER_SAMPLES, seed=1)))
        except RuntimeError as error:
            raise RunError(
                "`any_length`: this network reads inputs of one length alone, as a linear layer behind `flatten` does: "
                "leave it out"
            ) from error
    return plain


def _shorter(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The inputs with half of their positions along the last dimension."""
    return tuple(x[..., : max(2, x.shape[-1] // 2)].contiguous() for x in inputs)


def _combined_with(reader: fx.Node) -> Any:
    """The value that numbers of positions are added to, (batch, features, length), or rotate, (batch, heads, length,
    features); None if the reader does neither."""
    if reader.target is operator.add:
        return reader.args[0]
    if reader.target == "transpose":
        return next((each.args[0] for each in reader.users if each.target is operator.mul), None)
    return None


def _dynamic(network: GrowingNetwork, any_length: bool) -> tuple[Any, ...]:
    """For `torch.export`: any batch size, and lengths up to those of the spec."""
    sizes: dict[str, Any] = {"batch": torch.export.Dim("batch")}

    def of(shape: tuple[int, ...]) -> dict[int, Any]:
        if not any_length:
            return {0: sizes["batch"]}
        name = f"length_{shape[-1]}"
        length = sizes.setdefault(name, torch.export.Dim(name, min=2, max=shape[-1]))
        return {0: sizes["batch"], len(shape): length}

    return tuple(of(network.graph.shapes[name]) for name in network.spec.inputs)


def _compared(network: GrowingNetwork, chosen: Format, run: Any, *, any_length: bool = False) -> float:
    """The largest difference of the outputs from the network's, on another batch size than was exported.

    Raises:
        RunError: it is more than rounding.
    """
    inputs = random_inputs(network, _OTHER_SAMPLES, seed=1)
    reference: torch.nn.Module = network
    if any_length:  # the network itself reads one length alone
        inputs = _shorter(inputs)
        reference = _plain(network, any_length)
    with torch.no_grad():
        expected, found = reference(*inputs), run(*inputs)
    one = expected if isinstance(expected, dict) else {"": expected}
    other = found if isinstance(found, dict) else {"": found}
    largest = 0.0
    for name, value in one.items():
        apart = float((value.cpu() - other[name].cpu()).abs().max())
        scale = max(1.0, float(value.abs().max()))
        largest = max(largest, apart)
        if not apart <= _CLOSE.get(chosen, 0.0) * scale:
            raise RunError(
                f"the file exported as {chosen} gives other outputs than the network: they differ by {apart:.3g}"
                f"{f' in `{name}`' if name else ''}; nothing was written"
            )
    return largest
