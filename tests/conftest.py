"""Tests run side by side on few cores: one thread for each, or they wait for each other.

Random examples are the same in every run, so that a change is what makes a test fail. New ones are looked for by
`HYPOTHESIS_PROFILE=explore make slow`.
"""

from __future__ import annotations

import os
import signal

import pytest
import torch
from hypothesis import settings

# No deadline: machines differ, and no test asserts a time.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

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
    """Coverage counts examples: with every random one counted too the tests would take twice as long."""
    if config.getoption("cov_source", default=None):
        for item in items:
            if getattr(getattr(item, "function", None), "is_hypothesis_test", False):
                item.add_marker(pytest.mark.no_cover)
