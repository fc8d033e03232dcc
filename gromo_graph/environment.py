"""Which process of several this one is, as torchrun and other launchers say in the environment. Nothing of torch."""

from __future__ import annotations

import os

VERSION = "0.1.0"
"""Of this release."""


def process_count() -> int:
    """How many processes the launcher has started; 1 without one."""
    return _number("WORLD_SIZE", 1)


def process_rank() -> int:
    """Which one this is, from 0."""
    return _number("RANK", 0) if process_count() > 1 else 0


def local_rank() -> int:
    """Which one of this machine it is, from 0."""
    return _number("LOCAL_RANK", 0) if process_count() > 1 else 0


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else otherwise
