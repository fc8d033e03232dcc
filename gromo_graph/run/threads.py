"""The number of threads that a small network is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Multiply-adds of one batch below which one thread is faster than several: waiting for each other costs more than
# the work itself (digits, 2 busy cores: 8 s against 138 s), and sums do not depend on the number of cores.
_WORTH_SHARING = 10_000_000


@contextmanager
def kept_threads() -> Iterator[None]:
    """Give the caller's number of threads back afterwards."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_threads(batch_madds: int, available: int) -> None:
    """Set torch's threads for batches of this many multiply-adds."""
    wanted = 1 if batch_madds < _WORTH_SHARING else available
    if wanted != torch.get_num_threads():
        torch.set_num_threads(wanted)
