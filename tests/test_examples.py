"""Every example runs, and the Python of the README too."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_example(example: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_the_architecture_in_the_readme_is_sound_and_grows() -> None:
    from gromo_graph import grow, parse_spec

    (text,) = blocks("yaml")
    run = grow(parse_spec(text, overrides=["train.epochs=12"]))
    assert run.summary["steps"] >= 1


@pytest.mark.slow
def test_the_python_in_the_readme_runs(tmp_path: Path) -> None:
    code = blocks("python")[0].replace('"specs/', f'"{ROOT}/specs/')
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "grown.svg").is_file()
