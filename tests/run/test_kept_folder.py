"""A run folder while others read it, want to write to it, or have put something else into it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import pytest

from gromo_graph import RenderError, RunError, grow, load_run, parse_spec, resume
from gromo_graph.cli import app
from gromo_graph.records.atomic_files import write_atomically
from gromo_graph.run import entry_points, kept_run
from gromo_graph.run.folder import completion, own_files
from gromo_graph.run.folder.run_folder import RunFolder
from gromo_graph.run.folder.weights_file import load_weights
from tests.run.specs import IRIS
from tests.run.test_resume import broken_off, mlp, same_runs

TEXT = mlp()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "run"
    grow(parse_spec(TEXT), out=path, seed=5, device="cpu")
    return path


@pytest.fixture(scope="module")
def broken_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("broken") / "run"
    broken_off(TEXT, path, 4)
    return path


@pytest.fixture
def broken(broken_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(broken_once, tmp_path / "run"))


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", [".lock", "checkpoints", "steps", "journal.jsonl", "spec.yaml", "mine"])
def test_resume_refuses_links(broken: Path, tmp_path: Path, name: str) -> None:
    """Through a link it would empty, cut or replace files that are not its own."""
    theirs = tmp_path / "theirs"
    if (broken / name).exists():
        (broken / name).rename(theirs)
    else:
        theirs.write_text("precious")
    (broken / name).symlink_to(theirs)
    before = content(theirs) if theirs.is_dir() else theirs.read_bytes()
    with pytest.raises(RunError, match=f"{name}: this is a link, and a run writes files of its own only"):
        resume(broken)
    assert (content(theirs) if theirs.is_dir() else theirs.read_bytes()) == before


def test_a_link_inside_a_folder_of_the_run_is_refused(broken: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("precious")
    (broken / "steps" / "004.svg").unlink(missing_ok=True)
    (broken / "steps" / "004.svg").symlink_to(tmp_path / "theirs")
    for again in (lambda: resume(broken), lambda: grow(parse_spec(TEXT), out=broken, force=True)):
        with pytest.raises(RunError, match=r"004\.svg: this is a link"):
            again()
    assert (tmp_path / "theirs").read_text() == "precious"


def test_a_lock_file_with_another_name_is_not_emptied(broken: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("precious")
    os.link(tmp_path / "theirs", broken / ".lock")
    with pytest.raises(RunError, match=r"\.lock: this is no file of the run's own"):
        resume(broken)
    assert (tmp_path / "theirs").read_text() == "precious"


@pytest.mark.parametrize("name", ["journal.jsonl", "spec.yaml", "command.json", "weights.safetensors", "x"])
def test_pipes_are_refused_and_keep_nobody_waiting(broken: Path, name: str) -> None:
    (broken / name).unlink(missing_ok=True)
    os.mkfifo(broken / name)
    with pytest.raises(RunError, match=f"{name}: this is (a pipe, a socket or a device|no file)"):
        resume(broken)
    with pytest.raises(RunError, match=f"{name}: this is a pipe, a socket or a device"):
        grow(parse_spec(TEXT), out=broken, force=True)
    if name in ("journal.jsonl", "spec.yaml", "weights.safetensors"):
        with pytest.raises(RunError, match=f"{name}: this is no file|this is no run"):
            load_run(broken)


@pytest.mark.parametrize("suffix", ["csv", "npz"])
def test_data_are_no_pipe_or_socket(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(f"pipe.{suffix}")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"socket.{suffix}")
        for name in ("pipe", "socket"):
            with pytest.raises(RunError, match=f"{name}.{suffix}: this is no file, expected one"):
                grow(parse_spec(IRIS), data=f"{name}.{suffix}")


def test_the_lock_is_taken_before_the_data_are_read(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a resume whose data take long does not cut the journal that another one has finished meanwhile."""
    refused = []
    real = kept_run.load_data

    def slow(*arguments: Any, **options: Any) -> Any:
        if not refused:
            refused.append(True)
            with pytest.raises(RunError, match="another process writes this run"):
                resume(broken)
        return real(*arguments, **options)

    monkeypatch.setattr(kept_run, "load_data", slow)
    resume(broken)
    assert refused


