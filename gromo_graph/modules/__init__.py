"""What is trained: layers that grow, and the places where they meet."""

from gromo_graph.modules.convolution import Conv1dGrowingModule, Conv2dGrowingModule
from gromo_graph.modules.growing import GrowingModule
from gromo_graph.modules.linear import LinearGrowingModule
from gromo_graph.modules.links import Linkable
from gromo_graph.modules.merge import MergeGrowingModule
from gromo_graph.modules.merges import Conv2dMergeGrowingModule, LinearMergeGrowingModule
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
