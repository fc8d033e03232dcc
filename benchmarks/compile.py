"""The time to check, graph and compile a large generated spec.

    python benchmarks/compile.py [--nodes 1000] [--repeat 3] [--no-network]

The targets: `check_spec` under 1 s and `compile_network` under 2 s for 1,000 nodes.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import random
import statistics
import time
from collections.abc import Callable

from gromo_graph.graph import build_graph
from gromo_graph.spec import check_spec, parse_spec


def generated(nodes: int, seed: int = 0) -> str:
    """A residual network of about `nodes` nodes with random long skips, as YAML text."""
    chance = random.Random(seed)
    lines = ["version: 1", "name: generated", "vars: {width: 8}", "nodes:", "  x: {kind: input, shape: [16]}"]
    lines.append('  stem: {kind: linear, from: x, features: "${width}", activation: relu}')
    joins = ["stem"]
    while len(lines) < nodes + 3:
        place, last = len(joins), joins[-1]
        sources = dict.fromkeys([last, f"mix{place}", chance.choice(joins)])
        lines += [
            f'  lift{place}: {{kind: linear, from: {last}, features: "${{2 * width}}", activation: relu}}',
            f'  mix{place}: {{kind: linear, from: lift{place}, features: "${{width}}", grow: {{max: 64}}}}',
            f"  join{place}: {{kind: merge, from: [{', '.join(sources)}], activation: relu}}",
        ]
        joins.append(f"join{place}")
    lines += [f"  logits: {{kind: linear, from: {joins[-1]}, features: 10}}", "output: logits"]
    return "\n".join(lines) + "\n"


def seconds(work: Callable[[], object], repeat: int) -> float:
    """The median time of `work`."""
    times = []
    for _ in range(repeat):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main() -> int:
    """Print the times; 1 where a target is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nodes", type=int, default=1000)
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--no-network", action="store_true")
    chosen = options.parse_args()
    text = generated(chosen.nodes)
    spec = parse_spec(text)
    scale = chosen.nodes / 1000
    print(f"{len(spec.nodes)} nodes, {len(text):,} characters")
    rows = [("check_spec", seconds(lambda: check_spec(text), chosen.repeat), 1.0 * scale)]
    rows.append(("build_graph, units, groups", seconds(lambda: _graph(spec), chosen.repeat), 1.0 * scale))
    if not chosen.no_network:
        from gromo_graph import compile_network

        rows.append(("compile_network", seconds(lambda: compile_network(spec), chosen.repeat), 2.0 * scale))
    for name, taken, target in rows:
        print(f"{name:28s} {taken:6.3f} s   target {target:.2f} s   {'ok' if taken < target else 'MISSED'}")
    return int(any(taken >= target for _, taken, target in rows))


def _graph(spec: object) -> object:
    graph = build_graph(spec)  # type: ignore[arg-type]
    return graph.units, graph.groups


if __name__ == "__main__":
    sys.exit(main())
