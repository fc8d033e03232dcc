"""Sums over data from which growth is solved for: of layers, and of the width groups that they read."""

from gromo_graph.statistics.running_mean import SharedMoment, TensorStatistic

__all__ = ["SharedMoment", "TensorStatistic"]
