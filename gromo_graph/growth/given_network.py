"""The network that a scheduler is given: a GrowingNetwork, or a reason why it cannot grow."""

from __future__ import annotations

from gromo_graph.errors import GrowthError
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.plain_weights import check_plain_weights


def growing_network(given: object) -> GrowingNetwork:
    """The network itself; one that torch.compile is put around is the network inside.

    Raises:
        GrowthError: it is another module, a wrapper that keeps parameters of its own, sharded, has no weights, or has
            weights that are computed from others.
    """
    inside = getattr(given, "_orig_mod", None)
    network = inside if isinstance(inside, GrowingNetwork) else given
    if not isinstance(network, GrowingNetwork):
        raise GrowthError(_why_not(network))
    parameters = list(network.parameters())
    if not parameters:
        raise GrowthError(f"`{network.spec.name}` has no weights: there is nothing that can grow")
    check_plain_weights(network)
    return network


def _why_not(given: object) -> str:
    kind = type(given).__name__
    if "FullySharded" in kind:
        return (
            f"the network is wrapped in {kind}, which cuts its weights into shards, and growth needs all of a weight: "
            "grow the network before it is wrapped, or train it with DistributedDataParallel"
        )
    if isinstance(_inside(given), GrowingNetwork):
        return (
            f"the network is wrapped in {kind}, which holds on to the parameters it began with: give the network "
            "itself, `.module`, and wrap it anew after each growth step"
        )
    return (
        f"found a {kind}, expected a GrowingNetwork: call compile_network(spec), or from_torch(model, example_input) "
        "for a torch model"
    )


def _inside(given: object) -> object:
    """The module inside its wrappers, one around the other too."""
    while not isinstance(given, GrowingNetwork):
        inside = [getattr(given, name) for name in ("_orig_mod", "module") if hasattr(given, name)]
        if not inside:
            break
        given = inside[0]
    return given
