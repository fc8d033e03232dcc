"""The four ways to begin a run: `grow`, `resume`, `replay` and `branch`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gromo_graph.arguments import checked
from gromo_graph.environment import process_count
from gromo_graph.errors import RunError
from gromo_graph.memory_sizes import bytes_of
from gromo_graph.run.branch_point import BranchPoint
from gromo_graph.run.data.held_out import validation_file
from gromo_graph.run.data.load_data import check_trainable, data_of, named_data
from gromo_graph.run.data.sources import Source, is_file, is_place
from gromo_graph.run.data.text import PYTHON_DOCS
from gromo_graph.run.epoch_progress import OnProgress
from gromo_graph.run.folder.checkpoint import checkpoints
from gromo_graph.run.folder.command import Command
from gromo_graph.run.folder.completion import complete, is_complete
from gromo_graph.run.folder.load_run import load_run
from gromo_graph.run.folder.run_folder import check_free, open_folder
from gromo_graph.run.folder.weights_file import first_preparation, first_weights
from gromo_graph.run.kept_run import KeptRun
from gromo_graph.run.resources import choose_device, sound_seed
from gromo_graph.run.run import Run
from gromo_graph.run.session import InMemory, NewFolder, Past, SameFolder, Start, carried_out
from gromo_graph.run.spec_source import SpecSource
from gromo_graph.spec import Spec
from gromo_graph.spec.data_sections import ImageData, TextData
from gromo_graph.spec.expand.overrides import Overrides
from gromo_graph.spec.python_values import plain


@checked
def grow(
    spec: Spec | str | os.PathLike[str],
    *,
    data: Source = None,
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    force: bool = False,
    overrides: Overrides = (),
    weights: str | os.PathLike[str] | None = None,
    amp: bool = False,
    max_memory: int | str | None = None,
    on_progress: OnProgress | None = None,
) -> Run:
    """Train a network and grow it on the way.

    Args:
        spec: a spec, or the path of one.
        data: a built-in set (digits, iris, wine, breast_cancer, diabetes), a .npz or .csv file,
            "module:function", or an object: (x, y), {"x": x, "y": y}, a DataFrame, whose target is the column
            `target`, else the last, a pair of a DataFrame and a Series, a data set of pairs, or loaders by part,
            {"train": loader, "validation": loader}, also with "test", which give batches as the network reads them.
            None takes what the spec names; its file names are relative to the spec's folder.
        out: the run folder to make. None keeps the run in memory and writes nothing.
        seed: of first weights, data order and dropout. One seed gives one journal.
        device: auto (a GPU if there is one), cpu or cuda.
        force: replace the run that `out` may hold.
        overrides: `["train.epochs=3"]`, for the path of a spec.
        weights: to begin with: a .safetensors file, or a run folder, whose weights are taken; None takes those of the
            seed. A run that goes on, is replayed or branched reads the file again, which must not have changed.
        amp: train in bfloat16 if that is precise enough; statistics and measures stay in float32.
        max_memory: bytes that the statistics of a growth step may take, also as "2GB". A run whose first step would
            need more is refused; growth ends when a later step would need more.
        on_progress: called after each epoch with a `Progress`; if it has a method `doing(words)`, that is told of each
            batch between: "batch 12 of 90", "statistics 3 of 12 batches".

    Raises:
        SpecError: the spec is wrong.
        RunError: the data, the folder, the device, the weights, the memory or the training.
        KeyboardInterrupt: Ctrl-C; what is there has been saved.

    >>> from gromo_graph import grow, parse_spec
    >>> spec = parse_spec('''
    ... name: small
    ... nodes:
    ...   x: {kind: input, shape: [4]}
    ...   hidden: {kind: linear, from: x, features: 1, activation: relu}
    ...   y: {kind: linear, from: hidden, features: 3}
    ... output: y
    ... train: {data: iris, epochs: 4}
    ... ''')
    >>> run = grow(spec)
    >>> run.summary["steps"], len(run.predict([[5.1, 3.5, 1.4, 0.2]]))
    (2, 1)
    """
    source = SpecSource.of(spec, overrides)
    command = command_of(
        source, data=data, seed=seed, device=device, weights=weights, amp=amp, max_memory=max_memory
    )
    place = InMemory() if out is None else NewFolder(Path(out), force)
    return begin(source, command, place, data=data, on_progress=on_progress)


def command_of(
    source: SpecSource,
    *,
    data: Source = None,
    seed: int = 0,
    device: str = "auto",
    weights: str | os.PathLike[str] | None = None,
    amp: bool = False,
    max_memory: int | str | None = None,
    write_back: Path | None = None,
) -> Command:
    """The options of a new run.

    Args:
        write_back: the file that the caller writes the grown sizes into afterwards, of which `resume` reminds.
            The others are those of `grow`.

    Raises:
        RunError: the seed, the device, the memory, or a file of weights that cannot be read.
    """
    limit = bytes_of(max_memory) if isinstance(max_memory, str) else plain(max_memory)
    if limit is not None and (type(limit) is not int or limit <= 0):
        raise RunError(f"max_memory={limit}: expected a number of bytes above 0")
    choose_device(device)  # it is refused if there is no such device here
    held_out = validation_file(source.spec, source.folder)
    return Command.model_validate(
        {
            "data": _name_of(source, data),
            "validation": None if held_out is None else str(held_out.resolve()),
            "seed": sound_seed(seed),
            "device": str(device),
            "overrides": source.overrides,
            "amp": amp,
            "max_memory": limit,
            "weights": None if weights is None else first_weights(weights),
            "write_back": None if write_back is None else str(write_back.resolve()),
        }
    )


def begin(
    source: SpecSource,
    command: Command,
    place: InMemory | NewFolder,
    *,
    data: Source = None,
    on_progress: OnProgress | None = None,
) -> Run:
    """`grow` for a spec that has been read and options that are known to be sound."""
    check_trainable(source.spec)
    return carried_out(
        command,
        place,
        lambda: Start(source.spec, data_of(source, data, known=first_preparation(command.weights))),
        device=choose_device(command.device),
        on_progress=on_progress,
    )


@checked
def resume(
    path: str | os.PathLike[str],
    *,
    data: Source = None,
    device: str | None = None,
    on_progress: OnProgress | None = None,
) -> Run:
    """Go on with a run from its last checkpoint; a run that is over is given as it is.

    On a CPU the result is that of a run that was never broken off, to the bit: weights, journal (clocks aside) and
    drawings. What was written behind the checkpoint is written again, and what is missing of the folder is made.

    Args:
        path: of the run folder.
        data: as for `grow`, if the run's own are code or objects of Python, or have moved; they must be the same.
        device: where to compute; by default as before.
        on_progress: called after each epoch with a `Progress`; if it has a method `doing(words)`, that is told of each
            batch between: "batch 12 of 90", "statistics 3 of 12 batches".

    Raises:
        RunError: there is no run, its data are others or missing, or another process writes it.
        KeyboardInterrupt: Ctrl-C; what is there has been saved.
    """
    folder = open_folder(Path(path))
    if folder.is_over and is_complete(folder):
        return load_run(folder.path)
    kept = KeptRun.read(folder)

    def start() -> Start:  # under the lock: the run may have come further since, or to its end
        if folder.is_over:
            raise _IsOver
        past = Past(folder, checkpoints(folder.path)[::-1])
        steps = kept.steps_of_growth()
        return Start(kept.spec, kept.data(data), past, milliseconds=kept.milliseconds(), steps=steps)

    try:
        return carried_out(
            kept.command,
            SameFolder(folder),
            start,
            device=choose_device(kept.command.device if device is None else device),
            on_progress=on_progress,
        )
    except _IsOver:
        complete(folder)
        return load_run(folder.path)


class _IsOver(Exception):  # noqa: N818 - it is no error
    """The run has come to its end."""


@checked
def replay(
    path: str | os.PathLike[str],
    *,
    to: int,
    out: str | os.PathLike[str],
    data: Source = None,
    device: str | None = None,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> Run:
    """The run again, up to right after a growth step: its network with the weights it had then.

    Args:
        path: of the run folder, which stays as it is.
        to: the growth step.
        out: the run folder to make.
        force: replace a run that is there.
        data, device, on_progress: as for `resume`.

    Raises:
        RunError: there is no such run or step, or its data are others.
    """
    place = NewFolder(Path(out), force)
    return _follow(path, BranchPoint(to), place, data=data, device=device, on_progress=on_progress)


@checked
def branch(
    path: str | os.PathLike[str],
    *,
    at: int,
    overrides: Sequence[str],
    out: str | os.PathLike[str],
    data: Source = None,
    device: str | None = None,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> Run:
    """A new run that is the other up to the epoch of a growth step, and goes on with other settings.

    Args:
        path: of the run folder, which stays as it is.
        at: the growth step.
        overrides: of `growth` and `train`: `["growth.select=slope"]`.
        out, force: the run folder to make.
        data, device, on_progress: as for `resume`.

    Raises:
        RunError: there is no such run or step, the settings are wrong, or its data are others.
    """
    place, point = NewFolder(Path(out), force), BranchPoint(at, tuple(overrides))
    return _follow(path, point, place, data=data, device=device, on_progress=on_progress)


def _follow(
    path: str | os.PathLike[str],
    point: BranchPoint,
    place: NewFolder,
    *,
    data: Source,
    device: str | None,
    on_progress: OnProgress | None,
) -> Run:
    """A new run that is another one up to a point."""
    if process_count() > 1:
        raise RunError("a replay or a branch is made by one process: leave torchrun out")
    kept = KeptRun.read(open_folder(Path(path)))
    kept.check_step(point)
    check_free(place.path, force=place.force)
    run = carried_out(
        kept.command.following(point),
        place,
        lambda: Start(
            kept.spec,
            kept.data(data),
            milliseconds=kept.milliseconds(until=point.at),
            steps=kept.steps_of_growth(until=point.at),
        ),
        device=choose_device(kept.command.device if device is None else device),
        on_progress=on_progress,
    )
    kept.warn_if_other(run.events, point.at)
    return run


def _name_of(source: SpecSource, data: Source) -> str | None:
    """The name by which a later command finds the data; None for objects of Python."""
    named = named_data(source.spec) if data is None else data
    by_section = isinstance(source.spec.data, ImageData | TextData) and is_place(named)
    if (is_file(named) or by_section) and named != PYTHON_DOCS:
        folder = source.folder if data is None else None
        return str(((folder or Path()) / os.fspath(named)).resolve())
    return named if isinstance(named, str) else None
