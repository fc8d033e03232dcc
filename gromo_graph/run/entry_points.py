"""`grow`: a spec, data and a seed in, a run out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from gromo_graph.amounts import bytes_of, size
from gromo_graph.environment import VERSION, local_rank, process_count, process_rank
from gromo_graph.errors import RunError
from gromo_graph.graph import Graph, build_graph
from gromo_graph.growth.observe import ALONE
from gromo_graph.growth.out_of_memory import out_of_memory
from gromo_graph.growth.planning import expected_memory
from gromo_graph.growth.process_sums import Processes
from gromo_graph.network import GrowingNetwork, compile_network
from gromo_graph.run.data.load_data import Data, check_trainable, load_data
from gromo_graph.run.data.samples import size_of
from gromo_graph.run.data.sources import Source, is_file
from gromo_graph.run.data.stream import dead_workers_told
from gromo_graph.run.folder.recorder import Recorder
from gromo_graph.run.folder.run_folder import check_free
from gromo_graph.run.interrupt import Interruption
from gromo_graph.run.process_group import joined
from gromo_graph.run.run import Run
from gromo_graph.run.threads import kept_threads
from gromo_graph.run.training_loop import Loop, Progress
from gromo_graph.spec import Spec, load_spec


def grow(
    spec: Spec | str | os.PathLike[str],
    *,
    data: Source = None,
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    force: bool = False,
    overrides: Mapping[str, str] | Sequence[str] = (),
    amp: bool = False,
    max_memory: int | str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Train a network and grow it on the way.

    Args:
        spec: a spec, or the path of one.
        data: a built-in set (digits, iris, wine, breast_cancer, diabetes), a .npz or .csv file,
            "module:function", or an object: (x, y), {"x": x, "y": y}, a data set of pairs, or loaders by part,
            {"train": loader, "validation": loader}, also with "test", which give batches as the network reads them.
            None takes what the spec names; its file names are relative to the spec's folder.
        out: the run folder to make. None keeps the run in memory and writes nothing.
        seed: of first weights, data order and dropout. One seed gives one journal.
        device: auto (a GPU where there is one), cpu or cuda.
        force: replace the run that `out` may hold.
        overrides: `["train.epochs=3"]`, for the path of a spec.
        amp: train in bfloat16 where that is precise enough; statistics and measures stay in float32.
        max_memory: bytes that the statistics of a growth step may take, also as "2GB": refused here where the first
            step would need more; where the network has grown so far, growth ends.
        on_progress: called after each epoch.

    Raises:
        SpecError: the spec is wrong.
        RunError: the data, the folder, the device, the memory or the training.
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
    (1, 1)
    """
    spec, folder = spec_and_folder(spec, overrides)
    check_seed(seed)
    check_trainable(spec)
    chosen = choose_device(device)
    path = None if out is None or process_rank() else Path(out)
    with joined(chosen) as processes:
        with processes.together():
            if path is not None:
                check_free(path, force=force)
            source = spec.train.data if data is None else data
            loaded = data_of(spec, data, folder)
            check_shares(spec, loaded, processes)
            network = compiled(spec, seed, chosen)
            limit = bytes_of(max_memory) if isinstance(max_memory, str) else max_memory
            check_memory(network, limit)
            command = {
                "version": 1,
                "data": _named(source, folder if data is None else None),
                "seed": seed,
                "device": device,
                "overrides": _listed(overrides),
                "amp": amp,
                "max_memory": limit,
                "gromo_graph": VERSION,
                "torch": str(torch.__version__),
            }
            recorder = (
                None
                if path is None
                else Recorder.created(path, network, loaded, seed=seed, command=command, force=force)
            )
        return looped(
            network,
            loaded,
            seed=seed,
            device=chosen,
            recorder=recorder,
            on_progress=on_progress,
            processes=processes,
            amp=amp,
            max_memory=limit,
        )


def check_memory(network: GrowingNetwork, limit: int | None) -> None:
    """Refuse a run whose first growth step would take more memory than is allowed.

    Raises:
        RunError: it would, by sizes alone; or the limit is none.
    """
    if limit is None:
        return
    if limit <= 0:
        raise RunError(f"max_memory={limit}: expected a number of bytes above 0")
    needed = expected_memory(network, network.spec.growth)
    if needed > limit:
        raise RunError(
            f"the statistics of a growth step of `{network.spec.name}` take about {size(needed)}, and {size(limit)} "
            "are allowed: allow more with --max-memory, or let fewer layers grow (`grow: false`, fewer `actions`)"
        )


