"""Time of `gromo-graph render` on a ten-node spec from a cold start, beside starting Python and importing networkx."""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import subprocess
import tempfile
import time
from statistics import median

NODES = "".join(
    f"  h{i}: {{kind: linear, from: {'x' if i == 1 else f'h{i - 1}'}, features: 8, activation: relu}}\n"
    for i in range(1, 9)
)
SPEC = f"""\
name: ten
nodes:
  x: {{kind: input, shape: [16]}}
{NODES}  y: {{kind: linear, from: h8, features: 3}}
output: y
"""


def seconds(*command: str) -> float:
    """Wall time of a process of its own."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Medians of interleaved starts."""
    with tempfile.TemporaryDirectory() as folder:
        spec, picture = Path(folder) / "ten.yaml", Path(folder) / "ten.svg"
        spec.write_text(SPEC)
        commands = {
            "python -c pass": (sys.executable, "-c", "pass"),
            "import networkx, pydantic": (sys.executable, "-c", "import networkx, pydantic"),
            "gromo-graph render": (
                sys.executable,
                "-m",
                "gromo_graph",
                "render",
                str(spec),
                "-o",
                str(picture),
            ),
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(9):
            for name, command in commands.items():
                times[name].append(seconds(*command))
    for name, measured in times.items():
        print(f"{name:26s} {median(measured):6.3f} s   best {min(measured):6.3f} s")
    print("target                      0.700 s")


if __name__ == "__main__":
    main()
