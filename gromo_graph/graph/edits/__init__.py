"""Edits by name: what an author would do to a document, as values. Pure; a sequence of them is checked at its end.

Nodes are given as they stand in a document, `{"kind": "linear", "features": 8}`, or as models.
"""

from gromo_graph.graph.edits.adapters import AddAdapter
from gromo_graph.graph.edits.base import Edited, NodeLike, SpecEdit, Start, then
from gromo_graph.graph.edits.blocks import DuplicateBlock
from gromo_graph.graph.edits.edges import AddEdge, InsertBetween, RemoveEdge
from gromo_graph.graph.edits.nodes import (
    AddNode,
    RemoveNode,
    RenameNode,
    ReplaceLayer,
    SetFeatures,
    SetOptions,
)
from gromo_graph.graph.edits.outputs import WidenOutputs
from gromo_graph.graph.edits.whole import Edits, Restore, SetOutput, SetSection

__all__ = [
    "AddAdapter",
    "AddEdge",
    "AddNode",
    "DuplicateBlock",
    "Edited",
    "Edits",
    "InsertBetween",
    "NodeLike",
    "RemoveEdge",
    "RemoveNode",
    "RenameNode",
    "ReplaceLayer",
    "Restore",
    "SetFeatures",
    "SetOptions",
    "SetOutput",
    "SetSection",
    "SpecEdit",
    "Start",
    "WidenOutputs",
    "then",
]
