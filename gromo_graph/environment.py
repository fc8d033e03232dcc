"""The number and rank of processes, as torchrun and other launchers set them in the environment. No torch."""

from __future__ import annotations

import os

VERSION = "0.1.0"
"""The version of this release."""


def process_count() -> int:
    """The number of processes that the launcher has started; 1 without one."""
    return _number("WORLD_SIZE", 1)


def process_rank() -> int:
    """The rank of this process, from 0."""
    return _number("RANK", 0) if process_count() > 1 else 0


def local_rank() -> int:
    """The rank of this process on its machine, from 0."""
    return _number("LOCAL_RANK", 0) if process_count() > 1 else 0


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else otherwise
