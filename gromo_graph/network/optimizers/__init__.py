"""Optimizers follow a network that changes: groups, names, state, gradients and hooks, all of them or none."""

from gromo_graph.network.optimizers.coverage import Untrained, check_coverage, parameters_of
from gromo_graph.network.optimizers.following import Followed, follow
from gromo_graph.network.optimizers.memory import OptimizerMemory, bring_back, remembered
from gromo_graph.network.optimizers.old_entries import OLD
from gromo_graph.network.optimizers.own_steps import BORN, check_births
from gromo_graph.network.optimizers.several import (
    LostHooksWarning,
    OptimizerChoice,
    Optimizers,
    OptimizerStateWarning,
)
from gromo_graph.network.optimizers.state import NewState

__all__ = [
    "BORN",
    "OLD",
    "Followed",
    "LostHooksWarning",
    "NewState",
    "OptimizerChoice",
    "OptimizerMemory",
    "OptimizerStateWarning",
    "Optimizers",
    "Untrained",
    "bring_back",
    "check_births",
    "check_coverage",
    "follow",
    "parameters_of",
    "remembered",
]
