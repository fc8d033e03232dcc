"""A network takes weights of another width back: it becomes what it was when they were saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from gromo_graph.graph.edits import Restore
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.optimizers import OptimizerChoice
from gromo_graph.network.transaction import edit
from gromo_graph.spec import Spec

Sizes = tuple[tuple[str, tuple[int, ...]], ...]
"""Names and shapes of a state, in order of their names."""


class KnownWidths:
    """The specs that a network has had, by the sizes of its weights.

    As a hook of `load_state_dict` it lets the network become what a state belongs to, before the state is loaded; the
    optimizers follow. Pickles and copies forget the optimizers.
    """

    def __init__(self) -> None:
        self._specs: dict[Sizes, Spec] = {}
        self._optimizers: Callable[[], OptimizerChoice] = _none

    def note(self, network: GrowingNetwork) -> None:
        """Remember the network as it stands."""
        self._specs[_sizes(network.state_dict())] = network.spec

    def watch(self, network: GrowingNetwork, optimizers: Callable[[], OptimizerChoice]) -> None:
        """Be asked whenever a state is loaded into the network, and let these optimizers follow."""
        self._optimizers = optimizers
        hooks: Mapping[int, Any] = network._load_state_dict_pre_hooks
        if not any(getattr(hook, "hook", hook) is self for hook in hooks.values()):
            network.register_load_state_dict_pre_hook(self)  # type: ignore[no-untyped-call]

    def __call__(
        self, network: torch.nn.Module, state: Mapping[str, Any], prefix: str, *rest: object
    ) -> None:
        assert isinstance(network, GrowingNetwork)
        given = _sizes({key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)})
        spec = self._specs.get(given)
        if spec is None or given == _sizes(network.state_dict()):
            return
        with edit(network, optimizer=self._optimizers(), generator=torch.Generator()) as change:
            change.apply(Restore(spec))

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_optimizers": _none}


def _none() -> None:
    return None


def _sizes(state: Mapping[str, Any]) -> Sizes:
    return tuple(sorted((key, tuple(getattr(value, "shape", ()))) for key, value in state.items()))
