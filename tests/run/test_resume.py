"""A run that is broken off and resumed is, to the bit, the run that never was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gromo_graph import RunError, grow, load_run, parse_spec, resume
from gromo_graph.run.folder.checkpoint import checkpoints
from gromo_graph.run.folder.own_files import SPEC, WEIGHTS
from gromo_graph.run.folder.run_folder import JOURNAL

MLP = """
name: mlp
nodes:
  x: {kind: input, shape: [4]}
  a: {kind: linear, from: x, features: 2, activation: relu}
  d: {kind: dropout, from: a, p: 0.2}
  b: {kind: linear, from: d, features: 2, activation: tanh}
  y: {kind: linear, from: b, features: 3}
output: y
growth: GROWTH
train: {data: iris, epochs: 8, batch_size: 16, optimizer: OPTIMIZER}
"""
CNN = """
name: cnn
nodes:
  x: {kind: input, shape: [1, 8, 8]}
  c: {kind: conv2d, from: x, features: 2, kernel: 3, stride: 2}
  n: {kind: batch_norm, from: c, activation: relu}
  f: {kind: flatten, from: n}
  y: {kind: linear, from: f, features: 10}
output: y
growth: {when: {until: 0.7}, neurons: {per_step: 2}, statistics: {samples: 300}}
train: {data: digits, epochs: 6, batch_size: 200, optimizer: {lr: 0.005}}
"""


def mlp(growth: str = "{when: {until: 0.8}}", optimizer: str = "{lr: 0.01}") -> str:
    return MLP.replace("GROWTH", growth).replace("OPTIMIZER", optimizer)


RUNS = {
    "adamw": mlp(),
    "sgd with momentum": mlp(optimizer="{name: sgd, lr: 0.05, momentum: 0.9}"),
    "new paths": mlp("{actions: [widen, new_edge, new_node], when: {until: 0.9}, neurons: {per_step: 2}}"),
    "edges of some features": mlp(
        "{actions: [widen, prune, new_edge], edges: {features: 2, prune: true}, when: {until: 1.0}, "
        "stop: {parameters: 90}}"
    ),
    "random": mlp("{criterion: random, when: {until: 0.9}}"),
    "plateau and error": mlp("{when: {plateau: 2, until: 1.0}, statistics: {error: 0.2}}"),
    "pruning": mlp("{actions: [widen, prune], when: {until: 1.0}, stop: {parameters: 60}}"),
    "own steps": mlp("{optimizer_state: own_steps, warm_up: 0.3, when: {until: 0.9}}"),
    "convolutions": CNN,
}


class BrokenOffError(Exception):
    """Like a crash: nothing is saved."""


def broken_off(text: str, path: Path, after: int) -> None:
    def watch(progress: object) -> None:
        if progress.epoch == after:  # type: ignore[attr-defined]
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        grow(parse_spec(text), out=path, seed=5, device="cpu", on_progress=watch)


def told(path: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (path / JOURNAL).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in lines]


def same_runs(one: Path, two: Path) -> None:
    assert told(one) == told(two)
    for name in (SPEC, WEIGHTS):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    drawings = sorted(path.name for path in (one / "steps").iterdir())
    assert drawings == sorted(path.name for path in (two / "steps").iterdir())
    for name in drawings:
        assert (one / "steps" / name).read_bytes() == (two / "steps" / name).read_bytes()


class WholeRuns(dict[str, Path]):
    """The runs that never were broken off, each made when it is first asked for."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self.factory = factory

    def __missing__(self, name: str) -> Path:
        self[name] = self.factory.mktemp("whole") / "run"
        grow(parse_spec(RUNS[name]), out=self[name], seed=5, device="cpu")
        return self[name]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> WholeRuns:
    return WholeRuns(tmp_path_factory)


@pytest.mark.parametrize(
    ("name", "after"),
    [
        *(("adamw", 1), ("adamw", 4), ("new paths", 1), ("new paths", 4), ("convolutions", 4)),
        *(
            ("sgd with momentum", 1),
            ("random", 4),
            ("plateau and error", 1),
            ("pruning", 4),
            ("own steps", 1),
            ("edges of some features", 4),
        ),
    ],
)
def test_it_goes_on_as_if_nothing_had_happened(
    whole: dict[str, Path], tmp_path: Path, name: str, after: int
) -> None:
    broken_off(RUNS[name], tmp_path / "run", after)
    state = torch.get_rng_state()
    run = resume(tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), state)
    same_runs(tmp_path / "run", whole[name])
    assert run.summary == {**load_run(whole[name]).summary, "run": str(tmp_path / "run")}
    assert [event.to_dict() | {"time": 0} for event in run.events] == [
        event.to_dict() | {"time": 0} for event in load_run(whole[name]).events
    ]
    assert resume(tmp_path / "run").summary == run.summary  # it is over


