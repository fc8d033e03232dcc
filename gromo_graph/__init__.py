"""Neural networks that grow.

The public names are resolved when first used: importing `gromo_graph` imports neither torch nor the
drawing, so that the verbs which only read and draw answer at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gromo_graph.environment import VERSION

if TYPE_CHECKING:
    from gromo_graph.errors import (
        ArgumentError,
        CompileError,
        GraphError,
        GromoGraphError,
        GrowthError,
        NotFiniteError,
        RenderError,
        RunError,
        SpecError,
        TorchImportError,
    )
    from gromo_graph.graph.diff import Difference, diff
    from gromo_graph.graph.edits import (
        AddAdapter,
        AddEdge,
        AddNode,
        DuplicateBlock,
        Edits,
        InsertBetween,
        RemoveEdge,
        RemoveNode,
        RenameNode,
        ReplaceLayer,
        SetFeatures,
        SetOptions,
        SetOutput,
        SetSection,
        WidenOutputs,
    )
    from gromo_graph.growth import GrowthScheduler
    from gromo_graph.interop import export, from_torch
    from gromo_graph.interop.estimators import GrowingClassifier, GrowingRegressor
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
    from gromo_graph.network.transaction import edit
    from gromo_graph.records import Candidate, GrowthEvent, Plan, Size
    from gromo_graph.render import render, render_steps
    from gromo_graph.run import Picked, Progress, Run, branch, grow, load_run, pick, replay, resume
    from gromo_graph.run.experiment_trackers import MLflowWriter, WandbWriter
    from gromo_graph.run.tensorboard import TensorBoardWriter
    from gromo_graph.spec import Spec, check_spec, dump_spec, load_spec, parse_spec
    from gromo_graph.spec.kinds.kind_registry import register_kind
    from gromo_graph.spec.optimizer_settings import Optimizer
    from gromo_graph.spec.settings import Edges, Growth, Neurons, Statistics, Stop, When
    from gromo_graph.spec.text.author_file import write_back
    from gromo_graph.spec.train_settings import Train

__version__ = VERSION

_HOME = {
    "AddAdapter": "graph.edits",
    "AddEdge": "graph.edits",
    "AddNode": "graph.edits",
    "ArgumentError": "errors",
    "Candidate": "records",
    "CompileError": "errors",
    "Conv1dGrowingModule": "modules",
    "Conv2dGrowingModule": "modules",
    "Conv2dMergeGrowingModule": "modules",
    "Difference": "graph.diff",
    "DuplicateBlock": "graph.edits",
    "Edges": "spec.settings",
    "Edits": "graph.edits",
    "GraphError": "errors",
    "GromoGraphError": "errors",
    "GrowingClassifier": "interop.estimators",
    "GrowingModule": "modules",
    "GrowingNetwork": "network",
    "GrowingRegressor": "interop.estimators",
    "Growth": "spec.settings",
    "GrowthError": "errors",
    "GrowthEvent": "records",
    "GrowthScheduler": "growth",
    "InsertBetween": "graph.edits",
    "LinearGrowingModule": "modules",
    "LinearMergeGrowingModule": "modules",
    "MLflowWriter": "run.experiment_trackers",
    "MergeGrowingModule": "modules",
    "Neurons": "spec.settings",
    "NotFiniteError": "errors",
    "Optimizer": "spec.train_settings",
    "Picked": "run",
    "Plan": "records",
    "Progress": "run",
    "RemoveEdge": "graph.edits",
    "RemoveNode": "graph.edits",
    "RenameNode": "graph.edits",
    "RenderError": "errors",
    "ReplaceLayer": "graph.edits",
    "Run": "run",
    "RunError": "errors",
    "SetFeatures": "graph.edits",
    "SetOptions": "graph.edits",
    "SetOutput": "graph.edits",
    "SetSection": "graph.edits",
    "Size": "records",
    "Spec": "spec",
    "SpecError": "errors",
    "Statistics": "spec.settings",
    "Stop": "spec.settings",
    "TensorBoardWriter": "run.tensorboard",
    "TensorStatistic": "modules",
    "TorchImportError": "errors",
    "Train": "spec.train_settings",
    "WandbWriter": "run.experiment_trackers",
    "When": "spec.settings",
    "WidenOutputs": "graph.edits",
    "branch": "run",
    "check_spec": "spec",
    "compile_network": "network",
    "diff": "graph.diff",
    "dump_spec": "spec",
    "edit": "network.transaction",
    "export": "interop",
    "from_torch": "interop",
    "grow": "run",
    "load_run": "run",
    "load_spec": "spec",
    "parse_spec": "spec",
    "pick": "run",
    "register_kind": "spec.kinds.kind_registry",
    "render": "render",
    "render_steps": "render",
    "replay": "run",
    "resume": "run",
    "write_back": "spec.text.author_file",
}

__all__ = [
    "AddAdapter",
    "AddEdge",
    "AddNode",
    "ArgumentError",
    "Candidate",
    "CompileError",
    "Conv1dGrowingModule",
    "Conv2dGrowingModule",
    "Conv2dMergeGrowingModule",
    "Difference",
    "DuplicateBlock",
    "Edges",
    "Edits",
    "GraphError",
    "GromoGraphError",
    "GrowingClassifier",
    "GrowingModule",
    "GrowingNetwork",
    "GrowingRegressor",
    "Growth",
    "GrowthError",
    "GrowthEvent",
    "GrowthScheduler",
    "InsertBetween",
    "LinearGrowingModule",
    "LinearMergeGrowingModule",
    "MLflowWriter",
    "MergeGrowingModule",
    "Neurons",
    "NotFiniteError",
    "Optimizer",
    "Picked",
    "Plan",
    "Progress",
    "RemoveEdge",
    "RemoveNode",
    "RenameNode",
    "RenderError",
    "ReplaceLayer",
    "Run",
    "RunError",
    "SetFeatures",
    "SetOptions",
    "SetOutput",
    "SetSection",
    "Size",
    "Spec",
    "SpecError",
    "Statistics",
    "Stop",
    "TensorBoardWriter",
    "TensorStatistic",
    "TorchImportError",
    "Train",
    "WandbWriter",
    "When",
    "WidenOutputs",
    "branch",
    "check_spec",
    "compile_network",
    "diff",
    "dump_spec",
    "edit",
    "export",
    "from_torch",
    "grow",
    "load_run",
    "load_spec",
    "parse_spec",
    "pick",
    "register_kind",
    "render",
    "render_steps",
    "replay",
    "resume",
    "write_back",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gromo_graph' has no attribute {name!r}")
    value = getattr(import_module(f"gromo_graph.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, and those that Python gives every module."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
