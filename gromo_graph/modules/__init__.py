"""Layers that grow, and the merges between them: the face of GrowingModule over statistics and surgery."""

from gromo_graph.modules.growing_module import GrowingModule
from gromo_graph.modules.linkable import Linkable
from gromo_graph.modules.merge_module import MergeGrowingModule
from gromo_graph.modules.named_modules import (
    Conv1dGrowingModule,
    Conv2dGrowingModule,
    Conv2dMergeGrowingModule,
    LinearGrowingModule,
    LinearMergeGrowingModule,
)
from gromo_graph.statistics.running_mean import TensorStatistic

__all__ = [
    "Conv1dGrowingModule",
    "Conv2dGrowingModule",
    "Conv2dMergeGrowingModule",
    "GrowingModule",
    "LinearGrowingModule",
    "LinearMergeGrowingModule",
    "Linkable",
    "MergeGrowingModule",
    "TensorStatistic",
]
