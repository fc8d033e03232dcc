"""`grow`: a spec, data and a seed in, a run out."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gromo_graph
from gromo_graph.errors import RunError
from gromo_graph.graph import Graph, build_graph
from gromo_graph.growth import GrowthScheduler
from gromo_graph.network import GrowingNetwork, compile_network
from gromo_graph.records import GrowthEvent
from gromo_graph.run.data import Data, check_trainable, load_data
from gromo_graph.run.folder import check_free
from gromo_graph.run.interrupt import Interruption
from gromo_graph.run.loader import TensorLoader
from gromo_graph.run.record import Epoch, Recorder
from gromo_graph.run.run import Run
from gromo_graph.run.sources import Source, is_file
from gromo_graph.run.threads import choose_threads, kept_threads
from gromo_graph.run.trainer import (
    LOSSES,
    Metrics,
    evaluate,
    learning_rate,
    make_optimizer,
    not_finite,
    single_output,
    train_epoch,
)
from gromo_graph.spec import Spec, load_spec

_EVALUATION_BATCH = 4096


@dataclass(frozen=True)
class Progress:
    """How far a run is; given to `on_progress` after each epoch.

    Attributes:
        epoch, epochs: done, and in all.
        train, validation: loss and accuracy.
        parameters: of the network now.
        features: width of each node that may grow.
        event: the growth step of this epoch, or None.
        reason: why growth is over, or None.
    """

    epoch: int
    epochs: int
    train: Mapping[str, Any]
    validation: Mapping[str, Any]
    parameters: int
    features: Mapping[str, int]
    event: GrowthEvent | None
    reason: str | None


def grow(
    spec: Spec | str | os.PathLike[str],
    *,
    data: Source = None,
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    force: bool = False,
    overrides: Mapping[str, str] | Sequence[str] = (),
    on_progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Train a network and grow it on the way.

    Args:
        spec: a spec, or the path of one.
        data: a built-in set (digits, iris, wine, breast_cancer, diabetes), a .npz or .csv file,
            "module:function", or an object: (x, y), {"x": x, "y": y}, a data set of pairs. None takes what the
            spec names; its file names are relative to the spec's folder.
        out: the run folder to make. None keeps the run in memory and writes nothing.
        seed: of first weights, data order and dropout. One seed gives one journal.
        device: auto (a GPU where there is one), cpu or cuda.
        force: replace the run that `out` may hold.
        overrides: `["train.epochs=3"]`, for the path of a spec.
        on_progress: called after each epoch.

    Raises:
        SpecError: the spec is wrong.
        RunError: the data, the folder, the device or the training.
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
    spec, folder = _spec_and_folder(spec, overrides)
    if not 0 <= seed < 2**63:
        raise RunError(f"seed {seed}: expected a whole number from 0 to 2⁶³ − 1")
    check_trainable(spec)
    chosen = choose_device(device)
    path = None if out is None else Path(out)
    if path is not None:
        check_free(path, force=force)
    source = spec.train.data if data is None else data
    loaded = load_data(source, spec, folder=folder if data is None else None, trusted=data is not None)
    network = _compiled(spec, seed, chosen)
    command = {
        "version": 1,
        "data": _named(source, folder if data is None else None),
        "seed": seed,
        "device": device,
        "overrides": _listed(overrides),
        "gromo_graph": gromo_graph.__version__,
        "torch": str(torch.__version__),
    }
    recorder = (
        None if path is None else Recorder(path, network, loaded, seed=seed, command=command, force=force)
    )
    with recorder or nullcontext(), _seeded(seed, chosen), kept_threads(), Interruption() as interruption:
        return _Growing(network, loaded, seed, recorder, interruption, on_progress).run()


def choose_device(name: str) -> torch.device:
    """The device for auto, cpu or cuda.

    Raises:
        RunError: there is no such device here.
    """
    available = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    if name not in ("cpu", "cuda"):
        raise RunError(f"unknown device {name!r}: expected auto, cpu or cuda")
    if name == "cuda" and not available:
        raise RunError("this torch sees no GPU: use --device cpu or auto")
    return torch.device(name)


class _Growing:
    """The loop: train, grow, measure, tell; epoch after epoch."""

    def __init__(
        self,
        network: GrowingNetwork,
        data: Data,
        seed: int,
        recorder: Recorder | None,
        interruption: Interruption,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.network, self.data, self.recorder = network, data, recorder
        self.interruption, self.on_progress = interruption, on_progress
        self.train = network.spec.train
        self.loss = LOSSES[self.train.loss]
        device = next(network.parameters()).device
        self.trained = TensorLoader(data.train, self.train.batch_size, seed=seed, device=device)
        self.measured = {
            name: TensorLoader(part, _EVALUATION_BATCH, device=device) for name, part in data.parts.items()
        }
        self.optimizer = make_optimizer(network, self.train.optimizer)
        self.events: list[GrowthEvent] = []
        self.threads = torch.get_num_threads()
        self.scheduler = GrowthScheduler(
            network,
            self._loss,
            optimizer=self.optimizer,
            on_event=self._on_event,
            generator=torch.Generator().manual_seed(seed),
        )
        self.growing = tuple(
            name for group in network.graph.groups if group.reason is None for name in group.producers
        )

    def run(self) -> Run:
        try:
            for epoch in range(self.train.epochs):
                self._epoch(epoch)
                self.interruption.check()
        except KeyboardInterrupt:
            if self.recorder is not None:
                self.recorder.save()
                self.recorder.report(None)
            raise
        results = self._results()
        if self.recorder is not None:
            self.recorder.finish(results)
        return Run(
            network=self.network,
            events=tuple(self.events),
            preparation=self.data.preparation,
            fingerprint=self.data.fingerprint,
            results=results,
            path=None if self.recorder is None else self.recorder.folder.path,
            data=self.data,
        )

    def _epoch(self, epoch: int) -> None:
        started = time.perf_counter()
        choose_threads(self.network.graph.multiply_adds * self.train.batch_size, self.threads)
        self.trained.set_epoch(epoch)
        batches = len(self.trained)
        measured = train_epoch(
            self.network,
            self.loss,
            self.trained,
            self.optimizer,
            rate=lambda batch: learning_rate(self.train, (epoch + batch / batches) / self.train.epochs),
            after_batch=self.interruption.check,
            clock=f"epoch {epoch + 1}",
        )
        event = self.scheduler.step(self.trained, self.measured["validation"])
        lr, validation = self.optimizer.param_groups[0]["lr"], self._measure("validation")
        if not math.isfinite(validation["loss"]):
            raise not_finite("validation", validation["loss"], f"epoch {epoch + 1}", lr)
        told = Epoch(
            epoch=epoch + 1,
            train=measured,
            validation=validation,
            parameters=self.network.graph.parameter_count,
            madds=self.network.graph.multiply_adds,
            lr=lr,
            seconds=time.perf_counter() - started,
        )
        if self.recorder is not None:
            self.recorder.epoch(told)
        if self.on_progress is not None:
            self.on_progress(self._progress(told, event))

    def _on_event(self, event: GrowthEvent) -> None:
        self.events.append(event)
        if self.recorder is not None:
            self.recorder.step(event)

    def _loss(self, prediction: Any, target: Tensor) -> Tensor:
        return self.loss(single_output(prediction), target)

    def _measure(self, part: str) -> Metrics:
        return evaluate(self.network, self.loss, self.measured[part])

    def _results(self) -> dict[str, Any]:
        return {
            "steps": self.scheduler.applied,
            "reason": self.scheduler.reason or f"the training is over: {self.train.epochs} epochs",
            "parameters": self.network.graph.parameter_count,
            **{part: dict(self._measure(part)) for part in self.measured},
        }

    def _progress(self, told: Epoch, event: GrowthEvent | None) -> Progress:
        return Progress(
            epoch=told.epoch,
            epochs=self.train.epochs,
            train=told.train,
            validation=told.validation,
            parameters=told.parameters,
            features={name: self.network.graph.features(name) for name in self.growing},
            event=event,
            reason=self.scheduler.reason,
        )


def _spec_and_folder(
    spec: Spec | str | os.PathLike[str], overrides: Mapping[str, str] | Sequence[str]
) -> tuple[Spec, Path | None]:
    """The spec, and the folder that its file names are relative to: that of its file where it has one."""
    if isinstance(spec, Spec):
        if overrides:
            raise RunError("overrides are for the path of a spec: give them to load_spec instead")
        files = {origin.file for origin in spec.origins.values()}
        known = [Path(file) for file in files if Path(file).is_file()]
        return spec, known[0].parent if len(known) == 1 else None
    return load_spec(spec, overrides=overrides), Path(spec).parent


def _compiled(spec: Spec, seed: int, device: torch.device) -> GrowingNetwork:
    graph: Graph = build_graph(spec)
    try:
        return compile_network(spec, seed=seed, device=device)
    except (RuntimeError, MemoryError) as error:
        if "memory" not in str(error).lower() and not isinstance(error, MemoryError):
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
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Dropout draws from torch's global generator: seed it here, and give the caller's state back."""
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
