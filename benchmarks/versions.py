"""CPU time of today's code beside that of an older commit, in one run, on one thread.

    python benchmarks/versions.py [--old 5e76fec] [--rounds 9] [--only plan solve]

Each version works in a process of its own; they take turns, so that a busy machine slows both. The least time of the
rounds counts. The target: nothing is slower than release 0.1 by more than 5 %.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The package comes from PYTHONPATH, today's or the older one; the benchmarks are today's.
sys.path = [place for place in sys.path if Path(place) != ROOT / "benchmarks"]
sys.path.insert(1, str(ROOT))

import argparse
import gc
import importlib
import os
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

RELEASE, TARGET = "5e76fec", 1.05
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

Work = Callable[[], object]
Prepare = Callable[[], Work]
"""Makes the next round's work, which alone is timed."""


def statistics(case: str) -> Prepare:
    """Forward, backward and the statistics of one batch."""
    from benchmarks.statistics import ours

    work = ours(case)
    return lambda: work


def solve(width: int) -> Prepare:
    """Delta and 32 new neurons of a layer."""
    from benchmarks.solve import ours, solving

    work = solving(ours, width, 32)
    return lambda: work


def growth_step(hidden: int) -> Prepare:
    """A whole step of the scheduler, with new edges, new nodes and wider layers as candidates."""
    from benchmarks.growth_step import digits, trained

    data = digits()
    return lambda: partial(trained(hidden, data).step, data.train, data.held_out)


def plan(nodes: int) -> Prepare:
    """One pass of statistics and the slopes of all candidates; with the defaults of release 0.1."""
    from benchmarks.growth_step import planner
    from gromo_graph.spec.settings import Growth, When

    scheduler, data = planner(nodes, Growth(when=When(every=1)))
    return lambda: partial(scheduler.plan, data)


def checking(nodes: int) -> Prepare:
    """Reading and checking a flat spec."""
    from benchmarks.compile import generated
    from gromo_graph.spec import check_spec

    text = generated(nodes)
    return lambda: partial(check_spec, text)


def blocks(nodes: int) -> Prepare:
    """Reading and checking a spec with a repeated block."""
    from benchmarks import spec
    from gromo_graph.spec import check_spec

    text = spec.blocks(nodes)
    return lambda: partial(check_spec, text)


def graph(nodes: int) -> Prepare:
    """The graph of a spec and its width groups."""
    from benchmarks.compile import generated
    from gromo_graph.graph import build_graph
    from gromo_graph.spec import parse_spec

    spec = parse_spec(generated(nodes))
    return lambda: lambda: build_graph(spec).groups


def compile_(nodes: int) -> Prepare:
    """A network of a spec."""
    from benchmarks.compile import generated
    from gromo_graph import compile_network, parse_spec

    spec = parse_spec(generated(nodes))
    return lambda: partial(compile_network, spec)


def cold_start() -> Prepare:
    """`gromo-graph render` on ten nodes, in a process of its own."""
    from benchmarks.cold_start import SPEC

    folder = Path(tempfile.mkdtemp())
    (folder / "ten.yaml").write_text(SPEC)
    command = [sys.executable, "-P", "-m", "gromo_graph", "render", "ten.yaml", "-o", "ten.svg"]
    return lambda: partial(subprocess.run, command, cwd=folder, check=True, capture_output=True)


CASES: dict[str, Callable[[], Prepare]] = {
    "statistics, MLP": partial(statistics, "mlp"),
    "statistics, convolutions, centre": partial(statistics, "conv centre"),
    "statistics, convolutions, full": partial(statistics, "conv full"),
    "solve, width 128": partial(solve, 128),
    "solve, width 1024": partial(solve, 1024),
    "growth_step, 8 hidden nodes": partial(growth_step, 8),
    "growth_step, 16 hidden nodes": partial(growth_step, 16),
    "plan, 125 nodes": partial(plan, 125),
    "compile, check 1,000 nodes": partial(checking, 1000),
    "compile, graph of 1,000 nodes": partial(graph, 1000),
    "compile, network of 1,000 nodes": partial(compile_, 1000),
    "spec, flat, 10,000 nodes": partial(checking, 10_000),
    "spec, blocks, 10,000 nodes": partial(blocks, 10_000),
    "cold_start, render": cold_start,
}


def serve(case: str) -> None:
    """Time one round of a case for each line read, and print its CPU seconds."""
    importlib.import_module("gromo_graph")  # before the benchmarks put their own root first
    prepare = CASES[case]()
    for _ in sys.stdin:
        work = prepare()
        gc.collect()  # what the rounds before left
        begin = _cpu()
        work()
        print(_cpu() - begin, flush=True)


def _cpu() -> float:
    """CPU seconds of this process and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


@contextmanager
def server(tree: Path, case: str) -> Iterator[Callable[[], float]]:
    """A process that times a case with the package of a tree: a function that runs one round."""
    environment = os.environ | {"PYTHONPATH": str(tree)} | dict.fromkeys(THREADS, "1")
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages are compiled
    command = [sys.executable, "-W", "ignore", __file__, "--serve", case]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        write, read = process.stdin, process.stdout

        def once() -> float:
            write.write("\n")
            write.flush()
            return float(read.readline())

        yield once


def compared(case: str, old: Path, rounds: int) -> float:
    """Print a line for a case: its least times, and today's divided by the older one, which is returned."""
    with server(old, case) as before, server(ROOT, case) as today:
        before(), today()  # the first round imports and warms up
        pairs = [(before(), today()) for _ in range(rounds)]
    first, second = (min(times) for times in zip(*pairs, strict=True))
    ratio = second / first
    print(
        f"{case:34s} {first * 1e3:9.1f} ms {second * 1e3:9.1f} ms   {ratio:5.2f}   "
        f"{'ok' if ratio <= TARGET else 'MISSED'}",
        flush=True,
    )
    return ratio


def main() -> int:
    """Print the table; 1 if a target is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--old", default=RELEASE, help="the older commit")
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--only", nargs="*", default=[""], help="beginnings of the names of cases")
    options.add_argument("--serve", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.serve:
        serve(chosen.serve)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "archive", chosen.old, "gromo_graph"], cwd=ROOT, check=True, capture_output=True
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        print(f"{'CPU time of one thread, least of the rounds':34s} {chosen.old:>6s}        today   ratio")
        ratios = [
            compared(case, Path(folder), chosen.rounds)
            for case in CASES
            if case.startswith(tuple(chosen.only))
        ]
    return int(any(ratio > TARGET for ratio in ratios))


if __name__ == "__main__":
    sys.exit(main())
