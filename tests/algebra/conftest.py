"""Memory that cannot be mistaken for zeros."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def nan_in_new_memory() -> Iterator[None]:
    """New memory holds NaN until it is written to, so nothing that is left out can pass for a zero."""
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(3).isnan().all()
        yield
    finally:
        torch.use_deterministic_algorithms(False)
