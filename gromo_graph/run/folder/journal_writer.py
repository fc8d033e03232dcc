"""Writing the journal of a run: one line for each fact, on the disk before the run goes on.

`records/journal.py` reads it. Floats are written as Python writes them, shortest form that reads back equal, so one
seed gives the same bytes but for `time`.
"""

from __future__ import annotations

import errno
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from gromo_graph.records import GrowthEvent
from gromo_graph.records.atomic_files import writing
from gromo_graph.records.histograms import Histograms
from gromo_graph.records.journal import VERSION, checksum
from gromo_graph.spec.defaults import CURRENT


class JournalWriter:
    """Appends lines to a journal; a context manager.

    Args:
        path: of the file, which may be there already.

    Attributes:
        lines: written so far.

    Raises:
        RunError: from every method, where the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0
        self._started = time.perf_counter()
        with writing(path):
            self._file = path.open("ab", buffering=0)

    def go_on_at(self, lines: int) -> None:
        """Keep so many lines of those that are there, and write behind them."""
        with writing(self.path):
            kept = b"".join(self.path.read_bytes().splitlines(keepends=True)[:lines])
            self._file.truncate(len(kept))
            os.fsync(self._file.fileno())
        self.lines = lines

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def header(self, *, name: str, seed: int, spec: str, data: Mapping[str, Any]) -> None:
        """The start of a run: name and YAML text of the spec, seed, fingerprint and sizes of the data."""
        content = {
            "type": "header",
            "version": VERSION,
            "name": name,
            "seed": seed,
            "spec": spec,
            "data": data,
            "defaults": CURRENT,
        }
        self._append(content, {"started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})

    def epoch(
        self,
        epoch: int,
        *,
        train: Mapping[str, float | None],
        validation: Mapping[str, float | None],
        parameters: int,
        madds: int,
        lr: float,
        seconds: float,
    ) -> None:
        """One epoch, as `records.journal.Epoch` describes it; measures that there are not are left out."""
        content = {
            "type": "epoch",
            "epoch": epoch,
            "train": _measured(train),
            "validation": _measured(validation),
            "parameters": parameters,
            "madds": madds,
            "lr": lr,
        }
        self._append(content, {"seconds": seconds})

    def setback(self, epoch: int, reason: str, *, again: bool) -> None:
        """An epoch in which a loss was not finite, as `records.journal.Setback` describes it."""
        self._append({"type": "setback", "epoch": epoch, "reason": reason, "again": again}, {})

    def step(self, event: GrowthEvent, histograms: Histograms = MappingProxyType({})) -> None:
        """One growth step that was tried, and the network after it in histograms, if it was applied."""
        content = event.to_dict()
        clocks = content.pop("time")
        told = {"histograms": histograms} if histograms else {}
        self._append({"type": "step", **content, **told}, clocks)

    def _append(self, content: Mapping[str, Any], clocks: Mapping[str, Any]) -> None:
        line = finite(content)
        line["time"] = {**finite(clocks), "elapsed": time.perf_counter() - self._started}
        line["checksum"] = checksum(line)
        data = json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with writing(self.path):
            if not os.fstat(self._file.fileno()).st_nlink:  # or lines would go into a file that nobody sees
                raise FileNotFoundError(errno.ENOENT, "it was removed while the run goes on", str(self.path))
            self._file.write(data)
            os.fsync(self._file.fileno())
        self.lines += 1


def finite(value: Any) -> Any:
    """A copy in which every float that JSON cannot hold (NaN, ±inf) is null.

    >>> finite({"loss": float("inf"), "steps": (1, 2.5)})
    {'loss': None, 'steps': [1, 2.5]}
    """
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _measured(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}
