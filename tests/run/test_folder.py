"""Run folders: nothing is overwritten, nothing is half there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gromo_graph.errors import RunError
from gromo_graph.records.atomic_files import write_atomically
from gromo_graph.run.folder.lock import locked_new
from gromo_graph.run.folder.run_folder import check_free, create_folder, free_path, open_folder

_FIRST = {"spec.yaml": "one", "command.json": "{}", "steps/000.svg": "<svg/>"}
_SECOND = {"spec.yaml": "two", "command.json": "{}", "steps/000.svg": "<svg>2</svg>"}


def _content(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_made_with_its_parents(tmp_path: Path) -> None:
    folder = create_folder(tmp_path / "a" / "b", _FIRST)
    assert _content(folder.path) == _FIRST
    assert folder.drawing(7).name == "007.svg"


def test_another_run_is_kept_unless_forced(tmp_path: Path) -> None:
    path = create_folder(tmp_path / "run", _FIRST).path
    (path / "steps" / "003.svg").write_text("<svg/>")
    (path / "journal.jsonl").write_text("{}\n")
    (path / "inspect.html").write_text("<html>")
    (path / "notes.txt").write_text("mine")
    before = _content(path)
    with pytest.raises(RunError, match=r"holds (another run|a run that is not finished): .*--force"):
        create_folder(path, _SECOND)
    assert _content(path) == before
    create_folder(path, _SECOND, force=True)
    assert _content(path) == {**_SECOND, "notes.txt": "mine"}


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_of_other_files_is_never_touched(tmp_path: Path, force: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(RunError, match=r"holds other files \(thesis.tex\)"):
        create_folder(tmp_path, _FIRST, force=force)
    assert _content(tmp_path) == {"thesis.tex": "years"}


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="this is a file"):
        check_free(tmp_path / "run", force=True)


@pytest.mark.parametrize("name", [".lock", "checkpoints", "steps", "journal.jsonl", "report.html", "mine"])
def test_links_are_refused_and_not_followed(tmp_path: Path, name: str) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "000.svg").write_text("precious")
    (theirs / "000001.safetensors").write_text("precious")
    path = create_folder(tmp_path / "run", {"spec.yaml": "", "command.json": ""}).path
    is_folder = name in ("checkpoints", "steps")
    (path / name).symlink_to(theirs if is_folder else theirs / "000.svg")
    before = sorted(each.name for each in path.iterdir())
    with pytest.raises(RunError, match=f"{name}: this is a link, and a run writes files of its own only"):
        create_folder(path, _SECOND, force=True)
    assert sorted(each.name for each in path.iterdir()) == before
    assert {each.read_text() for each in theirs.iterdir()} == {"precious"}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_no_space_and_no_permission_leave_the_old_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path = create_folder(tmp_path / "run", _FIRST).path

    def fails(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("gromo_graph.records.atomic_files.os.fsync", fails)
    with pytest.raises(RunError, match=r"No space left|no permission"):
        create_folder(path, _SECOND, force=True)
    with pytest.raises(RunError, match=r"No space left|no permission"):
        create_folder(tmp_path / "new", _FIRST)
    assert _content(path) == _FIRST
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_real_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="no permission"):
        create_folder(tmp_path / "run", _FIRST)


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        create_folder(tmp_path / "file" / "run", _FIRST)


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "spec.yaml"
    write_atomically(target, "old")

    def killed(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gromo_graph.records.atomic_files.os.fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, "new")
    assert _content(tmp_path) == {"spec.yaml": "old"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("digits_mlp", "digits_mlp-1"),
        ("../../etc/passwd", "etc-passwd-1"),
        ("..", "run-1"),
        (".hidden", "hidden-1"),
        ("a\x00b\n", "a-b-1"),
        ("größe", "größe-1"),
        ("x" * 300, "x" * 60 + "-1"),
        ("-rf", "rf-1"),
    ],
)
def test_the_name_of_a_spec_cannot_leave_the_folder(tmp_path: Path, name: str, expected: str) -> None:
    path = free_path(name, below=tmp_path)
    assert path.parent == tmp_path
    assert path.name == expected


def test_the_first_free_number(tmp_path: Path) -> None:
    (tmp_path / "a-1").mkdir()
    (tmp_path / "a-2").symlink_to(tmp_path / "gone")
    assert free_path("a", below=tmp_path).name == "a-3"


def test_opening(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such folder"):
        open_folder(tmp_path / "none")
    for rest in ([".lock"], [".lock", ".new-x1"], [".new-x1", "spec.yaml"]):
        unborn = tmp_path / f"run{len(rest)}{rest[0]}"
        unborn.mkdir()
        for name in rest:
            (unborn / name).mkdir() if name.startswith(".new") else (unborn / name).write_text("")
        with pytest.raises(
            RunError, match="this run was ended before it began: start it again with gromo-graph grow"
        ):
            open_folder(unborn)
        check_free(unborn)
    with pytest.raises(RunError, match="this is no run"):
        open_folder(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="this is a file"):
        open_folder(tmp_path / "file")
    (tmp_path / "journal.jsonl").write_text("")
    folder = open_folder(tmp_path)
    for text, message in (("[]", "expected a JSON object"), ("{", "damaged"), ("[" * 100_000, "damaged")):
        (tmp_path / "data.json").write_text(text)
        with pytest.raises(RunError, match=message):
            folder.read_json("data.json")


def test_a_folder_that_was_half_made_when_the_process_was_killed_is_free(tmp_path: Path) -> None:
    (tmp_path / ".new-abcd").mkdir()
    (tmp_path / "command.json").write_text("{}")
    (tmp_path / "weights.safetensors").write_text("")
    check_free(tmp_path)
    with locked_new(tmp_path, force=False):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
        create_folder(tmp_path, _FIRST)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / ".new-abcd").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    with pytest.raises(RunError, match=r"holds other files \(thesis.tex\)"):
        check_free(tmp_path / "mine", force=True)
