"""Errors that say there is too little memory."""

from __future__ import annotations

import torch


class SharedMemoryError(MemoryError):
    """There was too little memory in one of several processes, and all of them know it."""


def out_of_memory(error: BaseException) -> bool:
    """True if an error says that something does not fit into memory, on a GPU or a CPU.

    >>> out_of_memory(MemoryError()), out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "memory" in str(error).lower()
