"""The script for another machine, benchmarks/accelerator.py, where there is no accelerator."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


def run(*options: str) -> str:
    command = [sys.executable, "-P", "benchmarks/accelerator.py", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is an accelerator")
def test_without_an_accelerator_it_says_so() -> None:
    assert "no accelerator" in run()


@pytest.mark.slow
def test_its_small_version_checks_the_numerics_and_grows_a_resnet() -> None:
    told = run("--small")
    assert "slopes" in told
    assert "with statistics" in told
    assert told.count("grew ") == 2
