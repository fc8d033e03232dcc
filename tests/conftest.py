"""Tests run side by side on few cores: one thread for each, or they wait for each other.

Their files lie in memory where there is enough of it: runs are written with care, and a disk takes its time for that.

Random examples are the same in every run, so that a change is what makes a test fail. New ones are looked for by
`HYPOTHESIS_PROFILE=explore make slow`.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

# No deadline and no word on slow drawing: machines differ, and no test asserts a time.
settings.register_profile("explore", deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("steady", settings.get_profile("explore"), derandomize=True, max_examples=40)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

MEMORY = Path("/dev/shm")
if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 * 2**30:
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

torch.set_num_threads(1)
os.environ.setdefault("MPLBACKEND", "Agg")  # figures are drawn without a screen


@pytest.fixture
def seeded() -> None:
    """For what draws from the global generator."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _hear_ctrl_c() -> None:
    """Processes started in the background ignore Ctrl-C; the tests of it must not."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The slow tests come first, so that none is left for one process alone at the end.

    Coverage counts neither them nor random examples: with those the tests would take twice as long.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    if config.getoption("cov_source", default=None):
        for item in items:
            random = getattr(getattr(item, "function", None), "is_hypothesis_test", False)
            if random or item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.no_cover)
