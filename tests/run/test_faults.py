"""Faults under a run: a full disk, a folder that is taken away, files that somebody damaged."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from gromo_graph import GromoGraphError, grow, load_run, parse_spec, resume
from gromo_graph.errors import RunError
from gromo_graph.run.folder.checkpoint import checkpoints
from gromo_graph.run.run import Run
from tests.run.killing import killed
from tests.run.test_resume import broken_off, mlp, same_runs

TEXT = mlp()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "run"
    grow(parse_spec(TEXT), out=path, seed=5, device="cpu")
    return path


@pytest.mark.parametrize("after", [0, 3, 7, 20, 33])
def test_a_full_disk_ends_the_run_in_words_and_it_goes_on(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Whatever is being written when there is no space left: journal, weights, drawing or checkpoint."""
    real, calls = os.fsync, [0]

    def full(descriptor: int) -> None:
        calls[0] += 1
        if calls[0] > 16 + after:  # the first ones make the folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(RunError, match=r"cannot be written: No space left on device; free some space"):
            grow(parse_spec(TEXT), out=tmp_path / "run", seed=5, device="cpu")
    assert load_run(tmp_path / "run").summary["reason"].startswith("not finished")
    resume(tmp_path / "run")
    same_runs(tmp_path / "run", whole)


def _removed(path: Path) -> None:
    shutil.rmtree(path)


def _without_journal(path: Path) -> None:
    (path / "journal.jsonl").unlink()


@pytest.mark.parametrize("damage", [_removed, _without_journal])
def test_what_is_taken_away_under_a_run_is_told(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    seen = []

    def watch(progress: object) -> None:
        seen.append(progress)
        if progress.epoch == 3:  # type: ignore[attr-defined]
            damage(tmp_path / "run")

    with pytest.raises(RunError, match=r"it was removed while the run goes on|No such file or directory"):
        grow(parse_spec(mlp("{when: {until: 0.01}}")), out=tmp_path / "run", device="cpu", on_progress=watch)
    assert len(seen) == 3  # not only at the end


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("broken") / "run"
    broken_off(TEXT, path, 5)
    assert checkpoints(path)
    return path


def _cut(data: bytes, random: random.Random) -> bytes:
    return data[: random.randrange(len(data))]


def _changed(data: bytes, random: random.Random) -> bytes:
    place = random.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]


def _mixed(data: bytes, random: random.Random) -> bytes:
    start = random.randrange(len(data))
    return data[:start] + random.randbytes(20) + data[start + 20 :]


def _emptied(data: bytes, random: random.Random) -> bytes:
    return b""


def _refused(read: Callable[[Path], object], path: Path) -> str | None:
    """The message if a folder is not read."""
    try:
        read(path)
    except GromoGraphError as error:
        return str(error)
    return None


def _damage(path: Path, names: list[str], dice: random.Random) -> None:
    """Cut, flip, overwrite or empty a file, take it away, or put two in each other's places."""
    for name in dice.sample(names, dice.choice([1, 1, 2])):
        file = path / name
        what = dice.random()
        if what < 0.1:
            file.unlink(missing_ok=True)
        elif what < 0.2:
            other = path / dice.choice([each for each in names if each != name])
            if file.exists() and other.exists():
                content = file.read_bytes()
                file.write_bytes(other.read_bytes())
                other.write_bytes(content)
        elif file.exists() and file.stat().st_size:
            file.write_bytes(dice.choice([_cut, _changed, _mixed, _emptied])(file.read_bytes(), dice))


