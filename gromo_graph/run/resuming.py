"""`resume`: a run that was broken off goes on as if nothing had happened."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gromo_graph.errors import RunError
from gromo_graph.records.journal import Journal, read_journal
from gromo_graph.run.branch_point import Course
from gromo_graph.run.data.load_data import Data, load_data
from gromo_graph.run.data.sources import Source
from gromo_graph.run.entry_points import check_shares, choose_device, compiled, looped
from gromo_graph.run.folder.checkpoint import Checkpoint, checkpoints, read_checkpoint
from gromo_graph.run.folder.recorder import Recorder
from gromo_graph.run.folder.run_folder import COMMAND, SUMMARY, RunFolder, open_folder
from gromo_graph.run.process_group import joined
from gromo_graph.run.run import Run, load_run
from gromo_graph.run.training_loop import Progress
from gromo_graph.spec import Spec, parse_spec


def resume(
    path: str | os.PathLike[str],
    *,
    data: Source = None,
    device: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Go on with a run from its last checkpoint; a run that is over is given as it is.

    On a CPU the result is that of a run that was never broken off, to the bit: weights, journal (clocks aside) and
    drawings. What was written behind the checkpoint is written again.

    Args:
        path: of the run folder.
        data: as for `grow`, where the run's own are code or objects of Python, or have moved; they must be the same.
        device: where to compute; by default as before.
        on_progress: called after each epoch.

    Raises:
        RunError: there is no run, its data are others or missing, or another process writes it.
        KeyboardInterrupt: Ctrl-C; what is there has been saved.
    """
    folder = open_folder(Path(path))
    if folder.file(SUMMARY).is_file():
        return load_run(folder.path)
    journal = read_journal(folder.path)
    command = folder.read_json(COMMAND)
    checkpoint = last_checkpoint(folder)
    spec = parse_spec(journal.header.spec if checkpoint is None else checkpoint.spec, file=str(folder.path))
    loaded = data_again(folder, journal, spec, data, command.get("data"))
    chosen = choose_device(str(command.get("device", "auto")) if device is None else device)
    seed = journal.header.seed
    network = compiled(spec, seed, chosen)
    lines = 1 if checkpoint is None else checkpoint.lines
    events = journal.events[: _events_in(journal, checkpoint)]
    with joined(chosen) as processes:
        with processes.together():
            check_shares(spec, loaded, processes)
        with processes.together():  # all have read what is there
            recorder = Recorder.reopened(folder.path, network, lines=lines) if processes.is_first else None
        return looped(
            network,
            loaded,
            seed=seed,
            device=chosen,
            recorder=recorder,
            on_progress=on_progress,
            processes=processes,
            events=events,
            told=journal.epochs[: 0 if checkpoint is None else checkpoint.epoch],
            checkpoint=checkpoint,
            course=Course.from_dict(command.get("course")),
            **asked(command),
        )


def asked(command: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run that go on with it, from its `command.json`."""
    return {"amp": bool(command.get("amp", False)), "max_memory": command.get("max_memory")}


def last_checkpoint(folder: RunFolder) -> Checkpoint | None:
    """The newest whole one; a damaged one is named in a warning, and the one before is taken."""
    for path in reversed(checkpoints(folder.path)):
        try:
            return read_checkpoint(path)
        except RunError as error:
            warnings.warn(f"{error}; going on from the one before", stacklevel=2)
    return None


def _events_in(journal: Journal, checkpoint: Checkpoint | None) -> int:
    """How many growth events the journal tells up to the checkpoint."""
    return 0 if checkpoint is None else sum(event.epoch <= checkpoint.epoch for event in journal.events)


def data_again(folder: RunFolder, journal: Journal, spec: Spec, given: Source, named: object) -> Data:
    if given is None and not isinstance(named, str):
        raise RunError(f"{folder.path}: the data of the run came from Python: give them with --data")
    if given is None and ":" in str(named) and not Path(str(named)).exists():
        raise RunError(
            f"{folder.path}: the data of the run came from code, `{named}`: give them with --data again"
        )
    loaded = load_data(given if given is not None else str(named), spec, trusted=given is not None)
    if loaded.fingerprint != journal.header.data.get("fingerprint"):
        raise RunError(
            f"{folder.path}: these are not the data that the run was trained on (fingerprint "
            f"{loaded.fingerprint}, expected {journal.header.data.get('fingerprint')})"
        )
    return loaded
