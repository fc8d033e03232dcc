"""Several processes make one run: sums are exact, decisions one, and a process that dies ends the others."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gromo_graph import load_run
from gromo_graph.growth.process_sums import Processes
from gromo_graph.run.data.samples import Part
from gromo_graph.run.data.tensor_loader import TensorLoader
from tests.run.together import attending, grown

ROOT = Path(__file__).parents[2]
SPEC = """
name: shared
nodes:
  x: {kind: input, shape: [64]}
  h: {kind: linear, from: x, features: 2, activation: relu}
  d: {kind: dropout, from: h, p: 0.1}
  y: {kind: linear, from: d, features: 10}
output: y
growth: {when: {until: 0.5}, stop: {steps: 5}}
train: {data: digits, epochs: 12}
"""


def launched(*arguments: str, processes: int = 2) -> list[str]:
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(processes), *arguments),
    ]


def together(task: str, folder: Path) -> list[dict[str, Any]]:
    """The results of two processes."""
    file = folder / "found"
    command = launched("-m", "tests.run.together", task, str(file))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(Path(f"{file}.{rank}").read_text(encoding="utf-8")) for rank in (0, 1)]


def test_shares_are_the_batch() -> None:
    part = Part(torch.arange(11.0)[:, None], torch.arange(11))
    whole = TensorLoader(part, 4, seed=1)
    own = [TensorLoader(part, 4, seed=1, share=(rank, 3)) for rank in range(3)]
    assert sorted(int(y) for loader in own for _, ys in loader for y in ys) == list(range(11))
    for (x, _), *parts in zip(whole, *(loader.weighted() for loader in own), strict=True):
        mean = sum(weight * float(share.mean()) for share, _, weight, _ in parts) / 3
        assert mean == pytest.approx(float(x.mean()))


def test_one_alone_gives_back_what_it_gets() -> None:
    alone = Processes.current()
    tensor = torch.ones(3)
    alone.add_up([tensor])
    assert (alone.rank, alone.count, alone.totals(2.0, 3.0), alone.any(False)) == (0, 1, (2.0, 3.0), False)
    assert torch.equal(tensor, torch.ones(3))
    with pytest.raises(ValueError, match="mine"), alone.together():
        raise ValueError("mine")


@pytest.mark.slow
def test_messages_between_two(tmp_path: Path) -> None:
    first, second = together("exchanged", tmp_path)
    for found in (first, second):
        assert found["sums"] == [[3.0] * 35, [3] * 3, [2.0] * 4, []]
        assert found["shared"] == [[[0.0, 0.0]], "text", 0]
        assert found["any"] == [True, False]
        assert found["order"] == [2, 0, 1]
        assert found["number"] == 0.25
    other = "another process of the run has failed: its own message says why"
    assert first["failures"] == ["this one", other]
    assert second["failures"] == [other, "this one"]


@pytest.mark.slow
@pytest.mark.parametrize("task", [grown, attending])
def test_two_processes_decide_as_one(tmp_path: Path, task: Callable[[Processes], dict[str, object]]) -> None:
    alone: Any = task(Processes())
    both: Any = together(task.__name__, tmp_path)
    assert both[0] == both[1]
    found = both[0]
    assert [step["what"] for step in found["told"]] == [step["what"] for step in alone["told"]]
    assert all(step["what"] is not None for step in alone["told"])
    for key in ("gamma", "before", "after"):
        assert [s[key] for s in found["told"]] == pytest.approx([s[key] for s in alone["told"]], rel=1e-6)
    for plan, own in zip(found["plans"], alone["plans"], strict=True):
        assert plan["samples"] == own["samples"] == 101
        assert plan["order"] == own["order"]
        for name, slope in own["slopes"].items():
            found_slope = plan["slopes"][name]
            assert (found_slope is None) == (slope is None)
            assert slope is None or found_slope == pytest.approx(slope, rel=1e-6, abs=1e-12)
    for weights, own in zip(found["weights"], alone["weights"], strict=True):
        assert weights == pytest.approx(own, rel=1e-6, abs=1e-9)


@pytest.mark.slow
def test_a_process_without_samples_is_told(tmp_path: Path) -> None:
    first, second = together("shares", tmp_path)
    assert "another process of the run has failed" in first["error"]
    assert "the loader gave no batch" in second["error"]


@pytest.mark.slow
def test_too_little_memory_in_one_leaves_the_step_out_in_all(tmp_path: Path) -> None:
    first, second = together("starved", tmp_path)
    assert [done for done, _ in first["told"]] == [done for done, _ in second["told"]] == [False, True]
    for found in (first, second):
        assert found["told"][0][1].startswith("the statistics do not fit into memory: ")


@pytest.mark.slow
def test_a_loss_that_is_not_finite_in_one_stops_all(tmp_path: Path) -> None:
    first, second = together("diverged", tmp_path)
    assert "the training loss is nan in epoch 4, batch 6" in first["error"]
    assert "not finite in epoch 4" in second["error"] or "is nan in epoch 4, batch 7" in second["error"]


@pytest.mark.slow
def test_a_run_of_two_is_a_run(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        SPEC.replace("p: 0.1", "p: 0.0"), encoding="utf-8"
    )  # of dropout each process draws its own
    for count in (1, 2):
        command = launched(
            "-m",
            "gromo_graph",
            "grow",
            str(spec),
            "-o",
            str(tmp_path / f"r{count}"),
            "--json",
            processes=count,
        )
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 1  # one process speaks
    one, two = (load_run(tmp_path / f"r{count}") for count in (1, 2))
    assert one.summary["steps"] > 1
    for part in ("validation", "test"):
        assert two.summary[part]["accuracy"] == pytest.approx(one.summary[part]["accuracy"], abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("killed", "then"), [(1, 1), (0, 2)])
def test_one_that_dies_ends_the_others_and_the_run_goes_on(tmp_path: Path, killed: int, then: int) -> None:
    spec, run = tmp_path / "spec.yaml", tmp_path / "run"
    spec.write_text(SPEC.replace("epochs: 12", "epochs: 150"), encoding="utf-8")
    command = launched("-m", "gromo_graph", "grow", str(spec), "-o", str(run))
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            os.kill(worker(process.pid, killed, run), signal.SIGKILL)
            _, told = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode != 0
    if killed:
        assert "another process of the run has ended" in told or "interrupted" in told
    assert not traceback_of_ours(told)
    command = launched("-m", "gromo_graph", "resume", str(run), "--json", processes=then)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] > 1


def traceback_of_ours(told: str) -> list[str]:
    """Lines of tracebacks through this package; the launcher prints one of its own."""
    return [line for line in told.splitlines() if "/gromo_graph/" in line and "File " in line]


@pytest.mark.slow
def test_kills_at_any_moment_are_told_without_a_traceback(tmp_path: Path) -> None:
    """Three kills: of the first and of both others, in training, in a growth step or while it is wrapped anew."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.replace("epochs: 12", "epochs: 150"), encoding="utf-8")
    draws = random.Random(7)
    for number in range(3):
        run = tmp_path / f"run{number}"
        command = launched("-m", "gromo_graph", "grow", str(spec), "-o", str(run), processes=3)
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            try:
                there = worker(process.pid, number % 3, run)
                time.sleep(draws.uniform(0.0, 3.0))
                os.kill(there, signal.SIGKILL)
                _, told = process.communicate(timeout=120)
            finally:
                process.kill()
        assert process.returncode != 0
        assert not traceback_of_ours(told), told
        assert "another process of the run has ended" in told or "interrupted" in told


