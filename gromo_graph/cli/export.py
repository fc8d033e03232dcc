"""`gromo-graph export`: a network as files that need no gromo_graph."""

from __future__ import annotations

import json
import os
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
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a network as plain PyTorch, ONNX or a torch.export program, and compare what it computes."""
    from gromo_graph.interop.exporting import export as write

    network, preparation = _network(target, weights)
    done = write(
        network,
        out,
        format=None if written is None else written.value,
        force=force,
        preparation=preparation,
    )
    if as_json:
        told = {
            "format": done.format,
            "files": [str(path) for path in done.files],
            "parameters": network.graph.parameter_count,
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


def _network(target: str, weights: Path | None) -> tuple[GrowingNetwork, Preparation | None]:
    """The network of a run with the weights at its end and its preparation, or of a spec with those of a file."""
    from gromo_graph.errors import RunError
    from gromo_graph.run import load_run
    from gromo_graph.spec.token_inputs import vocabularies

    path = Path(target)
    run, at, step = target.rpartition("@")
    if at and step.isdecimal() and not os.path.lexists(path) and Path(run).is_dir():
        raise RunError(
            f"{target}: a run keeps the weights of its end alone: make those of step {step} again with "
            f"`gromo-graph replay {run} --to {step} -o DIR`, then export DIR"
        )
    if path.is_dir():
        if weights is not None:
            raise typer.BadParameter("a run has weights of its own: leave it out", param_hint="'--weights'")
        loaded = load_run(path)
        if not vocabularies(loaded.spec.nodes):
            say(
                f"note: the network reads standardised samples; mean and scale are in {path / 'data.json'}, and as "
                "`preparation` in the metadata of what is written"
            )
        return loaded.network, loaded.preparation

    from gromo_graph.network import compile_network
    from gromo_graph.run.folder.weights_file import load_weights
    from gromo_graph.spec import load_spec

    network = compile_network(load_spec(path), seed=0)
    if weights is None:
        say("note: no --weights: these are first weights, of seed 0")
    else:
        load_weights(weights, network, of=f"`{network.spec.name}`")
    return network, None
