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

_NAMES = {
    "errors": "ArgumentError CompileError GraphError GromoGraphError GrowthError NotFiniteError RenderError "
    "RunError SpecError TorchImportError",
    "graph.diff": "Difference diff",
    "graph.edits": "AddAdapter AddEdge AddNode DuplicateBlock Edits InsertBetween RemoveEdge RemoveNode RenameNode "
    "ReplaceLayer SetFeatures SetOptions SetOutput SetSection WidenOutputs",
    "growth": "GrowthScheduler",
    "interop": "export from_torch",
    "interop.estimators": "GrowingClassifier GrowingRegressor",
    "modules": "Conv1dGrowingModule Conv2dGrowingModule Conv2dMergeGrowingModule GrowingModule LinearGrowingModule "
    "LinearMergeGrowingModule MergeGrowingModule TensorStatistic",
    "network": "GrowingNetwork compile_network",
    "network.transaction": "edit",
    "records": "Candidate GrowthEvent Plan Size",
    "render": "render render_steps",
    "run": "Picked Progress Run branch grow load_run pick replay resume",
    "run.experiment_trackers": "MLflowWriter WandbWriter",
    "run.tensorboard": "TensorBoardWriter",
    "spec": "Spec check_spec dump_spec load_spec parse_spec",
    "spec.kinds.kind_registry": "register_kind",
    "spec.settings": "Edges Growth Neurons Statistics Stop When",
    "spec.text.author_file": "write_back",
    "spec.train_settings": "Optimizer Train",
}
"""The public names by the modules that they come from."""

_HOME = {name: home for home, names in _NAMES.items() for name in names.split()}

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
