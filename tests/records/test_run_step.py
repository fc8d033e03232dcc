"""Addresses of a growth step, `RUN@3`, where a run can be taken at a step and where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from gromo_graph.records.run_step import no_weights, run_step
from tests.cli.test_verbs import call, failed
from tests.render.samples import write_journal


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    write_journal(folder / "journal.jsonl")
    return folder


@pytest.mark.parametrize("address", ["run", "run@", "run@x", "run@-1", "nothing@3", "run@1.5"])
def test_what_is_no_step_of_a_run(run: Path, address: str) -> None:
    assert run_step(run.parent / address) is None
    assert no_weights(run.parent / address) is None


def test_a_file_of_that_name_is_meant(run: Path) -> None:
    assert run_step(f"{run}@1") == (run, "1")
    (run.parent / "run@1").write_text("nodes: {}")
    assert run_step(f"{run}@1") is None


@pytest.mark.parametrize(
    ("verb", "code"),
    [
        (("plan",), 2),
        (("grow",), 2),
        (("validate",), 2),
        (("evaluate",), 1),
        (("export", "-o", "model.py"), 1),
        (("pick", "--within", "1%"), 1),
        (("history",), 1),
    ],
)
def test_verbs_that_need_weights_say_how_to_get_them(run: Path, verb: tuple[str, ...], code: int) -> None:
    said = failed(call(verb[0], f"{run}@1", *verb[1:]), code)
    assert f"`gromo-graph replay {run} --to 1 -o DIR`" in " ".join(said.split())