def _state(run: Run) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in run.network.state_dict().values()]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*going on from the one before")
def test_many_damaged_folders(broken: Path, whole: Path, tmp_path: Path) -> None:
    """Each is read and resumed to the bit, or refused in words: nothing else is raised, and no weights are wrong."""
    dice = random.Random(0)
    files = [path for path in broken.rglob("*") if path.is_file() and path.stat().st_size]
    names = sorted(str(path.relative_to(broken)) for path in files)
    held, over = load_run(broken), load_run(whole)
    read = resumed = refused = 0
    for number in range(80):
        path = tmp_path / str(number)
        shutil.copytree(broken, path)
        _damage(path, names, dice)
        found, said = _tried(load_run, path)
        assert said is None or str(path) in said or "data" in said
        if found is not None:
            read += 1
            assert _state(found) == _state(held)
            assert found.preparation == held.preparation
        found, said = _tried(partial(resume, device="cpu"), path)
        refused += found is None
        if found is not None:
            resumed += 1
            assert _state(found) == _state(over)
            assert [event.to_dict() | {"time": 0} for event in found.events] == [
                event.to_dict() | {"time": 0} for event in over.events
            ]
        shutil.rmtree(path)
    assert min(read, resumed, refused) > 8


def _tried(do: Callable[[Path], Run], path: Path) -> tuple[Run | None, str | None]:
    """The content of a folder, or the message if it is not read."""
    try:
        return do(path), None
    except GromoGraphError as error:
        return None, str(error)


@pytest.mark.slow
def test_killed_while_it_writes(whole: Path, tmp_path: Path) -> None:
    """Thirty times, at another write each time; between them the run gets only as far as that."""
    (tmp_path / "spec.yaml").write_text(TEXT)
    words = ["grow", "spec.yaml", "--out", "run", "--seed", "5", "--device", "cpu", "-q"]
    run, dice = tmp_path / "run", random.Random(1)
    for turn in range(31):
        at = 10**9 if turn == 30 else dice.randrange(1, 14 if turn % 3 else 40)
        killed(tmp_path, at, *words, everywhere=False)
        if (run / "summary.json").is_file():
            break
        if (run / "journal.jsonl").is_file() and (run / "journal.jsonl").stat().st_size:
            words = ["resume", "run", "-q"]
    else:
        pytest.fail("it never came to its end")
    same_runs(run, whole)


@pytest.mark.slow
def test_a_hundred_growth_steps_leave_nothing_behind(tmp_path: Path) -> None:
    """Grown, undone and grown again, the process does not get larger."""
    script = """
import ctypes, gc
from pathlib import Path
import torch
from gromo_graph import GrowthScheduler, compile_network, parse_spec

network = compile_network(parse_spec(Path("spec.yaml").read_text()), seed=0)
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
x = torch.randn(128, 64, generator=torch.Generator().manual_seed(0))
loader = [(part, part[:, :10].argmax(dim=1)) for part in x.split(64)]
scheduler = GrowthScheduler(
    network, torch.nn.functional.cross_entropy, optimizer=optimizer, epochs=10_000, policy={"when": {"every": 1}}
)

class Allocated(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

mallinfo = ctypes.CDLL("libc.so.6").mallinfo2
mallinfo.restype = Allocated

def measured():  # bytes in use, whatever the allocator keeps beside them
    gc.collect()
    found = mallinfo()
    tensors = sum(type(each) in (torch.Tensor, torch.nn.Parameter) for each in gc.get_objects())
    return tensors, found.uordblks + found.hblkhd

for step in range(120):
    for part, target in loader:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(part), target).backward()
        optimizer.step()
    assert scheduler.step(loader, loader) is not None
    scheduler.undo()
    if step == 19:
        before = measured()
after = measured()
print(after[0] - before[0], after[1] - before[1])
"""
    (tmp_path / "spec.yaml").write_text("""
nodes:
  x: {kind: input, shape: [64]}
  a: {kind: linear, from: x, features: 40, activation: relu}
  b: {kind: linear, from: a, features: 40, activation: relu}
  y: {kind: linear, from: b, features: 10}
output: y
growth: {actions: [widen, new_edge, new_node], when: {until: 1.0}}
""")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=280
    )
    more_tensors, more_bytes = map(int, done.stdout.split())
    assert more_tensors <= 0
    assert more_bytes < 2_000_000
