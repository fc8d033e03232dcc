"""How far a module is from the width it should reach, and how much to grow at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gromo_graph.errors import GrowthError

if TYPE_CHECKING:
    from gromo_graph.modules.layer import LayerModule


def missing_neurons(module: LayerModule) -> int:
    """Neurons between the present width and the target; negative beyond it."""
    if module.target_in_neurons is None:
        raise GrowthError(f"{module.name} has no target width: give target_in_neurons")
    return module.target_in_neurons - module.in_neurons


def neurons_to_add(module: LayerModule, method: str, steps: int) -> int:
    """Neurons for the next of `steps` equal growth steps, never more than are missing."""
    if method != "fixed_proportional":
        raise GrowthError(f"{module.name}: unknown method {method!r}: expected 'fixed_proportional'")
    if steps < 1:
        raise GrowthError(f"{module.name}: number_of_growth_steps is {steps}: expected at least 1")
    missing = missing_neurons(module)
    assert module.target_in_neurons is not None
    share = (module.target_in_neurons - module.initial_in_neurons) // steps
    return max(0, min(share, missing))
