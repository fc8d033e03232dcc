"""`gromo-graph import`: a model of PyTorch as a spec and its weights."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gromo_graph.amounts import amount
from gromo_graph.cli.messages import reported, say
from gromo_graph.cli.options import AsJson

if TYPE_CHECKING:
    from torch import Tensor, nn

_INPUT = re.compile(r"(?:(?P<name>[^\W\d]\w*)=)?(?P<shape>[0-9]+(,[0-9]+)*)(?::(?P<tokens>[0-9]+))?")


@dataclass(frozen=True)
class _Example:
    """The shape of an example input; tokens: the number of ids of an input of token ids."""

    name: str | None
    shape: tuple[int, ...]
    tokens: int | None


@reported
def import_(
    model: Annotated[
        str, typer.Argument(metavar="module:factory", help="Your own function or class that gives the model.")
    ],
    inputs: Annotated[
        list[str],
        typer.Option(
            "--input",
            metavar="[NAME=]SHAPE[:TOKENS]",
            help="The shape of an example input, the batch first: 1,3,32,32; of token ids also how many tokens there "
            "are: 1,64:1000. Once for each input of the model.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The YAML file to write.")],
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where to write the weights, as .safetensors; else they are not kept."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the network; by default the class of the model.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the files if they are there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read a model of PyTorch as a spec that can be drawn, edited and grown. It runs the code that you name."""
    from gromo_graph.errors import RunError

    examples = [_read(text) for text in inputs]
    for path in filter(None, (out, weights)):
        if path.exists() and not force:
            raise RunError(
                f"{path}: this file already exists: choose another one, or replace it with --force"
            )

    import torch

    from gromo_graph.interop import from_torch
    from gromo_graph.records.atomic_files import write_atomically
    from gromo_graph.run.data.python_objects import call
    from gromo_graph.run.folder.weights_file import weights_bytes
    from gromo_graph.spec import dump_spec

    made = call(model)
    if not isinstance(made, torch.nn.Module):
        raise RunError(f"{model}: it gave a {type(made).__name__}: expected a torch.nn.Module")
    network = from_torch(made, _tensors(made, examples), name=name)
    write_atomically(out, dump_spec(network.spec, defaults=False))
    if weights is not None:
        write_atomically(weights, weights_bytes(network))
    if as_json:
        told = {
            "spec": str(out),
            "weights": None if weights is None else str(weights),
            "nodes": len(network.spec.nodes),
            "parameters": network.graph.parameter_count,
        }
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    say(f"written: {', '.join(map(str, filter(None, (out, weights))))}")
    say(
        f"{amount(len(network.spec.nodes), 'node')}, {amount(network.graph.parameter_count, 'parameter')}, of which "
        f"{network.growing_share:.0%} are in layers that can grow; outputs are the model's"
    )
    if weights is None:
        say("note: the weights are not kept: name a file with --weights to have them")
    else:
        say(f"grow from these weights: gromo-graph grow {out} --data FILE --weights {weights}")
    if not network.spec.growth.stop.is_budget:
        say("note: no budget: set growth.stop.parameters, the size that it may grow to")


def _read(text: str) -> _Example:
    match = _INPUT.fullmatch(text.replace(" ", ""))
    shape = tuple(int(size) for size in match["shape"].split(",")) if match else ()
    tokens = None if match is None or match["tokens"] is None else int(match["tokens"])
    if match is None or len(shape) < 2 or not all(shape) or tokens == 0:
        raise typer.BadParameter(
            f"found {text!r}: expected the sizes of one input, the batch first, such as 1,3,32,32",
            param_hint="'--input'",
        )
    return _Example(match["name"], shape, tokens)


def _tensors(model: nn.Module, examples: list[_Example]) -> list[Tensor] | dict[str, Tensor]:
    """Random inputs in the precision of the model, and token ids."""
    import torch

    like = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    generator = torch.Generator().manual_seed(0)
    tensors = [
        torch.randn(*each.shape, generator=generator).to(like.detach())
        if each.tokens is None
        else torch.randint(each.tokens, each.shape, generator=generator).to(like.device)
        for each in examples
    ]
    names = [each.name for each in examples if each.name is not None]
    if not names:
        return tensors
    if len(names) < len(examples) or len(set(names)) < len(names):
        raise typer.BadParameter("name all inputs differently, or none", param_hint="'--input'")
    return dict(zip(names, tensors, strict=True))
