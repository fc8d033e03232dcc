"""The neurons that a module misses to its target width, and the share of them for one growth step."""

from __future__ import annotations

from gromo_graph.errors import GrowthError
from gromo_graph.layers.layer_group import repeats_of
from gromo_graph.modules.group_links import growing_link
from gromo_graph.modules.layer_module import LayerModule, previous_of


def missing_neurons(module: LayerModule) -> int:
    """Neurons between the present width and the target; negative beyond it."""
    if module.target_in_neurons is None:
        raise GrowthError(f"{module.name} has no target width: give target_in_neurons")
    return module.target_in_neurons - module.in_neurons


def missing_channels(module: LayerModule) -> int:
    """Neurons that would fill the missing inputs: fewer if a flatten makes several inputs of each.

    Raises:
        GrowthError: the missing inputs are no whole number of neurons.
    """
    missing = missing_neurons(module)
    if missing <= 0:
        return missing
    each = sum(repeats_of(growing_link(module).group, module))
    if missing % each:
        raise GrowthError(
            f"{module.name} misses {missing} inputs and gets {each} for each new neuron: expected a target_in_neurons "
            f"that is {module.in_neurons} and a multiple of {each}"
        )
    return missing // each


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


def size_from_previous(module: LayerModule) -> tuple[int, ...] | None:
    """The size of one sample of the input as the previous module gives it; None if its positions are not known."""
    previous = previous_of(module)
    if module.adapter.axes(module.layer) is None:
        return (previous.out_features,)
    layer = None if previous.is_merge else previous
    sizes = getattr(layer, "output_sizes", None)
    return None if sizes is None else (previous.out_features, *sizes)
