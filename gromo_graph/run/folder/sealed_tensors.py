"""Safetensors files that know their own content, so that a flipped bit is noticed: never a pickle, no code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from gromo_graph.errors import RunError
from gromo_graph.records.atomic_files import check_regular

_SEAL = "sha256"
_TOGETHER = "words"


def sealed(tensors: Mapping[str, Tensor], words: Mapping[str, str] | None = None) -> bytes:
    """Tensors, and words about them, as the content of a file."""
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    told = dict(words or {})
    seal = {_SEAL: _seal(flat, told)}
    # Safetensors writes several entries in any order, and one seed is to give one file.
    return safetensors.torch.save(flat, {_TOGETHER: json.dumps(told | seal)} if told else seal)


def unsealed(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The content of a file, on the CPU; one that somebody else wrote has no seal to be checked by.

    Raises:
        FileNotFoundError, OSError, safetensors.SafetensorError: it cannot be read.
        RunError: its content is not what was written.
    """
    with _opened(path) as file:
        words = _words(file)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    seal = words.pop(_SEAL, None)
    if seal is not None and seal != _seal(tensors, words):
        raise RunError(f"{path}: this file is damaged: its content is not what was written")
    return tensors, words


def words_of(path: Path) -> dict[str, str]:
    """The words of a file; no tensor is loaded, and the seal is not checked."""
    with _opened(path) as file:
        return _words(file)


def shapes_of(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a file; none is loaded."""
    with _opened(path) as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def _words(file: Any) -> dict[str, str]:
    """The words of an open file, the seal among them."""
    metadata = dict(file.metadata() or {})
    together = metadata.pop(_TOGETHER, None)
    words = metadata if together is None else json.loads(together)
    if not isinstance(words, dict) or not all(isinstance(word, str) for word in words.values()):
        raise ValueError("its words are no texts")
    return words


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    check_regular(path)
    with safe_open(path, framework="pt") as file:
        yield file


def _seal(tensors: Mapping[str, Tensor], words: Mapping[str, str]) -> str:
    digest = sha256(repr(sorted(words.items())).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
