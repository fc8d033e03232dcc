"""Drafts: the one way to change a network. Spec, weights and optimizers change together or not at all.

A draft is a network of its own, which shares with the real one all that a change leaves alone. It is tried at a step
size γ by its own forward pass, at any number of them, and a draft that is dropped leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import Parameter

from gromo_graph.algebra.neuron_weights import GroupNeurons
from gromo_graph.errors import GrowthError
from gromo_graph.graph import AddPath, Edit, WidthGroup, apply, build_graph, narrowing, widening
from gromo_graph.graph.chosen_features import ReadFewer
from gromo_graph.graph.growth_edits import linear_name
from gromo_graph.layers import ParameterChange, build_module
from gromo_graph.layers.channel_propagation import Moments
from gromo_graph.network.linked_groups import linked_group
from gromo_graph.network.network import GrowingNetwork
from gromo_graph.network.optimizers import Followed, NewState, Optimizers, follow
from gromo_graph.network.snapshot import snapshot
from gromo_graph.spec.kinds import Layer
from gromo_graph.surgery.prune import layer_left, without
from gromo_graph.surgery.scaled_entries import Scaled
from gromo_graph.surgery.write_weights import Step, WidenedOperation, widened


@dataclass(frozen=True)
class Draft:
    """A network as it would be after an edit.

    Attributes:
        network: the draft, with modules of its own around the shared layers.
        changes: what became of parameters that others take the place of.
        origins: for new parameters the old ones that they are copies of, whose group of an optimizer they join.
        entries, operations: those that depend on the step size γ.
    """

    network: GrowingNetwork
    changes: Sequence[ParameterChange] = ()
    origins: Mapping[Parameter, Parameter] = field(default_factory=dict)
    entries: Sequence[Scaled] = ()
    operations: Sequence[WidenedOperation] = ()

    def at(self, gamma: float) -> GrowingNetwork:
        """The draft with step size γ: only what depends on it is written."""
        for entry in self.entries:
            entry.write(gamma)
        for operation in self.operations:
            operation.write(gamma)
        return self.network

    @property
    def written(self) -> list[Tensor]:
        """The tensors that `at` may write to."""
        operations = [value for each in self.operations for value in each.new.state_dict().values()]
        return [*(each.entries for each in self.entries), *operations]

    @property
    def asks_for_moments(self) -> bool:
        """True if norms take statistics of their new channels once it is done."""
        return any(operation.needs_moments for operation in self.operations)

    def measure(self, gamma: float, run: Callable[[GrowingNetwork], object]) -> None:
        """Write step size γ for good: norms get the statistics of their new channels.

        Args:
            run: lets the network see data, in evaluation mode.
        """
        self.at(gamma)
        asking = [operation for operation in self.operations if operation.needs_moments]
        if not asking:
            return
        moments = [{each.at: Moments() for each in operation.insertions} for operation in asking]
        with ExitStack() as hooks:
            for operation, found in zip(asking, moments, strict=True):
                handle = operation.new.register_forward_pre_hook(_counter(operation, found))
                hooks.callback(handle.remove)
            run(self.network)
        for operation, found in zip(asking, moments, strict=True):
            known = {at: (m.mean, m.variance) for at, m in found.items()}
            operation.write(
                gamma, {a: (m, v) for a, (m, v) in known.items() if m is not None and v is not None}
            )


def _counter(
    operation: WidenedOperation, moments: Mapping[int, Moments]
) -> Callable[[torch.nn.Module, tuple[Tensor, ...]], None]:
    """Counts the new channels that enter an operation."""

    def count(module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        before = 0
        for each in reversed(operation.insertions):  # the first one first: each shifts those behind it
            moments[each.at].add(inputs[0].narrow(1, each.at + before, each.size))
            before += each.size

    return count


def drafted(network: GrowingNetwork, edit: Edit, new: Mapping[str, torch.nn.Module]) -> GrowingNetwork:
    """The network after an edit, around the layers that are there and some new ones.

    Args:
        network: stays as it is. edit: of its spec.
        new: the torch halves of nodes that are new or change, by the names that they have afterwards.

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


def widened_draft(network: GrowingNetwork, group: WidthGroup, neurons: GroupNeurons, step: Step) -> Draft:
    """The network with some new neurons in a width group.

    Raises:
        GrowthError: an operation cannot grow by so many channels.
    """
    found = widened(linked_group(network, group), neurons, step)
    draft = _resized(network, group, widening(group, neurons.size), found.modules)
    return Draft(draft, found.changes, entries=found.entries, operations=found.operations)


def narrowed_draft(
    network: GrowingNetwork, group: WidthGroup, channels: Sequence[int], changes: Mapping[str, Tensor]
) -> Draft:
    """The network without some channels of a width group.

    Args:
        channels: which. changes: what to add to [weight | bias] of each consumer.
    """
    left = without(linked_group(network, group), channels, changes)
    edit = narrowing(group, len(channels), channels)
    return Draft(_resized(network, group, edit, left.modules), left.changes)


def fewer_read(network: GrowingNetwork, edit: ReadFewer, change: Tensor) -> Draft:
    """The network with a layer that reads fewer features.

    Args:
        change: (out, columns), what to add to its [weight | bias], all features still in it.
    """
    layer, node = network.parts[edit.layer], apply(network.spec, edit).nodes[edit.selection(network.spec)]
    rows = torch.arange(network.growing(edit.layer).out_neurons)
    left, changes = layer_left(layer, rows, torch.tensor(edit.features), change)
    selection = build_module(node, [network.graph.shapes[node.sources[0]]]).to(next(network.parameters()))
    new = {edit.layer: left, edit.selection(network.spec): selection}
    return Draft(drafted(network, edit, new), changes)


def _resized(
    network: GrowingNetwork,
    group: WidthGroup,
    edit: Edit,
    modules: Mapping[torch.nn.Module, torch.nn.Module],
) -> GrowingNetwork:
    """The network after a width group has changed its width.

    Args:
        modules: those that take the place of others. Nodes that take features by their numbers follow the edit.
    """
    names = {module: name for name, module in network.parts.items()}
    new = {names[old]: module for old, module in modules.items()}
    nodes, like = apply(network.spec, edit).nodes, next(network.parameters())
    for each in group.selections:
        new[each.node] = build_module(nodes[each.node], network.graph.input_shapes(each.node)).to(like)
    return drafted(network, edit, new)


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
    optimizers = optimizers or Optimizers()
    was, before = snapshot(network, optimizers), tuple(network.parameters())
    network.become(draft.network.graph, draft.network.parts, draft.network.nodes)
    try:
        follow(network, Followed(before, draft.changes, draft.origins), optimizers, new_state)
    except GrowthError:
        was.restore(network, optimizers)
        raise
