"""Large .npz files stay on the disk, and give the same run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gromo_graph import RunError, grow, load_run
from gromo_graph.run.data import npz, raw
from gromo_graph.run.data.npz import mapped, read_npz
from gromo_graph.run.data.raw import is_mapped
from tests.run.specs import classifier
from tests.run.test_resume import told

RNG = np.random.default_rng(0)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on any file is large, and is looked at a few rows at a time."""
    monkeypatch.setattr(npz, "LARGE", 0)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.usefixtures("large")
def test_what_is_mapped_is_what_is_read(tmp_path: Path, dtype: str, order: str) -> None:
    x = np.asarray(RNG.uniform(0, 200, (30, 3, 4)).astype(dtype), order=order)  # type: ignore[call-overload]
    np.savez(tmp_path / "data.npz", other=np.zeros(3), x=x, y=np.arange(30) % 2)
    found = mapped(tmp_path / "data.npz", "x.npy")
    assert found is not None
    assert np.array_equal(found, x)
    whole, disk = raw.raw_from("a", x, None), read_npz(tmp_path / "data.npz", target=False)
    assert is_mapped(disk.x)
    assert whole.fingerprint == disk.fingerprint


def test_small_and_compressed_ones_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "small.npz", x=np.zeros((4, 2)))
    assert mapped(tmp_path / "small.npz", "x.npy") is None
    monkeypatch.setattr(npz, "LARGE", 0)
    np.savez_compressed(tmp_path / "packed.npz", x=np.zeros((4, 2)))
    assert mapped(tmp_path / "packed.npz", "x.npy") is None


def test_the_run_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = RNG.integers(0, 255, (90, 6)).astype(np.uint8)
    np.savez(tmp_path / "data.npz", x=x, y=(x.mean(axis=1) > 127).astype(int))
    for name in ("read", "mapped"):
        if name == "mapped":
            monkeypatch.setattr(npz, "LARGE", 0)
        grow(classifier(6), data=tmp_path / "data.npz", out=tmp_path / name, device="cpu")
    assert told(tmp_path / "read") == told(tmp_path / "mapped")
    run = load_run(tmp_path / "mapped")
    assert run.measure() == {
        part: pytest.approx(run.results[part]) for part in ("train", "validation", "test")
    }
    assert set(run.measure((x, np.zeros(90)))) == {"all"}


@pytest.mark.usefixtures("large")
def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x=np.array([[1.0, 2.0], [3.0, np.inf]] * 5), y=np.arange(10) % 2)
    with pytest.raises(
        RunError, match="5 values that are missing, NaN or infinite, the first in row 2, column 2"
    ):
        grow(classifier(2), data=path, device="cpu")
    path.write_bytes(path.read_bytes()[:120])
    with pytest.raises(RunError, match=r"no sound \.npz file"):
        grow(classifier(2), data=path, device="cpu")
    np.savez(path, x=np.zeros((10, 3)), y=np.arange(10) % 2)
    with pytest.raises(RunError, match=r"a sample has the shape \[3\], but the input of the spec has \[2\]"):
        grow(classifier(2), data=path, device="cpu")


_PEAK = """
import resource, sys
from gromo_graph import grow, parse_spec
spec = parse_spec(open(sys.argv[1]).read())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
grow(spec, data=sys.argv[2], device="cpu")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_the_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """200 MB of bytes would be 1.6 GB as they are standardised, and 800 MB for training."""
    samples = 50_000
    x = RNG.integers(0, 255, (samples, 4096), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(samples) % 2)
    (tmp_path / "spec.yaml").write_text("""
name: large
nodes:
  x: {kind: input, shape: [4096]}
  h: {kind: linear, from: x, features: 2, activation: relu}
  y: {kind: linear, from: h, features: 2}
output: y
growth: {statistics: {samples: 1000}, when: {until: 1.0}}
train: {epochs: 1, batch_size: 256}
""")
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(tmp_path / "spec.yaml"), str(tmp_path / "data.npz")],
        capture_output=True,
        check=True,
        text=True,
    )
    grown = int(done.stdout.split()[-1]) / 1024
    assert grown < 700, f"{grown:.0f} MiB"
