"""Safetensors files that know their own content, so that a flipped bit is noticed: never a pickle, no code."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from gromo_graph.errors import RunError

_SEAL = "sha256"


def sealed(tensors: Mapping[str, Tensor], words: Mapping[str, str] | None = None) -> bytes:
    """Tensors, and words about them, as the content of a file."""
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    told = dict(words or {})
    return safetensors.torch.save(flat, told | {_SEAL: _seal(flat, told)})


def unsealed(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What a file holds, on the CPU; one that somebody else wrote has no seal to be checked by.

    Raises:
        FileNotFoundError, OSError, safetensors.SafetensorError: it cannot be read.
        RunError: its content is not what was written.
    """
    with safe_open(path, framework="pt") as file:
        words = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    seal = words.pop(_SEAL, None)
    if seal is not None and seal != _seal(tensors, words):
        raise RunError(f"{path}: this file is damaged: its content is not what was written")
    return tensors, words


def _seal(tensors: Mapping[str, Tensor], words: Mapping[str, str]) -> str:
    digest = sha256(repr(sorted(words.items())).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
