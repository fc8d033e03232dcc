"""Weights on the disk: the state of a network as safetensors, never a pickle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from gromo_graph.errors import RunError
from gromo_graph.run.folder.sealed_tensors import sealed, shapes_of, unsealed, words_of

_SPEC = "spec"


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


def load_weights(path: Path, network: torch.nn.Module) -> None:
    """Put the weights of a file into a network of the same sizes.

    Names and shapes are compared before any tensor is loaded.

    Raises:
        RunError: the file is missing or damaged, or holds the weights of another network.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    with reading(path):
        found = shapes_of(path)
        if expected != found:
            name = min(set(expected.items()) ^ set(found.items()))[0]
            raise RunError(
                f"{path}: these are the weights of another network than that of spec.yaml: `{name}` is "
                f"{found.get(name, 'missing')} here, and {expected.get(name, 'unknown')} there"
            )
        state, _ = unsealed(path)
        network.load_state_dict(state)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Errors of a file of weights become a RunError that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise RunError(f"{path}: the weights are missing") from error
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise RunError(f"{path}: the weights cannot be read: {error}") from error
