"""Obstacles that no tracing would see."""

from __future__ import annotations

from torch import nn

from gromo_graph.errors import Obstacle
from gromo_graph.layers.reparametrized import plain_weights, reparametrized


def standing_in_the_way(model: nn.Module) -> list[Obstacle]:
    """Hooks of a model, and weights that have no size yet."""
    found = []
    for path, module in model.named_modules():
        hooks = ("_forward_hooks", "_forward_pre_hooks")
        if any(getattr(module, name, None) for name in hooks):
            if plain_weights(module) is not module:
                continue
            hooked = "it has forward hooks, which a spec cannot hold: remove them first"
            found.append(Obstacle(path, reparametrized(module) or hooked))
        if any(nn.parameter.is_lazy(tensor) for tensor in module._parameters.values() if tensor is not None):
            found.append(Obstacle(path, "its weights have no size yet: run the model once first"))
    return found
