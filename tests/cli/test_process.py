"""The command as a process of its own: what it imports, how fast it answers, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gromo_graph.records.journal import read_journal
from gromo_graph.run import load_run
from tests.run.specs import IRIS

_COMMAND = [sys.executable, "-m", "gromo_graph"]


def interruptible() -> None:
    """Processes started in the background ignore Ctrl-C: these are to hear it, wherever the tests run."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(IRIS)
    return path


@pytest.mark.parametrize("verb", ["new", "validate", "render", "--help"])
def test_verbs_that_do_not_compute_import_no_torch(spec: Path, verb: str) -> None:
    arguments = {"new": [], "--help": [], "render": [spec, "-o", spec.with_suffix(".svg")]}.get(verb, [spec])
    code = (
        "import sys; from gromo_graph.cli import app\n"
        "try: app()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print([name for name in ('torch', 'sklearn', 'safetensors', 'rich') if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, verb, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    assert result.stderr.splitlines()[-1] == "[]"


def test_ctrl_c_in_the_middle_of_an_import(spec: Path, tmp_path: Path) -> None:
    """An import may make another error of it."""
    (tmp_path / "unlucky.py").write_text(
        "import os, signal, time\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(10)\n"
        "except BaseException:\n"
        "    raise RecursionError from None\n"
    )
    result = subprocess.run(
        [*_COMMAND, "validate", str(spec), "--plugin", "unlucky"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        preexec_fn=interruptible,
    )
    assert (result.returncode, result.stderr) == (130, "error: interrupted\n")


def test_ctrl_c(spec: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(
        [*_COMMAND, "grow", str(spec), "--set", "train.epochs=100000", "--out", str(run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,
    )
    try:
        until = time.monotonic() + 120
        journal = run / "journal.jsonl"
        while time.monotonic() < until and not (journal.is_file() and journal.stat().st_size):
            time.sleep(0.1)
        while time.monotonic() < until and len(read_journal(run).epochs) < 3:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert out == ""
    assert f"interrupted: what was there is saved in {run}" in err
    assert "Traceback" not in err
    assert load_run(run).summary["reason"].startswith("not finished")
    assert not read_journal(run).torn


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["validate", "render"])
def test_watch_looks_again_after_each_save_and_survives_what_is_wrong(
    spec: Path, tmp_path: Path, verb: str
) -> None:
    text = spec.read_text()
    drawn = tmp_path / "drawn.svg"
    out = ["-o", str(drawn)] if verb == "render" else []
    process = subprocess.Popen(
        [*_COMMAND, verb, str(spec), "--watch", *out],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=interruptible,
    )
    assert process.stdout is not None
    seen: list[str] = []

    def until_it_watches() -> str:
        before = len(seen)
        while not seen[before:] or not seen[-1].startswith("watching "):
            line = process.stdout.readline()  # type: ignore[union-attr]
            assert line, seen
            seen.append(line)
        return "".join(seen[before:])

    def saved(content: str) -> None:
        part = spec.with_suffix(".part")
        part.write_text(content)
        part.replace(spec)

    try:
        assert ("sound" if verb == "validate" else "drawn") in until_it_watches()
        saved(text.replace("kind: linear", "kind: liner", 1))
        assert "did you mean `linear`" in until_it_watches()
        spec.unlink()
        assert "there is no such file" in until_it_watches()
        saved(text)
        assert ("sound" if verb == "validate" else "drawn") in until_it_watches()
        process.send_signal(signal.SIGINT)
        out_text, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
    assert process.returncode == 130
    assert "interrupted" in out_text
    assert "Traceback" not in out_text
    assert drawn.exists() == (verb == "render")


@pytest.mark.slow
def test_one_seed_gives_one_journal_in_two_processes(spec: Path, tmp_path: Path) -> None:
    journals = []
    for name in ("a", "b"):
        options = ["--out", str(tmp_path / name), "--seed", "4", "--json"]
        result = subprocess.run(
            [*_COMMAND, "grow", str(spec), *options], capture_output=True, text=True, check=True
        )
        assert json.loads(result.stdout)["run"] == str(tmp_path / name)
        lines = (tmp_path / name / "journal.jsonl").read_text().splitlines()
        journals.append([{k: v for k, v in json.loads(line).items() if k != "time"} for line in lines])
    assert journals[0] == journals[1]
    assert json.dumps(journals[0]) == json.dumps(journals[1])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_on_a_terminal_the_progress_is_live(spec: Path, tmp_path: Path) -> None:
    leader, follower = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    process = subprocess.Popen(
        [*_COMMAND, "grow", str(spec), "--out", str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=follower,
        env=environment,
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    assert process.wait(timeout=60) == 0
    assert process.stdout is not None
    assert b"test" in process.stdout.read()
    process.stdout.close()
    os.close(leader)
    assert b"validation" in shown
    assert b"epoch 4/4" in shown
    assert b"\x1b[" in shown