def worker(launcher: int, rank: int, run: Path) -> int:
    """The process of a rank, once the run has grown and has a checkpoint."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if any((run / "checkpoints").glob("*.safetensors")):
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    environment = (folder / "environ").read_bytes().split(b"\0")
                    status = (folder / "status").read_text()
                except OSError:
                    continue
                if f"RANK={rank}".encode() in environment and f"PPid:\t{launcher}\n" in status:
                    return int(folder.name)
        time.sleep(0.1)
    raise AssertionError("the run never had a checkpoint")


@pytest.mark.slow
def test_three_with_uneven_shares_are_a_run(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    text = SPEC.replace("p: 0.1", "p: 0.0").replace("epochs: 12", "epochs: 4, batch_size: 25")
    spec.write_text(text, encoding="utf-8")
    for count in (1, 3):
        done = _grown(spec, tmp_path / f"r{count}", processes=count)
        assert done.returncode == 0, done.stderr
    one, three = (load_run(tmp_path / f"r{count}") for count in (1, 3))
    assert one.summary["steps"] >= 1
    assert [event.decision for event in three.events] == [event.decision for event in one.events]
    assert three.summary["validation"]["loss"] == pytest.approx(one.summary["validation"]["loss"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("batch_size: 2", "train.batch_size is 2 for 3 processes: expected at least one"),
        ("batch_size: 5", "the train part has 2 samples for 3 processes: start fewer"),
    ],
)
def test_fewer_samples_than_processes_are_told(tmp_path: Path, change: str, message: str) -> None:
    (tmp_path / "few.csv").write_text("a,target\n" + "".join(f"{row}.5,{row % 2}\n" for row in range(6)))
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "nodes: {x: {kind: input, shape: [1]}, y: {kind: linear, from: x, features: 2}}\noutput: y\n"
        f"train: {{data: few.csv, epochs: 2, {change}}}\n"
    )
    done = _grown(spec, tmp_path / "run", processes=3)
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / "run").exists()


def _grown(spec: Path, out: Path, *, processes: int) -> subprocess.CompletedProcess[str]:
    command = launched("-m", "gromo_graph", "grow", str(spec), "-o", str(out), "--json", processes=processes)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
