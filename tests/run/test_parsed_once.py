"""A document is read once; inside a process a spec travels as a Spec."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gromo_graph import branch, grow, parse_spec, replay, resume
from gromo_graph.cli import app
from gromo_graph.spec.text import parse_yaml
from tests.run.specs import IRIS
from tests.run.test_resume import broken_off, mlp

Texts = list[str]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Texts:
    """Every text that the parser is given from now on."""
    found: Texts = []
    real: Callable[..., Any] = parse_yaml.parse_document

    def counted(text: str, file: str) -> Any:
        found.append(text)
        return real(text, file)

    for module in list(sys.modules.values()):
        if getattr(module, "parse_document", None) is real:
            monkeypatch.setattr(module, "parse_document", counted)
    return found


def test_a_run_from_the_shell_reads_its_file_and_nothing_else(tmp_path: Path, read: Texts) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(IRIS)
    words = ["grow", str(spec), "--out", str(tmp_path / "run"), "--quiet"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert read == [IRIS]
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_run_of_a_spec_reads_nothing(tmp_path: Path, read: Texts) -> None:
    spec = parse_spec(IRIS)
    read.clear()
    assert grow(spec, out=tmp_path / "run").summary["steps"] > 0
    assert read == []


def test_a_run_that_is_taken_up_reads_each_text_of_its_journal_at_most_once(
    tmp_path: Path, read: Texts
) -> None:
    broken_off(mlp(), tmp_path / "run", 5)
    read.clear()
    resume(tmp_path / "run")
    specs = [text for text in read if text.startswith("version:")]
    assert specs == read
    assert len(set(specs)) == len(specs)
    for number, again in enumerate(
        (
            lambda out: replay(tmp_path / "run", to=1, out=out),
            lambda out: branch(tmp_path / "run", at=1, overrides=["train.epochs=9"], out=out),
        )
    ):
        read.clear()
        again(tmp_path / str(number))
        assert len([text for text in read if text.startswith("version:")]) == 1