def test_a_run_that_another_process_has_finished_meanwhile_is_left_alone(
    broken: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = entry_points.carried_out

    def late(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(entry_points, "carried_out", real)
        resume(broken)
        finished.update(content(broken))
        return real(*arguments, **options)

    finished: dict[str, bytes] = {}
    monkeypatch.setattr(entry_points, "carried_out", late)
    assert resume(broken).summary["reason"] == load_run(whole).summary["reason"]
    assert content(broken) == finished


def test_of_two_runs_in_one_new_folder_the_second_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "run", []
    real = entry_points.data_of

    def slow(*arguments: Any, **options: Any) -> Any:
        if not seen:  # in the middle of the first one, which has made the folder and nothing in it
            before = content(path)
            for force in (False, True):
                with pytest.raises(RunError, match="another process writes this run"):
                    grow(parse_spec(IRIS), out=path, seed=9, force=force)
            seen.append(content(path) == before)
        return real(*arguments, **options)

    monkeypatch.setattr(entry_points, "data_of", slow)
    grow(parse_spec(IRIS), out=path, seed=3)
    assert seen == [True]
    assert load_run(path).summary["steps"] > 0
    assert json.loads((path / "command.json").read_text())["seed"] == 3


def test_a_run_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="unknown data"):
        grow(parse_spec(IRIS), data="irs", out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


_LOCKING = """
import os, sys, time
from pathlib import Path
from gromo_graph.errors import RunError
from gromo_graph.run.folder.lock import RunLock

run, marker = Path(sys.argv[1]), Path(sys.argv[1]).parent / "held"
end, held = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end:
    try:
        lock = RunLock(run)
    except RunError as error:
        assert "another process" in str(error), error
        continue
    os.close(os.open(marker, os.O_CREAT | os.O_EXCL))  # fails if there is another holder
    held += 1
    os.unlink(marker)
    lock.release()
print(held)
"""


@pytest.mark.parametrize("seconds", [1.5, pytest.param(10.0, marks=pytest.mark.slow)])
def test_four_processes_that_lock_and_unlock_never_hold_it_at_once(tmp_path: Path, seconds: float) -> None:
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", _LOCKING, str(tmp_path / "run"), str(seconds)]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    found = [process.communicate(timeout=60) for process in started]
    assert [err for _, err in found] == [""] * 4
    assert all(int(out) > 20 for out, _ in found)


@pytest.mark.parametrize("name", ["summary.json", "report.html", "steps/000.svg", "steps/002.svg"])
def test_what_is_missing_of_a_finished_run_is_made_again(whole: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "run"
    shutil.copytree(whole, path)
    (path / name).unlink()
    resume(path)
    assert {**content(path), "journal.jsonl": b""} == {**content(whole), "journal.jsonl": b""}
    same_runs(path, whole)


def test_the_folder_of_the_drawings_is_made_again(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "steps")
    resume(tmp_path / "run")
    same_runs(tmp_path / "run", whole)


def test_a_first_drawing_that_failed_is_drawn_later(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> str:
        raise RenderError("no Graphviz today")

    with monkeypatch.context() as patched:
        patched.setattr(completion, "render", refused)
        with pytest.warns(UserWarning, match="no drawing: no Graphviz today"):
            broken_off(TEXT, tmp_path / "run", 4)
    assert not (tmp_path / "run" / "steps").exists()
    resume(tmp_path / "run")
    same_runs(tmp_path / "run", whole)


@pytest.mark.parametrize("name", ["report.html", "summary.json"])
def test_a_disk_that_is_full_at_the_end_is_no_harm(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real = RunFolder.write

    def full(self: RunFolder, file: str, data: bytes | str) -> None:
        if file == name:
            raise RunError(f"{file}: cannot be written: No space left on device")
        real(self, file, data)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "write", full)
        with pytest.raises(RunError, match="No space left"):
            grow(parse_spec(TEXT), out=tmp_path / "run", seed=5, device="cpu")
    assert not (tmp_path / "run" / "summary.json").exists()
    resume(tmp_path / "run")
    same_runs(tmp_path / "run", whole)
    assert (tmp_path / "run" / "report.html").read_bytes() == (whole / "report.html").read_bytes()


def test_a_run_can_be_read_between_any_two_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and spec are two files, and between them a step is half written."""
    path, read = tmp_path / "run", []
    real = RunFolder.write

    def watched(self: RunFolder, file: str, data: bytes | str) -> None:
        real(self, file, data)
        run = load_run(path)
        read.append((file, run.network.graph.parameter_count))
        assert run.predict([[5.1, 3.5, 1.4, 0.2]]).shape == (1,)

    monkeypatch.setattr(RunFolder, "write", watched)
    grow(parse_spec(TEXT), out=path, seed=5, device="cpu")
    sizes = [size for file, size in read if file == "weights.safetensors"]
    assert len(set(sizes)) > 3
    assert sizes == [size for file, size in read if file == "spec.yaml"]


def test_weights_that_are_replaced_while_they_are_read(
    broken: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step of the run that is read is over between a look at its spec and one at its weights."""
    from gromo_graph.run.folder import load_run as reading

    names, real = ["journal.jsonl", "weights.safetensors", "spec.yaml"], reading.load_weights

    def late(path: Path, network: Any) -> None:
        while names:
            shutil.copy(whole / names[0], broken / names.pop(0))
        real(path, network)

    monkeypatch.setattr(reading, "load_weights", late)
    assert load_run(broken).spec == load_run(whole).spec


def test_what_a_killed_process_left_beside_a_file_is_taken_away(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    left, other = tmp_path / ".my.yaml-0123abcd", tmp_path / ".other.yaml-0123abcd"
    held = tmp_path / ".my.yaml-00000000"
    for each in (left, other, held):
        each.write_text("half")
    import fcntl

    with held.open("rb") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)  # as a process does that still writes it
        write_atomically(file, "whole")
    assert sorted(each.name for each in tmp_path.iterdir()) == [held.name, other.name, "my.yaml"]


def test_a_header_of_many_tensors_is_refused_before_they_are_loaded(tmp_path: Path) -> None:
    names = {
        f"t{n}": {"dtype": "F32", "shape": [1], "data_offsets": [4 * n, 4 * n + 4]} for n in range(60_000)
    }
    header = json.dumps(names).encode()
    file = tmp_path / "weights.safetensors"
    with file.open("wb") as written:
        written.write(struct.pack("<Q", len(header)) + header)
        written.truncate(8 + len(header) + 4 * len(names))
    import torch

    loaded = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("gromo_graph.run.folder.weights_file.unsealed", loaded.append)
        with pytest.raises(RunError, match="these are the weights of another network"):
            load_weights(file, torch.nn.Linear(2, 3))
    assert loaded == []


def as_nobody(folder: Path, words: list[str]) -> str:
    """The error of a command that another user runs in the folder, by a copy of this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 2)
        os.close(reading)
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - until the process ends
        os.chdir(folder)
        os.setuid(65534)
        code = 99
        try:
            app(words)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 98
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as told:
        said = told.read()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1, said
    assert "Traceback" not in said
    return said.splitlines()[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_folder_without_permission_is_told_with_advice_that_helps(
    broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Path(tempfile.gettempdir())
    for folder in (tmp_path, *tmp_path.parents):
        if folder != shared and folder.is_relative_to(shared):  # the folders of pytest, which are its own
            folder.chmod(0o755)
    (tmp_path / "spec.yaml").write_text(TEXT)

    def said(*words: str) -> str:
        # As root first, so that all modules are there: the other user may not be able to read them.
        twin = shutil.copytree(tmp_path, tmp_path.parent / f"twin {words[0]}")
        with monkeypatch.context() as there, contextlib.suppress(SystemExit):
            there.chdir(twin)
            app(list(words))
        return as_nobody(tmp_path, list(words))

    assert "no permission to write here: have the permission of the folder changed, or resume a copy" in said(
        "resume", "run", "-q"
    )
    assert "no permission to write here: choose another place with --out" in said(
        "grow", "spec.yaml", "--out", "new", "-q"
    )
    assert "no permission to write here: have the permission of the file" in said(
        "edit", "spec.yaml", "set", "a", "features=5"
    )
    for file in broken.iterdir():
        if file.is_file():
            file.chmod(0o600)
    assert "Permission denied" in said("evaluate", "run")


def test_a_link_put_there_between_the_check_and_the_removal_is_not_followed(
    broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "000.svg").write_text("precious")
    real = own_files.check_entries

    def checked_then_swapped(path: Path) -> None:
        real(path)
        (path / "steps").rename(tmp_path / "moved")
        (path / "steps").symlink_to(theirs)

    monkeypatch.setattr(own_files, "check_entries", checked_then_swapped)
    with pytest.raises(OSError, match="steps"):
        own_files.remove_run(broken)
    assert (theirs / "000.svg").read_text() == "precious"