def test_without_a_checkpoint_it_begins_anew(whole: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "run"
    broken_off(RUNS["adamw"], path, 3)
    for file in checkpoints(path):
        file.unlink()
    resume(path)
    same_runs(path, whole["adamw"])


def test_a_torn_line_and_a_damaged_checkpoint_are_no_harm(whole: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "run"
    broken_off(RUNS["adamw"], path, 4)
    with (path / JOURNAL).open("ab") as journal:
        journal.write(b'{"type": "epo')
    newest = checkpoints(path)[-1]
    newest.write_bytes(newest.read_bytes()[:-20])
    with pytest.warns(UserWarning, match=f"{newest}.*no whole checkpoint.*going on from the one before"):
        resume(path)
    same_runs(path, whole["adamw"])
    assert checkpoints(path) == []


def test_what_a_killed_process_had_begun_to_write_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "run"
    broken_off(RUNS["adamw"], path, 3)
    begun = [
        path / ".spec.yaml-0123abcd",
        path / "steps" / ".004.svg-00ff00ff",
        path / "checkpoints" / ".a-12345678",
    ]
    mine = path / ".notes-of-mine"
    for file in (*begun, mine):
        file.write_text("half")
    resume(path)
    assert [file for file in begun if file.exists()] == []
    assert mine.read_text() == "half"


def test_other_data_are_refused_and_code_is_asked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "run"
    broken_off(RUNS["adamw"], path, 2)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(RunError, match="these are not the data that the run was trained on"):
        resume(path, data="wine" if False else (torch.zeros(90, 4).numpy(), torch.arange(90).numpy() % 3))
    command = json.loads((path / "command.json").read_text())
    (path / "command.json").write_text(json.dumps({**command, "data": "my.module:data", "checksum": None}))
    with pytest.raises(RunError, match=r"came from code, `my\.module:data`: give them with --data again"):
        resume(path)
    (path / "command.json").write_text(json.dumps(command, indent=2) + "\n")
    assert {file: file.read_bytes() for file in before} == before


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "run"
    refused: list[str] = []

    def watch(progress: object) -> None:
        if progress.epoch == 2:  # type: ignore[attr-defined]
            for again in (
                lambda: resume(path),
                lambda: grow(parse_spec(RUNS["adamw"]), out=path, force=True),
            ):
                with pytest.raises(
                    RunError, match=rf"another process writes this run \(process {os.getpid()}\)"
                ) as e:
                    again()
                refused.append(str(e.value))
            assert load_run(path).summary["reason"] == "not finished: 2 epochs done"

    grow(parse_spec(RUNS["adamw"]), out=path, on_progress=watch)
    assert len(refused) == 2
    grow(parse_spec(RUNS["adamw"]), out=path, force=True)


def size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_at_any_moment(whole: dict[str, Path], tmp_path: Path, number: signal.Signals) -> None:
    """Again and again, after a while that is different each time."""
    spec, path = tmp_path / "spec.yaml", tmp_path / "run"
    spec.write_text(RUNS["new paths"])
    command = [sys.executable, "-m", "gromo_graph"]
    words = ["grow", str(spec), "--out", str(path), "--seed", "5", "--device", "cpu"]
    for turn in range(5):
        written = size(path / JOURNAL)
        process = subprocess.Popen(
            [*command, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        # A moment after it has come further than before, however slow the machine is; sometimes while it begins.
        while turn % 4 and process.poll() is None and size(path / JOURNAL) <= written:
            time.sleep(0.01)
        time.sleep(1.0 if turn % 4 == 0 else 0.07 * (turn % 13))
        if turn < 4:
            process.send_signal(number)
        _, err = process.communicate(timeout=120)
        assert "Traceback" not in err or number is signal.SIGKILL
        if (path / "summary.json").is_file():
            break
        assert process.returncode in (-number, 128 + signal.SIGINT), err
        words = ["resume", str(path)] if size(path / JOURNAL) else words
    same_runs(path, whole["new paths"])
