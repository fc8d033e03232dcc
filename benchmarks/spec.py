"""The time to read and check a large spec, flat and with blocks, beside libyaml's own parsing of it.

    python benchmarks/spec.py [--nodes 10000] [--repeat 3]

The target: under 5 s for 10,000 nodes.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse

import yaml

from benchmarks.compile import generated, seconds
from gromo_graph.spec import check_spec, parse_spec

LIMIT = 5.0


def blocks(nodes: int) -> str:
    """A residual network of about so many nodes, one block repeated."""
    return f"""
blocks:
  residual:
    params: {{width: 8}}
    inputs: [x]
    nodes:
      lift: {{kind: linear, from: x, features: "${{2 * width}}", activation: relu}}
      mix:  {{kind: linear, from: lift, features: "${{width}}"}}
      join: {{kind: merge, from: [x, mix], activation: relu}}
    output: join
nodes:
  x: {{kind: input, shape: [16]}}
  stem: {{kind: linear, from: x, features: 8}}
  body: {{use: residual, from: stem, repeat: {nodes // 3}}}
  logits: {{kind: linear, from: body, features: 10}}
output: logits
"""


def _parse(text: str) -> None:
    for _ in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        pass


def main() -> int:
    """Print the times; 1 where the target is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nodes", type=int, default=10_000)
    options.add_argument("--repeat", type=int, default=3)
    chosen = options.parse_args()
    missed = False
    for name, text in (("flat", generated(chosen.nodes)), ("blocks", blocks(chosen.nodes))):
        nodes = len(parse_spec(text).nodes)
        parsing = seconds(lambda text=text: _parse(text), chosen.repeat)
        taken = seconds(lambda text=text: check_spec(text), chosen.repeat)
        limit = LIMIT * nodes / 10_000
        missed |= taken >= limit
        print(
            f"{name:7s} {nodes:6d} nodes, {len(text):9,} characters   check_spec {taken:6.2f} s   target {limit:.1f} s "
            f"{'ok' if taken < limit else 'MISSED'}   libyaml's events alone {parsing:.2f} s"
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
