"""The run folder: which files it has, making one, and never harming another."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gromo_graph.errors import RunError
from gromo_graph.records import checksum
from gromo_graph.records.atomic_files import sync_folder, write_atomically, writing

SPEC = "spec.yaml"
JOURNAL = "journal.jsonl"
COMMAND = "command.json"
DATA = "data.json"
WEIGHTS = "weights.safetensors"
SUMMARY = "summary.json"
REPORT = "report.html"
INSPECTION = "inspect.html"  # written when it is asked for
STEPS = "steps"
CHECKPOINTS = "checkpoints"
LOCK = ".lock"

_FILES = (JOURNAL, SUMMARY, REPORT, INSPECTION, SPEC, COMMAND, DATA, WEIGHTS)
_STAGE = ".new-"  # beginnings of a run; the rest of one that was killed is no content
_SUM = "checksum"
_LONGEST_NAME = 60


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    def file(self, name: str) -> Path:
        """Where one of its files is."""
        return self.path / name

    def drawing(self, step: int) -> Path:
        """Where the drawing after a growth step is; 0 is before any growth."""
        return self.path / STEPS / f"{step:03d}.svg"

    def write(self, name: str, content: bytes | str) -> None:
        """Replace one file, all of it or nothing.

        Raises:
            RunError: it cannot be written.
        """
        write_atomically(self.file(name), content)

    def read_json(self, name: str) -> dict[str, Any]:
        """One of its JSON files.

        Raises:
            RunError: it is missing or damaged.
        """
        path = self.file(name)
        try:
            values = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise RunError(f"{self.path}: this is no whole run: it holds no {name}") from error
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:
            raise RunError(f"{path}: this file is damaged: {error}") from error
        if not isinstance(values, dict):
            raise RunError(f"{path}: this file is damaged: expected a JSON object")
        if values.pop(_SUM, None) not in (None, checksum(values)):
            raise RunError(f"{path}: this file is damaged: its content is not what was written")
        return values


def as_json(values: Mapping[str, Any]) -> str:
    """Readable JSON text with the checksum of its content, which `read_json` looks at."""
    values = {**values, _SUM: checksum(values)}
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def holds_run(path: Path) -> bool:
    """Is there a run in this folder?"""
    return (path / JOURNAL).is_file() or ((path / SPEC).is_file() and (path / COMMAND).is_file())


def check_free(path: Path, *, force: bool = False) -> None:
    """May a run begin here? Nothing is changed.

    Raises:
        RunError: there is a file, another run (unless `force`), or a folder with anything else in it.
    """
    with writing(path):
        if not path.exists() and not path.is_symlink():
            return
        if not path.is_dir():
            raise RunError(f"{path}: this is a file, expected a folder for the run")
        content = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith((_STAGE, LOCK)))
    if not content:
        return
    if not holds_run(path):
        raise RunError(
            f"{path}: the folder holds other files ({', '.join(content[:3])}): choose an empty or a new one"
        )
    if not force:
        what, way = "another run", ""
        if not (path / SUMMARY).is_file():
            what, way = "a run that is not finished", f"go on with it (gromo-graph resume {path}), "
        raise RunError(
            f"{path}: the folder holds {what}: {way}choose another --out, or replace that run with --force"
        )


def create_folder(path: Path, files: Mapping[str, bytes | str], *, force: bool = False) -> RunFolder:
    """Make the folder with its first files. An older run is taken away only when all of them are on the disk.

    Args:
        path: of the folder; its parents are made too.
        files: content by relative name.
        force: may a run that is there be replaced?

    Raises:
        RunError: as `check_free`, or there is no permission or no space; the folder is then as it was.
    """
    check_free(path, force=force)
    made = not path.exists()
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        stage: Path | None = None
        try:
            stage = Path(tempfile.mkdtemp(prefix=_STAGE, dir=path))
            for name, content in files.items():
                (stage / name).parent.mkdir(exist_ok=True)
                write_atomically(stage / name, content)
            _remove_run(path)
            for name in files:
                (path / name).parent.mkdir(exist_ok=True)
                (stage / name).replace(path / name)
            sync_folder(path)
        finally:
            if stage is not None:
                shutil.rmtree(stage, ignore_errors=True)
            if made:
                with suppress(OSError):
                    path.rmdir()  # of a folder that stayed empty
    return RunFolder(path)


def open_folder(path: Path) -> RunFolder:
    """The folder of a run that is there.

    Raises:
        RunError: there is none.
    """
    if not path.exists():
        raise RunError(f"{path}: there is no such folder: expected the folder of a run")
    if not path.is_dir():
        raise RunError(f"{path}: this is a file, expected the folder of a run")
    if not holds_run(path):
        raise RunError(f"{path}: this is no run: it holds no {JOURNAL}")
    return RunFolder(path)


def free_path(name: str, *, below: Path = Path("runs")) -> Path:
    """`below/<name>-<n>` with the first n that is free; the name of a spec is untrusted and is made harmless.

    >>> free_path("../../etc: x", below=Path("no such folder")).name
    'etc-x-1'
    """
    harmless = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:_LONGEST_NAME].strip("-.")
    number = 1
    while (path := below / f"{harmless or 'run'}-{number}").exists() or path.is_symlink():
        number += 1
    return path


def _remove_run(path: Path) -> None:
    """Take away what a run wrote and nothing else; links are taken away, never followed."""
    for name in _FILES:
        (path / name).unlink(missing_ok=True)
    for name, pattern in ((STEPS, "[0-9]*.svg"), (CHECKPOINTS, "[0-9]*.safetensors")):
        folder = path / name
        if folder.is_symlink():
            folder.unlink()
        elif folder.is_dir():
            for file in folder.glob(pattern):
                file.unlink()
            with suppress(OSError):
                folder.rmdir()
