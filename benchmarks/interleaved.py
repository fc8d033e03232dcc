"""Comparing pieces of work in one run: times in turn, so that what slows the machine slows all of them; peak memory."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

Work = Callable[[], object]


@dataclass(frozen=True)
class Timed:
    """Medians over the rounds.

    Attributes:
        seconds: of the work itself. ratio: to the work that it is compared with, round by round.
    """

    seconds: float
    ratio: float


def timed(works: Mapping[str, Work], *, to: str, rounds: int) -> dict[str, Timed]:
    """Time pieces of work in turn, after one round that does not count.

    Args:
        works: by name. to: the one that the ratios are to. rounds: how many.
    """
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            begin = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - begin)
    return {
        name: Timed(median(taken), median(a / b for a, b in zip(taken, times[to], strict=True)))
        for name, taken in times.items()
    }


def peak_memory(make: Callable[..., Work], *arguments: object) -> float:
    """Bytes that a piece of work needs at its peak beyond what was there before, in a process of its own.

    Args:
        make: prepares the work; a function of a module. arguments: for it.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (make, arguments))


def _peak(make: Callable[..., Work], arguments: tuple[object, ...]) -> float:
    work = make(*arguments)
    before = _resident()
    for _ in range(3):
        work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0 - before


def _resident() -> float:
    """Bytes in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * float(resource.getpagesize())


ABOUT = "medians over the rounds, ratios round by round; `at most` and `at least` are the targets"
"""A note on the figures."""


def warn_if_busy() -> None:
    """Say so if other work would show in the figures."""
    busy, cores = os.getloadavg()[0], os.cpu_count() or 1
    if busy > 0.5 * cores:
        print(f"the machine is busy (load {busy:.1f} on {cores} cores): expect figures that say little")


def verdict(found: float, target: float) -> str:
    """The verdict on a ratio that should be at most its target, in words."""
    told = f" ({found:.3f})" if abs(found / target - 1.0) < 0.02 else ""  # where two digits would hide it
    return f"at most {target:g}: {'ok' if found <= target else 'MISSED'}{told}"
