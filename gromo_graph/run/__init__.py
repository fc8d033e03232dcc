"""Training with growth: data, the loop, the run folder.

The names are resolved when first used: run folders can be read without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gromo_graph.run.entry_points import branch, grow, replay, resume
    from gromo_graph.run.epoch_progress import Progress
    from gromo_graph.run.folder.load_run import load_run
    from gromo_graph.run.run import Run
    from gromo_graph.run.smallest_network import Picked, pick

_HOME = {
    "Picked": "smallest_network",
    "Progress": "epoch_progress",
    "Run": "run",
    "branch": "entry_points",
    "grow": "entry_points",
    "load_run": "folder.load_run",
    "pick": "smallest_network",
    "replay": "entry_points",
    "resume": "entry_points",
}

__all__ = ["Picked", "Progress", "Run", "branch", "grow", "load_run", "pick", "replay", "resume"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gromo_graph.run' has no attribute {name!r}")
    return getattr(import_module(f"gromo_graph.run.{_HOME[name]}"), name)
