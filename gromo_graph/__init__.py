"""Neural networks that grow.

The public names are resolved when first used: importing `gromo_graph` imports neither torch nor the
drawing, so that the verbs which only read and draw answer at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gromo_graph.errors import (
        CompileError,
        GraphError,
        GromoGraphError,
        GrowthError,
        RenderError,
        RunError,
        SpecError,
    )
    from gromo_graph.graph.diff import Difference, diff
    from gromo_graph.growth import GrowthScheduler
    from gromo_graph.modules import (
        Conv1dGrowingModule,
        Conv2dGrowingModule,
        Conv2dMergeGrowingModule,
        GrowingModule,
        LinearGrowingModule,
        LinearMergeGrowingModule,
        MergeGrowingModule,
        TensorStatistic,
    )
    from gromo_graph.network import GrowingNetwork, compile_network
    from gromo_graph.records import GrowthEvent, Plan
    from gromo_graph.render import render
    from gromo_graph.run import Run, grow, load_run
    from gromo_graph.spec import Spec, check_spec, dump_spec, load_spec, parse_spec

__version__ = "0.1.0"

_HOME = {
    "CompileError": "errors",
    "Conv1dGrowingModule": "modules",
    "Conv2dGrowingModule": "modules",
    "Conv2dMergeGrowingModule": "modules",
    "Difference": "graph.diff",
    "GraphError": "errors",
    "GromoGraphError": "errors",
    "GrowingModule": "modules",
    "GrowingNetwork": "network",
    "GrowthError": "errors",
    "GrowthEvent": "records",
    "GrowthScheduler": "growth",
    "LinearGrowingModule": "modules",
    "LinearMergeGrowingModule": "modules",
    "MergeGrowingModule": "modules",
    "Plan": "records",
    "RenderError": "errors",
    "Run": "run",
    "RunError": "errors",
    "Spec": "spec",
    "SpecError": "errors",
    "TensorStatistic": "modules",
    "check_spec": "spec",
    "compile_network": "network",
    "diff": "graph.diff",
    "dump_spec": "spec",
    "grow": "run",
    "load_run": "run",
    "load_spec": "spec",
    "parse_spec": "spec",
    "render": "render",
}

__all__ = [
    "CompileError",
    "Conv1dGrowingModule",
    "Conv2dGrowingModule",
    "Conv2dMergeGrowingModule",
    "Difference",
    "GraphError",
    "GromoGraphError",
    "GrowingModule",
    "GrowingNetwork",
    "GrowthError",
    "GrowthEvent",
    "GrowthScheduler",
    "LinearGrowingModule",
    "LinearMergeGrowingModule",
    "MergeGrowingModule",
    "Plan",
    "RenderError",
    "Run",
    "RunError",
    "Spec",
    "SpecError",
    "TensorStatistic",
    "check_spec",
    "compile_network",
    "diff",
    "dump_spec",
    "grow",
    "load_run",
    "load_spec",
    "parse_spec",
    "render",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gromo_graph' has no attribute {name!r}")
    value = getattr(import_module(f"gromo_graph.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