def check_shares(spec: Spec, data: Data, processes: Processes) -> None:
    """Refuse data of which some process would see nothing.

    Raises:
        RunError: batches, or a part of the data, with fewer samples than there are processes.
    """
    if spec.train.batch_size < processes.count:
        raise RunError(
            f"train.batch_size is {spec.train.batch_size} for {processes.count} processes: expected at least one "
            "sample of each batch for each process"
        )
    for name, part in data.parts.items():
        samples = size_of(part)
        if samples is not None and samples < processes.count:
            raise RunError(
                f"the {name} part has {samples} samples for {processes.count} processes: start fewer"
            )


def looped(
    network: GrowingNetwork,
    data: Data,
    *,
    seed: int,
    device: torch.device,
    recorder: Recorder | None,
    on_progress: Callable[[Progress], None] | None,
    processes: Processes = ALONE,
    **way: Any,
) -> Run:
    """All epochs of a run, under its own seed, with Ctrl-C at safe places.

    Args:
        processes: that make the run together; `recorder` and `on_progress` are the first one's.
        way: `amp`, `max_memory`; of a run that goes on or follows another `events`, `checkpoint`, `course` (loop.py).
    """
    with (
        dead_workers_told(),
        recorder or nullcontext(),
        seeded(seed, device),
        kept_threads(),
        Interruption() as interruption,
    ):
        loop = Loop(
            network,
            data,
            seed=seed,
            recorder=recorder,
            interruption=interruption,
            on_progress=on_progress if processes.is_first else None,
            processes=processes,
            **way,
        )
        return loop.run()


def check_seed(seed: int) -> None:
    """Refuse what no generator takes.

    Raises:
        RunError: a negative number, or one of more than 63 bits.
    """
    if not 0 <= seed < 2**63:
        raise RunError(f"seed {seed}: expected a whole number from 0 to 2⁶³ − 1")


def choose_device(name: str) -> torch.device:
    """The device for auto, cpu or cuda.

    Raises:
        RunError: there is no such device here.
    """
    available = torch.cuda.is_available()
    if name == "auto":
        return _own_device("cuda" if available else "cpu")
    if name not in ("cpu", "cuda"):
        raise RunError(f"unknown device {name!r}: expected auto, cpu or cuda")
    if name == "cuda" and not available:
        raise RunError("this torch sees no GPU: use --device cpu or auto")
    return _own_device(name)


def _own_device(kind: str) -> torch.device:
    """Of several processes on one machine each has a GPU of its own."""
    if kind != "cuda" or process_count() == 1:
        return torch.device(kind)
    if local_rank() >= torch.cuda.device_count():
        raise RunError(
            f"process {local_rank()} of this machine has no GPU: there are {torch.cuda.device_count()}; start so many "
            "processes, or use --device cpu"
        )
    return torch.device("cuda", local_rank())


def spec_and_folder(
    spec: Spec | str | os.PathLike[str], overrides: Mapping[str, str] | Sequence[str]
) -> tuple[Spec, Path | None]:
    """The spec, and the folder that its file names are relative to: that of its file where it has one."""
    if isinstance(spec, Spec):
        if overrides:
            raise RunError("overrides are for the path of a spec: give them to load_spec instead")
        files = {origin.file for origin in spec.origins.values() if origin.block is None}
        known = [Path(file) for file in files if Path(file).is_file()]
        return spec, known[0].parent if len(known) == 1 else None
    return load_spec(spec, overrides=overrides), Path(spec).parent


def data_of(spec: Spec, data: Source, folder: Path | None) -> Data:
    """The data that are given, or else those that the spec names, relative to its folder.

    Raises:
        RunError: they cannot be read, are not sound, or do not fit the spec.
    """
    if data is None:
        return load_data(spec.train.data, spec, folder=folder, trusted=False)
    return load_data(data, spec)


def compiled(spec: Spec, seed: int, device: torch.device) -> GrowingNetwork:
    """The network of a spec, with an error for one that is too large.

    Raises:
        RunError: it does not fit into memory.
    """
    graph: Graph = build_graph(spec)
    try:
        return compile_network(spec, seed=seed, device=device)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise RunError(
            f"`{spec.name}` does not fit into memory: it has {graph.parameter_count:,} parameters before any growth"
        ) from error


def _named(source: Source, folder: Path | None) -> str | None:
    """What a later command finds the data by; None for objects of Python."""
    if is_file(source):
        return str(((folder or Path()) / os.fspath(source)).resolve())
    return source if isinstance(source, str) else None


def _listed(overrides: Mapping[str, str] | Sequence[str]) -> list[str]:
    if isinstance(overrides, Mapping):
        return [f"{path}={value}" for path, value in overrides.items()]
    return [overrides] if isinstance(overrides, str) else list(overrides)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Dropout draws from torch's global generator: seed it here, and give the caller's state back."""
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
