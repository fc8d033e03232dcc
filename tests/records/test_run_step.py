"""Addresses of a growth step, `RUN@3`, where a run can be taken at a step and where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from gromo_graph.records.journal import no_weights
from gromo_graph.records.run_step import run_step
from tests.cli.test_verbs import call, failed
from tests.render.samples import write_journal


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    write_journal(folder / "journal.jsonl", groups=(("stem", "mix"), (), ("lift",)))
    return folder


@pytest.mark.parametrize("address", ["run", "run@", "run@x", "run@-1", "nothing@3", "run@1.5"])
def test_what_is_no_step_of_a_run(run: Path, address: str) -> None:
    assert run_step(run.parent / address) is None
    assert no_weights(run.parent / address) is None


@pytest.mark.parametrize(("step", "number"), [("0", 0), ("007", 7), ("0" * 5000 + "1", 1)])
def test_zeros_in_front_of_a_step_say_nothing(run: Path, step: str, number: int) -> None:
    found = run_step(f"{run}@{step}")
    assert found is not None
    assert found.number == number


def test_a_file_of_that_name_is_meant(run: Path) -> None:
    assert run_step(f"{run}@1") == (run, "1")
    (run.parent / "run@1").write_text("nodes: {}")
    assert run_step(f"{run}@1") is None


VERBS = [
    (("plan",), 2),
    (("grow",), 2),
    (("validate",), 2),
    (("evaluate",), 1),
    (("export", "-o", "model.py"), 1),
    (("pick", "--within", "1%"), 1),
    (("history",), 1),
]


@pytest.mark.parametrize(("verb", "code"), VERBS)
def test_verbs_that_need_weights_say_how_to_get_them(run: Path, verb: tuple[str, ...], code: int) -> None:
    said = failed(call(verb[0], f"{run}@1", *verb[1:]), code)
    assert f"`gromo-graph replay {run} --to 1 -o DIR`" in " ".join(said.split())


@pytest.mark.parametrize(("verb", "code"), VERBS)
def test_verbs_that_need_weights_say_which_steps_there_are(
    run: Path, verb: tuple[str, ...], code: int
) -> None:
    said = failed(call(verb[0], f"{run}@99", *verb[1:]), code)
    assert "there is no step 99: the run has steps 1 to 2" in " ".join(said.split())
    assert "replay" not in said


@pytest.mark.parametrize("step", ["0", "3", "9" * 5000])
def test_what_cannot_be_made_again_is_not_advised(run: Path, step: str) -> None:
    reason = no_weights(f"{run}@{step}")
    assert reason is not None
    assert "replay" not in reason
    assert reason.endswith("the run has steps 1 to 2")


def test_a_journal_that_cannot_be_read_is_told(run: Path) -> None:
    (run / "journal.jsonl").write_text("{}\n")
    assert "damaged line" in (no_weights(f"{run}@1") or "")
    (run / "journal.jsonl").unlink()
    assert "this is no run" in (no_weights(f"{run}@1") or "")
