"""The files of a run in its folder: their names, refusing those that are not its own, taking them away."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from gromo_graph import operating_system as system
from gromo_graph.errors import RunError
from gromo_graph.records.atomic_files import writing
from gromo_graph.records.journal import JOURNAL

SPEC = "spec.yaml"


COMMAND = "command.json"


DATA = "data.json"


WEIGHTS = "weights.safetensors"


SUMMARY = "summary.json"


REPORT = "report.html"


INSPECTION = "inspect.html"  # written when it is asked for


STEPS = "steps"


CHECKPOINTS = "checkpoints"


LOCK = ".lock"


FILES = (JOURNAL, SUMMARY, REPORT, INSPECTION, SPEC, COMMAND, DATA, WEIGHTS)


FOLDERS = {
    STEPS: re.compile(r"\d+\.svg"),
    CHECKPOINTS: re.compile(r"\d+\.safetensors"),
}
"""The folders of a run, and which files in them are its own."""


def check_entries(path: Path) -> None:
    """Refuse a folder with entries that a run does not make: through a link it would write elsewhere.

    Raises:
        RunError: the folder of a run, or its `steps` or `checkpoints`, holds a link, a pipe, a socket or a device; or
            a folder under the name of a file, or the other way round.
    """
    with writing(path):
        for entry in _entries(path) if path.is_dir() else ():
            own_folder = entry.name in FOLDERS
            check_kind(entry, folder=True if own_folder else False if entry.name in (*FILES, LOCK) else None)
            if own_folder:
                for inner in _entries(entry.path):
                    check_kind(inner, folder=None)


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return list(found)


def check_kind(entry: os.DirEntry[str], *, folder: bool | None) -> None:
    """Refuse an entry of a run folder that is no plain file or folder.

    Args:
        entry: as scandir gives it.
        folder: what it should be: True a folder, False a file, None either.

    Raises:
        RunError: it is something else.
    """
    if entry.is_symlink():
        raise RunError(
            f"{entry.path}: this is a link, and a run writes files of its own only: take it away, or put a copy in its "
            "place"
        )
    is_folder, is_file = entry.is_dir(follow_symlinks=False), entry.is_file(follow_symlinks=False)
    found = "a folder" if is_folder else "a file" if is_file else "a pipe, a socket or a device"
    if not (is_folder or is_file) or (folder is not None and is_folder != folder):
        raise RunError(f"{entry.path}: this is {found}, expected a {'folder' if folder else 'file'}")


def remove_run(path: Path) -> None:
    """Take away what a run wrote and nothing else; links are never followed."""
    check_entries(path)
    if not system.REMOVES_IN_OPEN_FOLDERS:
        _remove_by_paths(path)
        return
    here = os.open(path, os.O_RDONLY)
    try:
        _remove(here, FILES)
        for name, pattern in FOLDERS.items():
            _remove_inside(here, name, pattern)
    finally:
        os.close(here)


def _remove_by_paths(path: Path) -> None:
    """Take away what a run wrote, of a folder whose entries have been checked."""
    for name in FILES:
        (path / name).unlink(missing_ok=True)
    for name, pattern in FOLDERS.items():
        with suppress(OSError):  # missing, or not empty afterwards
            for inner in (path / name).iterdir():
                if pattern.fullmatch(inner.name):
                    inner.unlink()
            (path / name).rmdir()


def _remove_inside(folder: int, name: str, pattern: re.Pattern[str]) -> None:
    """Take away files of a folder inside an open one, and the folder itself if it is empty then."""
    with suppress(FileNotFoundError):
        inner = os.open(name, os.O_RDONLY | system.NO_LINK_TO_FOLDER, dir_fd=folder)
        try:
            _remove(inner, [each for each in os.listdir(inner) if pattern.fullmatch(each)])  # noqa: PTH208 - of an open folder
        finally:
            os.close(inner)
        with suppress(OSError):
            os.rmdir(name, dir_fd=folder)


def _remove(folder: int, names: Iterable[str]) -> None:
    """Take away files of an open folder: it stays the one that was checked, whatever its path leads to now."""
    for name in names:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
