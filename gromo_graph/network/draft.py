"""The transaction: the one way to change a network. Spec, weights and optimizer change together or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from gromo_graph.errors import GrowthError
from gromo_graph.graph import AddPath, Edit, WidthGroup, apply, build_graph, widening
from gromo_graph.graph.growth_edits import linear_name
from gromo_graph.layers import ParameterChange
from gromo_graph.modules.applying import apply_group, forget_group
from gromo_graph.modules.measured_module import LinkedGroup
from gromo_graph.modules.pending import size_of_outputs
from gromo_graph.network.assembly import tell_groups
from gromo_graph.network.network import GrowingNetwork
from gromo_graph.network.optimizers import Followed, NewState, Optimizers, follow
from gromo_graph.spec.kinds import Layer


def apply_pending(
    network: GrowingNetwork,
    group: WidthGroup,
    linked: LinkedGroup,
    *,
    optimizers: Optimizers | None = None,
    new_state: NewState = "matched",
) -> None:
    """Apply the growth that is pending on the modules of a width group, and clear it.

    Args:
        network: changed in place: weights, spec and graph.
        group: what grows. linked: its modules, which carry the extensions, deltas and scaling factors.
        optimizers: follow the new parameters. new_state: what they know of new entries.

    Raises:
        GrowthError: nothing is pending; the network is left as it was.
    """
    neurons = size_of_outputs(linked.producers[0])
    if neurons == 0:
        raise GrowthError(f"`{group.target}` has no pending growth: expected neurons to be put there first")
    graph = build_graph(apply(network.spec, widening(group, neurons)))
    before = tuple(network.parameters())
    replaced = apply_group(linked)
    forget_group(linked)
    network.become(graph, network.parts, network.nodes)
    tell_groups(graph, network.linkable)
    follow(network, Followed(before, replaced), optimizers or Optimizers(), new_state)


@dataclass(frozen=True)
class Draft:
    """A network as it would be after an edit. It shares with the real one what the edit leaves alone.

    Attributes:
        network: the draft, with modules of its own around the shared layers.
        changes: what became of parameters that others take the place of.
        origins: for new parameters the old ones that they are copies of, whose group of an optimizer they join.
    """

    network: GrowingNetwork
    changes: tuple[ParameterChange, ...] = ()
    origins: Mapping[torch.nn.Parameter, torch.nn.Parameter] = field(default_factory=dict)


def drafted(network: GrowingNetwork, edit: Edit, new: Mapping[str, torch.nn.Module]) -> GrowingNetwork:
    """The network after an edit, around the layers that are there and some new ones.

    Args:
        network: stays as it is. edit: of its spec. new: the torch halves of nodes that are new or change, by name.

    Raises:
        GraphError: the edit is not possible.
    """
    graph = build_graph(apply(network.spec, edit))
    parts = dict(network.parts)
    if isinstance(edit, AddPath) and isinstance(network.spec.nodes[edit.target], Layer):
        parts[linear_name(network.spec, edit.target)] = parts.pop(edit.target)
    fresh = set(new) - set(parts)
    parts |= new
    # What was there, or takes the place of something that was, is in the mode that somebody chose.
    kept = {inner for name, part in parts.items() if name not in fresh for inner in part.modules()}
    draft = GrowingNetwork(graph, parts)
    for module in draft.modules():
        if module not in kept:
            module.training = network.training
    return draft


def install(
    network: GrowingNetwork,
    draft: Draft,
    *,
    optimizers: Optimizers | None = None,
    new_state: NewState = "matched",
) -> None:
    """Make a draft real: the network takes its graph and its modules over, and the optimizers follow.

    Raises:
        GrowthError: no optimizer can train a new parameter; the network is as it was.
    """
    before, was = tuple(network.parameters()), (network.graph, network.parts, network.nodes)
    network.become(draft.network.graph, draft.network.parts, draft.network.nodes)
    try:
        follow(network, Followed(before, draft.changes, draft.origins), optimizers or Optimizers(), new_state)
    except GrowthError:
        network.become(*was)
        raise
