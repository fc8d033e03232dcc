"""The run folder: which files it has, making one, and never harming another."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from gromo_graph import operating_system as system
from gromo_graph.errors import RunError, SpecError
from gromo_graph.records import Journal, checksum, read_journal
from gromo_graph.records.atomic_files import read_file, replace_file, sync_folder, writing
from gromo_graph.records.journal import JOURNAL, check_is_folder
from gromo_graph.records.validation import first_problem
from gromo_graph.run.folder.command import Command
from gromo_graph.run.folder.own_files import (
    COMMAND,
    FILES,
    FOLDERS,
    LOCK,
    SPEC,
    STEPS,
    SUMMARY,
    check_entries,
    remove_run,
)
from gromo_graph.run.folder.summary import Summary
from gromo_graph.spec import Spec, parse_spec
from gromo_graph.spec.defaults import CURRENT

_Model = TypeVar("_Model", bound=BaseModel)


_STAGE = ".new-"  # beginnings of a run; the rest of one that was killed is no content
_SUM = "checksum"
_LONGEST_NAME = 60


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    def file(self, name: str) -> Path:
        """The path of one of its files."""
        return self.path / name

    def drawing(self, step: int) -> Path:
        """The path of the drawing after a growth step; 0 is before any growth."""
        return self.path / STEPS / f"{step:03d}.svg"

    @property
    def is_over(self) -> bool:
        """True if the run has come to its end: its summary is written last."""
        return self.file(SUMMARY).is_file()

    def write(self, name: str, content: bytes | str) -> None:
        """Replace one file, all of it or nothing.

        Raises:
            RunError: it cannot be written.
        """
        path = self.file(name)
        with writing(path):
            path.parent.mkdir(exist_ok=True)
        replace_file(path, content)

    def journal(self, *, first: int | None = None) -> Journal:
        """The journal of the run, up to so many lines, or all of it.

        Raises:
            RunError: the journal cannot be read, or is damaged.
        """
        return read_journal(self.path, first=first)

    @cached_property
    def defaults(self) -> int:
        """The version of the defaults by which the specs of the run are read.

        Raises:
            RunError: a later release wrote it.
        """
        found = self.journal(first=1).header.defaults
        if not 1 <= found <= CURRENT:
            raise RunError(
                f"{self.path / JOURNAL}:1: version {found} of the defaults, this release knows 1 to {CURRENT}"
            )
        return found

    def command(self) -> Command:
        """The options of the run.

        Raises:
            RunError: the file is missing or damaged.
        """
        return self.read_model(COMMAND, Command)

    def summary(self) -> dict[str, Any]:
        """The summary of a run that is over.

        Raises:
            RunError: the file is missing or damaged.
        """
        return self.read_model(SUMMARY, Summary).model_dump()

    def parsed(self, text: str) -> Spec:
        """A spec that the run keeps as text.

        Raises:
            RunError: it is none, or has kinds that are not known here.
        """
        try:
            return parse_spec(text, file=str(self.path), defaults=self.defaults)
        except SpecError as error:
            raise RunError(f"{self.path}: {why_no_spec('a spec of the run', error)}: {error}") from error

    def read_model(self, name: str, model: type[_Model]) -> _Model:
        """One of the JSON files, with values of the right types.

        Raises:
            RunError: it is missing or damaged.
        """
        try:
            return model.model_validate_json(json.dumps(self.read_json(name)))
        except ValidationError as error:
            raise RunError(f"{self.file(name)}: this file is damaged: {first_problem(error)}") from error

    def read_json(self, name: str) -> dict[str, Any]:
        """One of its JSON files.

        Raises:
            RunError: it is missing or damaged.
        """
        path = self.file(name)
        try:
            values = json.loads(read_file(path))
        except FileNotFoundError as error:
            raise RunError(f"{self.path}: this is no whole run: it holds no {name}") from error
        except (ValueError, RecursionError) as error:
            raise RunError(f"{path}: this file is damaged: {error}") from error
        if not isinstance(values, dict):
            raise RunError(f"{path}: this file is damaged: expected a JSON object")
        if values.pop(_SUM, None) not in (None, checksum(values)):
            raise RunError(f"{path}: this file is damaged: its content is not what was written")
        return values


def why_no_spec(what: str, error: SpecError) -> str:
    """The problems of a spec that a run keeps."""
    if any("unknown kind" in problem.message for problem in error.problems):
        return (
            f"{what} has kinds that are not known here (--plugin MODULE names the module that registers them)"
        )
    return f"{what} is damaged"


def as_json(values: Mapping[str, Any]) -> str:
    """Readable JSON text with the checksum of its content, which `read_json` looks at."""
    values = {**values, _SUM: checksum(values)}
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def holds_run(path: Path) -> bool:
    """True if there is a run in this folder."""
    return (path / JOURNAL).is_file() or ((path / SPEC).is_file() and (path / COMMAND).is_file())


def check_free(path: Path, *, force: bool = False) -> None:
    """Refuse a folder in which no run may begin; nothing is changed.

    Raises:
        RunError: there is a file, another run (unless `force`), or a folder with anything else in it.
    """
    with writing(path):
        if not path.exists() and not path.is_symlink():
            return
        if not path.is_dir():
            raise RunError(f"{path}: this is a file, expected a folder for the run")
        content = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith((_STAGE, LOCK)))
    if not content or _is_beginning(path, content):
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
    check_entries(path)


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
                replace_file(stage / name, content)
            remove_run(path)
            for name in files:
                (path / name).parent.mkdir(exist_ok=True)
                system.move(stage / name, path / name)
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
    check_is_folder(path)
    if not holds_run(path):
        if _is_unborn(path):
            raise RunError(
                f"{path}: this run was ended before it began: start it again with gromo-graph grow, or wait if it has "
                "only just been started"
            )
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


def remove_beginning(path: Path) -> None:
    """Take away what is left of a run whose process was killed while it made the folder."""
    stages = list(path.glob(f"{_STAGE}*"))
    if stages and not holds_run(path):
        remove_run(path)
    for stage in stages:
        shutil.rmtree(stage, ignore_errors=True)  # follows no link


def _is_unborn(path: Path) -> bool:
    """True if a folder holds nothing but what a process makes before a run begins, and that."""
    with writing(path):
        names = [entry.name for entry in path.iterdir()]
    content = [name for name in names if not name.startswith((_STAGE, LOCK))]
    return len(content) < len(names) and (not content or _is_beginning(path, content))


def _is_beginning(path: Path, content: Sequence[str]) -> bool:
    """True if a folder holds only some files of a run that was killed while its folder was made."""
    own = {*FILES, *FOLDERS}
    return not holds_run(path) and own.issuperset(content) and any(path.glob(f"{_STAGE}*"))
