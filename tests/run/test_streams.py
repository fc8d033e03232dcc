"""Data out of loaders: DataLoader, IterableDataset, lists of batches."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from gromo_graph import RunError, grow, load_run, resume
from gromo_graph.run.data.samples import Part, Stream
from gromo_graph.run.data.stream import StreamLoader
from gromo_graph.run.data.tensor_loader import TensorLoader
from gromo_graph.spec import Spec, parse_spec
from tests.run.specs import classifier
from tests.run.test_resume import BrokenOffError, same_runs


def points(samples: int = 96, seed: int = 0) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, 2, generator=generator)
    return TensorDataset(x, (x[:, 0] * x[:, 1] > 0).long())


class Endless(IterableDataset[Any]):
    """Without a length."""

    def __init__(self, batches: int = 6) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self.batches):
            x = torch.randn(16, 2)
            yield x, (x[:, 0] * x[:, 1] > 0).long()


def spec(**changes: str) -> Spec:
    return classifier(**{"train.epochs": "6", **changes})


def loaders(**options: Any) -> dict[str, Any]:
    return {
        "train": DataLoader(points(), batch_size=16, shuffle=True, **options),
        "validation": DataLoader(points(32, 1), batch_size=32),
    }


def test_a_run_on_loaders(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    run = grow(spec(), data=loaders(), out=tmp_path / "run", seed=3, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert run.summary["steps"] >= 1
    assert run.summary["test"] == {"loss": None, "accuracy": None}
    assert run.summary["validation"]["accuracy"] == run.measure()["validation"]["accuracy"]
    again = load_run(tmp_path / "run")
    assert again.preparation.classes == (0, 1)
    assert again.measure(loaders())["validation"] == run.summary["validation"]
    x = points(8, 2).tensors[0]
    assert torch.equal(again.scores(x.numpy()), run.network(x))  # nothing is standardised
    with pytest.raises(RunError, match="the data of the run came from Python"):
        again.measure()


@pytest.mark.parametrize("kind", ["shuffled", "own generator", "iterable"])
def test_it_is_resumed_to_the_bit(tmp_path: Path, kind: str) -> None:
    def data() -> dict[str, Any]:
        if kind == "iterable":
            return {"train": DataLoader(Endless(), batch_size=None), "validation": [points(32, 1).tensors]}
        generator = torch.Generator() if kind == "own generator" else None
        return {**loaders(generator=generator), "test": [points(16, 3).tensors]}

    def watch(progress: object) -> None:
        if progress.epoch == 3:  # type: ignore[attr-defined]
            raise BrokenOffError

    text = spec(**{"train.accumulate": "2"})
    grow(text, data=data(), out=tmp_path / "whole", seed=3, device="cpu")
    with pytest.raises(BrokenOffError):
        grow(text, data=data(), out=tmp_path / "broken", seed=3, device="cpu", on_progress=watch)
    torch.rand(7)
    resume(tmp_path / "broken", data=data())
    same_runs(tmp_path / "broken", tmp_path / "whole")


def test_other_loaders_are_refused(tmp_path: Path) -> None:
    def stop(progress: object) -> None:
        raise BrokenOffError

    with pytest.raises(BrokenOffError):
        grow(spec(), data=loaders(), out=tmp_path / "run", device="cpu", on_progress=stop)
    with pytest.raises(RunError, match="these are not the data that the run was trained on"):
        resume(tmp_path / "run", data={**loaders(), "validation": [points(32, 5).tensors]})


def test_processes_share_each_batch() -> None:
    stream = Stream("train", DataLoader(points(21), batch_size=4, shuffle=True), (2,), 2, True)
    whole = StreamLoader(stream, seed=1)
    own = []
    for rank in range(2):
        torch.manual_seed(rank)  # the processes' own states do not matter
        own.append(StreamLoader(stream, seed=1, share=(rank, 2)))
    for (x, _), *parts in zip(whole, *(loader.weighted() for loader in own), strict=True):
        mean = sum(batch.weight * float(batch.x.mean()) for batch in parts) / 2
        assert mean == pytest.approx(float(x.mean()), rel=1e-4)
    first, second = (sorted(float(x) for xs, _ in loader for x in xs[:, 0]) for loader in own)
    assert sorted(first + second) == sorted(points(21).tensors[0][:, 0].tolist())


def test_each_epoch_draws_anew_and_the_same_again() -> None:
    loader = StreamLoader(
        Stream("train", DataLoader(points(), batch_size=96, shuffle=True), (2,), 2, True), seed=4
    )
    seen = []
    for epoch in (0, 1, 0):
        loader.set_epoch(epoch)
        seen.append(next(iter(loader))[0])
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[1])


def test_what_is_drawn_in_an_epoch_differs_from_batch_to_batch() -> None:
    batches = [
        x for x, _ in StreamLoader(Stream("train", DataLoader(Endless(), batch_size=None), (2,), 2, True))
    ]
    assert len({float(x[0, 0]) for x in batches}) == len(batches) == 6


def test_samplers_are_told_the_epoch() -> None:
    told: list[int] = []
    loader = DataLoader(points(), batch_size=96)
    loader.sampler.set_epoch = told.append  # type: ignore[attr-defined]
    StreamLoader(Stream("train", loader, (2,), 2, True)).set_epoch(5)
    assert told == [5]


def test_batches_of_lists_are_those_of_tensors() -> None:
    x, y = points(40).tensors
    listed = StreamLoader(Stream("train", list(zip(x.split(8), y.split(8), strict=True)), (2,), 2, True))
    for (x1, y1), (x2, y2) in zip(listed, TensorLoader(Part(x, y), 8), strict=True):
        assert torch.equal(x1, x2)
        assert torch.equal(y1, y2)


X, Y = points(8).tensors


class Failing:
    def __iter__(self) -> Iterator[Any]:
        yield X, Y
        raise OSError("the disk is gone")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"validation": None}, "expected train and validation"),
        ({"valid": [(X, Y)]}, r"loaders for train, validation, valid: expected train and validation"),
        ({"train": iter([(X, Y)])}, "is a list_iterator, which is empty after one epoch"),
        ({"train": []}, "the train loader gave no batch"),
        ({"train": [X]}, "the train loader gave a Tensor: expected pairs"),
        ({"train": [(X.numpy(), Y)]}, "gave ndarray and Tensor: expected two tensors"),
        ({"train": [(X[:, :1], Y)]}, r"gave x of shape \(8, 1\) for 8 targets: expected \(samples, 2\)"),
        ({"train": [(X, Y[:3])]}, r"for 3 targets"),
        ({"train": [(X, Y + 1)]}, r"from 1 to 2: expected whole class indices \(samples,\) from 0 to 1"),
        ({"train": [(X, Y.float())]}, "torch.float32, from 0.0 to 1.0: expected whole class indices"),
        ({"train": Failing()}, "the train loader raised OSError: the disk is gone"),
    ],
)
def test_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=message):
        grow(spec(), data={**loaders(), **changed}, device="cpu")


def test_values_of_a_regression() -> None:
    text = parse_spec("""
name: sum
nodes:
  x: {kind: input, shape: [2]}
  h: {kind: linear, from: x, features: 1, activation: relu}
  y: {kind: linear, from: h, features: 1}
output: y
train: {loss: mse, epochs: 3}
""")
    x, _ = points().tensors
    batches = [(x, x.sum(dim=1))]
    run = grow(text, data={"train": batches, "validation": batches}, device="cpu")
    assert run.summary["validation"]["accuracy"] is None
    with pytest.raises(RunError, match=r"targets of shape \(96, 2\): expected \(samples, 1\) values"):
        grow(text, data={"train": [(x, x)], "validation": batches}, device="cpu")


class Dying(torch.utils.data.Dataset[Any]):
    """A worker that reads the last sample is killed."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        if index == 63 and torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return X[index % 8], Y[index % 8]


# torch tells of it by an error in the handler of a signal, which may come while something is being deleted.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_worker_that_dies_is_told(tmp_path: Path) -> None:
    dying = DataLoader(Dying(), batch_size=8, num_workers=1)
    with pytest.raises(
        RunError, match=r"a worker of a loader has died.*resume goes on from the last checkpoint"
    ):
        grow(spec(), data={**loaders(), "train": dying}, out=tmp_path / "run", device="cpu")
