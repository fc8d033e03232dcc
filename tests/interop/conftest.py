"""Set-up for the tests of other trainers."""

from __future__ import annotations

import contextlib
import functools
import logging

import pytest

with contextlib.suppress(
    ImportError, AttributeError
):  # torch parses the source of 500 functions for each ONNX file
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    ONNXRegistry.from_torchlib = staticmethod(functools.cache(ONNXRegistry.from_torchlib))  # type: ignore


@pytest.fixture
def quiet_lightning() -> None:
    """Only Lightning's errors are logged."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
