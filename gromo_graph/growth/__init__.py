"""Deciding what grows: candidates, one pass of statistics, exact slopes, step size, scheduler."""

from gromo_graph.growth.scheduler import GrowthScheduler

__all__ = ["GrowthScheduler"]
