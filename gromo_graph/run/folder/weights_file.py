"""Weights on the disk: the state of a network as safetensors, never a pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

import torch
from safetensors import SafetensorError

from gromo_graph.errors import GraphError, RunError
from gromo_graph.network import GrowingNetwork, compile_network
from gromo_graph.network.module_keys import unescaped
from gromo_graph.network.transaction import edit
from gromo_graph.run.data.preparation import Preparation
from gromo_graph.run.folder.command import FirstWeights
from gromo_graph.run.folder.own_files import DATA, SPEC, WEIGHTS
from gromo_graph.run.folder.sealed_tensors import sealed, shapes_of, unsealed, words_of
from gromo_graph.spec import parse_spec
from gromo_graph.spec.kinds.merge import Merge

_SPEC = "spec"
_SHOWN = 6  # tensors that differ


def weights_bytes(network: torch.nn.Module, *, spec: str | None = None) -> bytes:
    """`network.state_dict()` as the content of a .safetensors file.

    Args:
        network: whose weights are kept.
        spec: its YAML text, kept with them: of two files a reader could find one of before a growth step and one of
            after it.
    """
    return sealed(network.state_dict(), {} if spec is None else {_SPEC: spec})


def spec_of_weights(path: Path) -> str | None:
    """The YAML text that was kept with the weights; None if there is none.

    Raises:
        RunError: the file is missing or damaged.
    """
    with reading(path):
        return words_of(path).get(_SPEC)


def first_weights(given: str | os.PathLike[str]) -> FirstWeights:
    """Weights to begin a run from, as its options keep them.

    Args:
        given: a .safetensors file, or a run folder, whose weights are taken.

    Raises:
        RunError: there are none.
    """
    path = Path(given)
    path = (path / WEIGHTS if path.is_dir() else path).resolve()
    data = path.with_name(DATA)
    with reading(path):
        return FirstWeights(
            file=str(path),
            sha256=sha256(path.read_bytes()).hexdigest(),
            preparation=sha256(data.read_bytes()).hexdigest() if data.is_file() else None,
        )


def first_preparation(first: FirstWeights | None) -> Preparation | None:
    """The preparation of the run whose weights a run begins from; None if there is no such run.

    Raises:
        RunError: it is missing, damaged, or another one than at the beginning.
    """
    if first is None or first.preparation is None:
        return None
    path = Path(first.file).with_name(DATA)
    try:
        content = path.read_bytes()
        if sha256(content).hexdigest() == first.preparation:
            return Preparation.from_dict(json.loads(content))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path}: the run began from a run with this file, which cannot be read: {error}"
        ) from error
    raise RunError(f"{path}: the run began from a run with this file, which has been changed since")


def load_first_weights(first: FirstWeights, network: GrowingNetwork) -> tuple[str, ...]:
    """Put the weights that a run begins from into its network before any growth.

    The network may have more outputs than that of the file (`WidenOutputs`): the new ones begin at 0.

    Returns:
        The nodes whose weights are none of the file.

    Raises:
        RunError: the file is missing, damaged, another one than at the beginning, or of another network.
    """
    path = Path(first.file)
    if first_weights(path).sha256 != first.sha256:
        raise RunError(f"{path}: the run began from other weights: this file has been changed since")
    text, outputs = spec_of_weights(path), network.spec.outputs
    narrow = None if text is None else compile_network(parse_spec(text), seed=0)
    if narrow is not None and set(narrow.spec.outputs) == set(outputs):
        load_weights(path, narrow)
        before = set(narrow.parts)
        with suppress(GraphError), edit(narrow) as change:
            for output in outputs:
                for features in _widths(network, output, narrow.graph.features(output)):
                    change.widen_outputs(features, output=output)
        if _shapes(narrow) == _shapes(network) and before != set(narrow.parts):
            network.load_state_dict(narrow.state_dict())
            return tuple(set(narrow.parts) - before - set(change.renamed))
    load_weights(path, network, of=f"`{network.spec.name}`")
    return ()


def _widths(network: GrowingNetwork, output: str, narrow: int) -> list[int]:
    """The widths that an output was widened to, one after the other, from a narrow one on: sums of joined parts."""
    node = network.spec.nodes[output]
    parts = node.sources if isinstance(node, Merge) and node.merge == "concat" else (output,)
    return [width for width in accumulate(map(network.graph.features, parts)) if width > narrow]


def _shapes(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def load_weights(path: Path, network: torch.nn.Module, *, of: str = SPEC) -> None:
    """Put the weights of a file into a network of the same sizes.

    Names and shapes are compared before any tensor is loaded.

    Args:
        path: of the file. network: of a spec. of: what a message calls that spec.

    Raises:
        RunError: the file is missing or damaged, or holds the weights of another network.
    """
    expected = _shapes(network)
    with reading(path):
        found = shapes_of(path)
        if expected != found:
            raise RunError(
                f"{path}: these are the weights of another network than that of {of}: "
                f"{_differences(found, expected)}{_own_spec(path, of)}"
            )
        state, _ = unsealed(path)
        network.load_state_dict(state)


def _differences(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> str:
    names = sorted({name for name, _ in found.items() ^ expected.items()})
    told = [
        f"`{unescaped(name)}` is {found.get(name, 'missing')} here, and {expected.get(name, 'unknown')} there"
        for name in names[:_SHOWN]
    ]
    return "; ".join(told) + (f"; and {len(names) - _SHOWN} more differ" if len(names) > _SHOWN else "")


def _own_spec(path: Path, of: str) -> str:
    """Names the spec of a run's weights, if those of another one were expected, and the way to go on from it."""
    own = path.parent / SPEC
    if of == SPEC or path.name != WEIGHTS or not own.is_file():
        return ""
    return (
        f"; their own spec is {own}: `gromo-graph edit FILE take {path.parent}` brings its sizes into your file, and "
        "`gromo-graph edit FILE widen-outputs N` then gives it more outputs"
    )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Errors of a file of weights become a RunError that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise RunError(f"{path}: the weights are missing") from error
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise RunError(f"{path}: the weights cannot be read: {error}") from error
