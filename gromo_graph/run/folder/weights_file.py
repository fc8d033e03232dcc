"""Weights on the disk: the state of a network as safetensors, never a pickle."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError

from gromo_graph.errors import RunError
from gromo_graph.run.folder.sealed_tensors import sealed, unsealed


def weights_bytes(network: torch.nn.Module) -> bytes:
    """`network.state_dict()` as the content of a .safetensors file."""
    return sealed(network.state_dict())


def load_weights(path: Path, network: torch.nn.Module) -> None:
    """Put the weights of a file into a network of the same sizes.

    Raises:
        RunError: the file is missing or damaged, or holds the weights of another network.
    """
    try:
        state, _ = unsealed(path)
    except FileNotFoundError as error:
        raise RunError(f"{path}: the weights are missing") from error
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise RunError(f"{path}: the weights cannot be read: {error}") from error
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if expected != found:
        names = sorted(set(expected.items()) ^ set(found.items()))
        name = names[0][0]
        raise RunError(
            f"{path}: these are the weights of another network than that of spec.yaml: `{name}` is "
            f"{found.get(name, 'missing')} here, and {expected.get(name, 'unknown')} there"
        )
    network.load_state_dict(state)
