"""`from_torch(adapters=...)`: an imported network whose chosen layers are frozen and get adapters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from gromo_graph.errors import Obstacle, TorchImportError
from gromo_graph.graph import path_cost
from gromo_graph.graph.adapters import adapter_path, adapter_place, is_linear_map
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.transaction import Transaction, edit
from gromo_graph.spec.kinds import Layer
from gromo_graph.spec.kinds.base import Weighted
from gromo_graph.spec.settings import When
from gromo_graph.spec.wording import Suggester

Adapters = Mapping[str, Any]
"""`layers`, names or patterns; `rank`, 0 by default; `parameters`, a budget."""

_KEYS = ("layers", "rank", "parameters")


def adapt(network: GrowingNetwork, adapters: Adapters) -> None:
    """Freeze the chosen layers of a network, and give them adapters, in place.

    Nodes that the model has frozen as a whole are frozen in the spec too. All but the adapters keeps its width.

    Raises:
        TorchImportError: with everything that is wrong about `adapters`.
    """
    wrong = [Obstacle("", f"adapters: {text}") for text in _wrong(network, adapters)]
    if wrong:
        raise TorchImportError(wrong, "expected adapters={'layers': names or patterns, 'rank': 0}")
    chosen, rank = chosen_layers(network, adapters), adapters.get("rank", 0)
    with edit(network) as e:
        for name, node in network.spec.nodes.items():
            if isinstance(node, Layer) and name not in chosen:
                e.set_options(name, grow=False)
            if name in chosen or (isinstance(node, Weighted) and _is_frozen_whole(network, name)):
                e.set_options(name, frozen=True)
        for name in chosen if rank else ():
            e.add_adapter(name, rank)
        _set_policy(e, network, chosen, adapters.get("parameters"))


def chosen_layers(network: GrowingNetwork, adapters: Adapters) -> list[str]:
    """The names of the layers that a name or a pattern stands for, in document order."""
    patterns = _patterns(adapters)
    nodes = network.spec.nodes
    return [name for name, node in nodes.items() if is_linear_map(node) and _matches(name, patterns)]


def _set_policy(e: Transaction, network: GrowingNetwork, chosen: list[str], budget: int | None) -> None:
    """Adapters and their ranks grow, each by one at a time, where the promised decrease per parameter is largest.

    A budget lasts for all ticks: so many layers grow at one.
    """
    stop, groups = {}, None
    if budget is not None:
        stop = {"parameters": network.graph.parameter_count + budget}
        graph = network.graph
        costs = [
            path_cost(graph, adapter_path(graph, adapter_place(graph, each), 1)).parameters for each in chosen
        ]
        groups = max(1, math.ceil(budget * len(costs) / (sum(costs) * When().steps)))
    e.set_growth(
        actions=["adapt", "widen"],
        criterion="natural",
        select="slope_per_parameter",
        neurons={"per_step": 1},
        stop=stop,
        **({} if groups is None else {"groups": groups}),
    )


def _is_frozen_whole(network: GrowingNetwork, name: str) -> bool:
    parameters = list(network.parts[name].parameters())
    return bool(parameters) and not any(each.requires_grad for each in parameters)


def _wrong(network: GrowingNetwork, adapters: Adapters) -> Iterator[str]:
    """Everything that is wrong about the argument."""
    for key in adapters:
        if key not in _KEYS:
            yield f"unknown key {key!r}: {Suggester().hint(str(key), _KEYS, 'keys')}"
    for key, least in (("rank", 0), ("parameters", 1)):
        value = adapters.get(key, least)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            yield f"{key} is {value!r}: expected an integer, {least} or more"
    patterns = _patterns(adapters)
    if not patterns:
        yield "`layers` is missing: names of layers, or patterns such as 'encoder.*'"
    nodes = network.spec.nodes
    able = [name for name, node in nodes.items() if is_linear_map(node)]
    for pattern in patterns:
        if not isinstance(pattern, str):
            yield f"layers: found {pattern!r}, expected a text"
        elif pattern in nodes and pattern not in able:
            yield f"`{pattern}` is a {nodes[pattern].kind}: expected a linear or convolution layer"
        elif not any(_matches(name, [pattern]) for name in able):
            yield f"no linear or convolution layer is called `{pattern}`: {Suggester().hint(pattern, able, 'layers')}"


def _patterns(adapters: Adapters) -> list[Any]:
    given = adapters.get("layers", ())
    return [given] if isinstance(given, str) else list(given)


def _matches(name: str, patterns: list[Any]) -> bool:
    return any(name == each or fnmatchcase(name, str(each)) for each in patterns)
