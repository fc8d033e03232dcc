"""A network whose weights can change: every layer has plain parameters."""

from __future__ import annotations

from gromo_graph.errors import GrowthError
from gromo_graph.layers.reparametrized import reparametrized
from gromo_graph.network.network import GrowingNetwork
from gromo_graph.spec.kinds import Fixed


def check_plain_weights(network: GrowingNetwork) -> None:
    """Refuse weight_norm, spectral_norm, other parametrizations and pruning masks, by the name of the node.

    Raises:
        GrowthError: a layer has weights that are computed from others.
    """
    for name, part in network.parts.items():
        if isinstance(network.spec.nodes[name], Fixed):
            continue  # it stays as it is
        for module in part.modules():
            reason = reparametrized(module)
            if reason is not None:
                raise GrowthError(f"`{name}` cannot change: {reason}")
