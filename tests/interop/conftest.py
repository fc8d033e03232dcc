"""Set-up for the tests of other trainers."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture
def quiet_lightning() -> None:
    """Only Lightning's errors are logged."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
