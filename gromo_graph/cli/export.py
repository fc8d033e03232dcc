"""`gromo-graph export`: a network as files that need no gromo_graph."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gromo_graph.cli.messages import reported, say
from gromo_graph.cli.options import AsJson

if TYPE_CHECKING:
    from gromo_graph.interop.exporting import Exported
    from gromo_graph.network import GrowingNetwork
    from gromo_graph.run.data.preparation import Preparation


class Written(StrEnum):
    """The forms in which a network can be written."""

    torch = "torch"
    source = "source"
    onnx = "onnx"
    torchexport = "torchexport"


@reported
def export(
    target: Annotated[str, typer.Argument(metavar="RUN|SPEC", help="A run folder, or a YAML file.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="OUT", help="The file, or the folder for the format torch.")
    ],
    written: Annotated[
        Written | None,
        typer.Option(
            "--format",
            help="torch: a folder that Python can import; source: one Python file; both with safetensors weights. "
            "onnx, torchexport: one file. By default by the ending of OUT: .py, .onnx, .pt2; without one torch.",
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of a spec: its weights, as .safetensors.")
    ] = None,
    with_preprocessing: Annotated[
        bool,
        typer.Option(
            "--with-preprocessing",
            help="Of a run: read raw samples, of a table each column by its name, and give classes and probabilities, "
            "or values in their unit. Source gets a file more for it.",
        ),
    ] = False,
    any_length: Annotated[
        bool,
        typer.Option(
            "--any-length",
            help="Of onnx and torchexport: read shorter sequences too, as a language model does.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a network as plain PyTorch, ONNX or a torch.export program, and compare what it computes."""
    from gromo_graph.interop.exporting import export as write

    chosen = _chosen(target, weights)
    if chosen.reads and not with_preprocessing:
        say(f"note: {chosen.reads}")
    done = write(
        chosen.network,
        out,
        format=None if written is None else written.value,
        force=force,
        preparation=chosen.preparation,
        with_preprocessing=with_preprocessing,
        threshold=chosen.threshold,
        any_length=any_length,
    )
    if as_json:
        told = {
            "format": done.format,
            "files": [str(path) for path in done.files],
            "parameters": chosen.network.graph.parameter_count,
            "difference": done.difference,
            "runtime": done.runtime,
        }
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    say(f"written: {', '.join(map(str, done.files))}")
    say(_compared(done))


def _compared(done: Exported) -> str:
    if done.difference is None:
        return f"not compared with the network: {done.runtime}"
    return f"outputs differ from the network's by {done.difference:.2g} at most ({done.runtime})"


@dataclass(frozen=True)
class Chosen:
    """A network to export.

    Attributes:
        network: with its weights. preparation: of its data, if it is that of a run.
        threshold: the probability of the second of two classes above which it is predicted.
        reads: words about its inputs, if they are not those of the data.
    """

    network: GrowingNetwork
    preparation: Preparation | None = None
    threshold: float = 0.5
    reads: str = ""


def _chosen(target: str, weights: Path | None) -> Chosen:
    """The network of a run with the weights at its end and its preparation, or of a spec with those of a file."""
    from gromo_graph.errors import RunError
    from gromo_graph.records.journal import no_weights
    from gromo_graph.run import load_run
    from gromo_graph.spec.token_inputs import vocabularies

    path = Path(target)
    if reason := no_weights(target):
        raise RunError(f"{target}: {reason}")
    if path.is_dir():
        if weights is not None:
            raise typer.BadParameter("a run has weights of its own: leave it out", param_hint="'--weights'")
        loaded = load_run(path)
        tokens = bool(vocabularies(loaded.spec.nodes))
        reads = "" if tokens else _reads(loaded.preparation, path / "data.json")
        return Chosen(loaded.network, loaded.preparation, loaded.threshold, reads)

    from gromo_graph.network import compile_network
    from gromo_graph.run.folder.weights_file import load_weights
    from gromo_graph.spec import load_spec

    network = compile_network(load_spec(path), seed=0)
    if weights is None:
        say("note: no --weights: these are first weights, of seed 0")
    else:
        load_weights(weights, network, of=f"`{network.spec.name}`")
    return Chosen(network)


def _reads(preparation: Preparation, file: Path) -> str:
    """Words about the inputs of the network of a run."""
    kept = f"in {file}, and as `preparation` in the metadata of what is written"
    if preparation.table is None:
        return f"the network reads standardised samples; mean and scale are {kept}"
    return (
        f"the network reads {len(preparation.features)} standardised numbers that are made of the columns, as told "
        f"{kept}{'' if preparation.several else '; with --with-preprocessing it reads the columns'}"
    )
