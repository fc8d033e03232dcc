"""How long a plan of growth takes on generated graphs: statistics, solving and slopes of all candidates.

    python benchmarks/growth_step.py [--nodes 60 125 250 500]

The target: 500 nodes in under 10 s. The graph is that of benchmarks/compile.py: a residual stream of a third of its
nodes with random long skips, which grows together, and a layer of its own in each branch.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import time

import torch

from benchmarks.compile import generated
from benchmarks.interleaved import warn_if_busy
from gromo_graph import GrowthScheduler, compile_network, parse_spec

SAMPLES, BATCH, LIMIT = 512, 64, 10.0


def planned(nodes: int) -> tuple[int, int, float]:
    """Nodes, candidates that can be applied, and seconds of the second plan (the first one warms up)."""
    network = compile_network(parse_spec(generated(nodes)), seed=0)
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(SAMPLES, size, generator=generator) for size in (16, 10))
    data = list(zip(x.split(BATCH), y.split(BATCH), strict=True))
    scheduler = GrowthScheduler(network, torch.nn.functional.mse_loss)
    scheduler.plan(data[:1])
    begin = time.perf_counter()
    plan = scheduler.plan(data)
    taken = time.perf_counter() - begin
    return len(network.spec.nodes), sum(c.reason is None for c in plan.candidates), taken


def main() -> int:
    """Print a line for each size; 1 where 500 nodes take too long."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--nodes", type=int, nargs="+", default=[60, 125, 250, 500])
    chosen = options.parse_args()
    warn_if_busy()
    kept = True
    for wanted in chosen.nodes:
        nodes, candidates, taken = planned(wanted)
        limit = LIMIT * wanted / 500
        kept = kept and (wanted != 500 or taken < limit)
        verdict = "" if wanted != 500 else f"   under {limit:g} s: {'ok' if taken < limit else 'MISSED'}"
        print(
            f"{nodes:5d} nodes, {candidates:4d} candidates   {taken:7.2f} s   {1e3 * taken / candidates:6.1f} ms each"
            f"{verdict}"
        )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
