"""A network whose weights can change: every layer has plain parameters."""

from __future__ import annotations

import torch
from torch.nn import Parameter

from gromo_graph.errors import GrowthError
from gromo_graph.layers.reparametrized import reparametrized
from gromo_graph.network.network import GrowingNetwork
from gromo_graph.spec.kinds import Fixed

_SHARDED = "sharded ({}): growth needs all of a weight, take the network before it is sharded"


def check_plain_weights(network: GrowingNetwork) -> None:
    """Refuse weights in shards, weight_norm, spectral_norm, other parametrizations and pruning masks, by their names.

    Raises:
        GrowthError: a layer has weights that are computed from others, or that are no plain tensors of real numbers.
    """
    if any(getattr(module, "_is_fsdp_managed_module", False) for module in network.modules()):
        raise GrowthError(f"the weights of the network are {_SHARDED.format('FullyShardedDataParallel')}")
    for name, parameter in network.named_parameters():
        reason = _no_plain_tensor(parameter)
        if reason is not None:
            raise GrowthError(f"`{name}` cannot change: it is {reason}")
    for name, part in network.parts.items():
        if isinstance(network.spec.nodes[name], Fixed):
            continue  # it stays as it is
        for module in part.modules():
            reason = reparametrized(module)
            if reason is not None:
                raise GrowthError(f"`{name}` cannot change: {reason}")


def _no_plain_tensor(parameter: Parameter) -> str | None:
    """Say why a parameter cannot be widened."""
    if hasattr(parameter, "device_mesh"):
        return _SHARDED.format("fully_shard")
    if parameter.is_meta:
        return "on the meta device, and has no values: network.to_empty(device=...) and load weights first"
    if parameter.layout != torch.strided:
        return f"sparse ({parameter.layout}): take .to_dense()"
    if not parameter.is_floating_point():
        return f"of {parameter.dtype}: expected floating-point numbers"
    return None
