"""Proposals as changes that can be tried at some γ and taken back, or made.

Trying leaves the network as it was, to the bit.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from gromo_graph.errors import GrowthError
from gromo_graph.graph import build_graph, narrowing, widening, with_inputs
from gromo_graph.growth.apply import clear_pending, linked, set_pending
from gromo_graph.growth.candidates.base import Applicable, Proposal
from gromo_graph.growth.candidates.match import Matching
from gromo_graph.growth.candidates.paths import NewPath
from gromo_graph.growth.candidates.prune import Pruning
from gromo_graph.growth.candidates.widen import Widening
from gromo_graph.layers import ParameterChange, build_module
from gromo_graph.modules.removing import without
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.draft import Draft, apply_pending, drafted, install
from gromo_graph.network.groups import linked_group
from gromo_graph.network.optimizers import Optimizers
from gromo_graph.spec.settings import Growth

LossOf = Callable[[GrowingNetwork, bool], float]
"""The loss of a network over some data, with what is pending on it or without."""


class Change(ABC):
    """What a proposal would do to a network.

    Attributes:
        proposal: what it is.
        searched: whether its size is a step size that has to be searched.
        harmless: it cannot change the loss yet.
    """

    searched: bool = True
    harmless: bool = False

    def __init__(self, network: GrowingNetwork, proposal: Applicable, policy: Growth) -> None:
        self.network, self.policy = network, policy
        self.proposal: Applicable = proposal

    @abstractmethod
    def loss_at(self, gamma: float, loss_of: LossOf) -> float:
        """The loss as if it were made with step size γ."""

    @abstractmethod
    def make(self, gamma: float, optimizers: Optimizers, see: Callable[[], object]) -> None:
        """Make it real; the optimizers follow.

        Args:
            see: lets the network see data with what is pending, for norms that must know new channels.
        """

    def smaller(self) -> Change | None:
        """A change of the same kind that does less, or None."""
        return None

    def check(self, gamma: float) -> None:
        """Refuse a step size that makes no sense for it.

        Raises:
            GrowthError: it does not.
        """
        return


class WidenChange(Change):
    """New neurons, pending on the modules of their group until they are made."""

    def __init__(self, network: GrowingNetwork, proposal: Widening, policy: Growth) -> None:
        super().__init__(network, proposal, policy)
        self.widening = proposal
        self.group = linked(network, proposal, policy)
        self.searched = not proposal.drawn
        self.harmless = proposal.drawn and not self.group.jumps
        self.finite_scale = policy.scale == "alpha_std" and not proposal.drawn

    def loss_at(self, gamma: float, loss_of: LossOf) -> float:
        """The loss of the extended network."""
        set_pending(self.widening, self.group, gamma, finite_scale=self.finite_scale)
        try:
            return loss_of(self.network, True)
        finally:
            clear_pending(self.group)

    def check(self, gamma: float) -> None:
        """Units that change nothing yet have no step size."""
        _check_drawn(self, gamma)

    def make(self, gamma: float, optimizers: Optimizers, see: Callable[[], object]) -> None:
        """Pending growth becomes weights."""
        set_pending(self.widening, self.group, gamma, finite_scale=self.finite_scale)
        if self.group.needs_moments:
            see()
        apply_pending(
            self.network,
            self.widening.group,
            self.group,
            optimizers=optimizers,
            new_state=self.policy.optimizer_state,
        )


class MatchChange(Change):
    """New features of the query and the key of an attention, in a draft of the network."""

    def __init__(self, network: GrowingNetwork, proposal: Matching, policy: Growth) -> None:
        super().__init__(network, proposal, policy)
        self.group, self.sides = proposal.group, proposal.weights.fan_in
        self.searched, self.harmless = not proposal.drawn, proposal.drawn
        edit = widening(self.group, proposal.neurons)
        (attention,) = self.group.matches
        graph = build_graph(edit.spec_of(network.spec))
        node = graph.spec.nodes[attention]
        new = {attention: build_module(node, graph.input_shapes(attention))}
        self.changes: list[ParameterChange] = []
        for name, side in zip(_makers(network, attention), self.sides, strict=True):
            module = network.growing(name)
            new[name] = layer = copy.deepcopy(module.layer)
            old = dict(module.layer.named_parameters())
            was = {parameter: key for key, parameter in layer.named_parameters()}
            for each in module.adapter.extend_out(layer, side.weight, side.bias):
                self.changes.append(replace(each, old=old[was[each.old]]))
        self.draft = drafted(network, edit, new)

    def loss_at(self, gamma: float, loss_of: LossOf) -> float:
        """The loss of the draft."""
        self._put(gamma)
        return loss_of(self.draft, False)

    def make(self, gamma: float, optimizers: Optimizers, see: Callable[[], object]) -> None:
        """The draft becomes the network."""
        self._put(gamma)
        changes = tuple(self.changes)
        install(
            self.network,
            Draft(self.draft, changes),
            optimizers=optimizers,
            new_state=self.policy.optimizer_state,
        )

    @torch.no_grad()
    def _put(self, gamma: float) -> None:
        """Both sides get √γ; features that change nothing yet are as they were drawn."""
        factor = math.sqrt(gamma) if self.searched else 1.0
        for name, side in zip(_makers(self.draft, self.group.matches[0]), self.sides, strict=True):
            layer: Any = self.draft.parts[name]
            layer.weight[-len(side.weight) :] = factor * side.weight
            if side.bias is not None:
                layer.bias[-len(side.bias) :] = factor * side.bias

    def check(self, gamma: float) -> None:
        """Units that change nothing yet have no step size."""
        _check_drawn(self, gamma)


def _makers(network: GrowingNetwork, attention: str) -> tuple[str, ...]:
    """The layers of query and key."""
    return network.spec.nodes[attention].sources[:2]


def _check_drawn(change: Change, gamma: float) -> None:
    if not change.searched and gamma != 1.0:
        raise GrowthError(
            f"`{change.proposal.target}` gets units as they are: expected γ = 1 or None, found {gamma:g}"
        )


class PathChange(Change):
    """New nodes, in a draft of the network that shares all the others."""

    def __init__(self, network: GrowingNetwork, proposal: NewPath, policy: Growth) -> None:
        super().__init__(network, proposal, policy)
        self.path_proposal, self.path = proposal, proposal.path
        new = _parts(network, proposal)
        self.layers = [part for part in new.values() if next(part.parameters(), None) is not None]
        self.draft = drafted(network, self.path, new)

    def loss_at(self, gamma: float, loss_of: LossOf) -> float:
        """The loss of the draft."""
        self._put(gamma)
        with self._stepped(gamma, keep=False):
            return loss_of(self.draft, False)

    def make(self, gamma: float, optimizers: Optimizers, see: Callable[[], object]) -> None:
        """The draft becomes the network."""
        self._put(gamma)
        with self._stepped(gamma, keep=True):
            install(self.network, Draft(self.draft), optimizers=optimizers)

    @torch.no_grad()
    def _put(self, gamma: float) -> None:
        """An edge gets −γδ; of new neurons both sides get √γ; what a head compares has no step size."""
        for layer, first in zip(self.layers, self.path_proposal.weights, strict=True):
            factor = gamma**first.power
            _fill(layer.weight, factor * first.weight)
            if layer.bias is not None and first.bias is not None:
                _fill(layer.bias, factor * first.bias)

    @contextmanager
    def _stepped(self, gamma: float, *, keep: bool) -> Iterator[None]:
        """The optimal deltas of old weights, where the policy applies them, for as long as it lasts or for good."""
        before: list[tuple[Parameter, Tensor]] = []
        with torch.no_grad():
            for name, delta in self.path_proposal.deltas.items():
                module = self.network.growing(name)
                weight, bias = module.adapter.weight_and_bias(module.layer, delta.to(module.weight))
                for parameter, change in ((module.weight, weight), (module.bias, bias)):
                    if parameter is not None and change is not None:
                        before.append((parameter, parameter.detach().clone()))
                        parameter.sub_(gamma * change)
        try:
            yield
        finally:
            if not keep:
                with torch.no_grad():
                    for parameter, value in before:
                        parameter.copy_(value)


def _parts(network: GrowingNetwork, proposal: NewPath) -> dict[str, torch.nn.Module]:
    """The torch halves of the new nodes, where and as the network is."""
    like = next(network.parameters())
    return {
        name: build_module(node, inputs).to(like)
        for name, node, inputs in with_inputs(network.graph, proposal.path)
    }


def _fill(parameter: object, values: Tensor) -> None:
    assert isinstance(parameter, Tensor)
    parameter.copy_(values)


class PruneChange(Change):
    """Fewer neurons: layers without them, in a draft of the network."""

    searched = False

    def __init__(self, network: GrowingNetwork, proposal: Pruning, policy: Growth) -> None:
        super().__init__(network, proposal, policy)
        self.pruning, self.removal = proposal, proposal.removal
        group = linked_group(network, proposal.group)
        count = proposal.neurons
        self.left = without(group, self.removal.order[:count], self.removal.changes[count])
        names = {module: name for name, module in network.parts.items()}
        new = {names[old]: module for old, module in self.left.modules.items()}
        self.draft = drafted(network, narrowing(proposal.group, count), new)

    def loss_at(self, gamma: float, loss_of: LossOf) -> float:
        """The loss of the draft; there is no step size."""
        return loss_of(self.draft, False)

    def make(self, gamma: float, optimizers: Optimizers, see: Callable[[], object]) -> None:
        """The draft becomes the network."""
        install(self.network, Draft(self.draft, self.left.changes), optimizers=optimizers)

    def check(self, gamma: float) -> None:
        """There is no part of it."""
        if gamma != 1.0:
            raise GrowthError(f"neurons are taken out as a whole: expected γ = 1 or None, found {gamma:g}")

    def smaller(self) -> Change | None:
        """Half as many neurons, in whole units."""
        fewer = self.pruning.of(self.pruning.neurons // 2)
        return None if fewer is None else PruneChange(self.network, fewer, self.policy)


def change_of(network: GrowingNetwork, proposal: Proposal, policy: Growth) -> Change:
    """What a proposal would do.

    Raises:
        GrowthError: it was left out, or carries nothing to apply.
    """
    if proposal.reason is not None:
        raise GrowthError(f"`{proposal.target}` cannot be applied: {proposal.reason}")
    match proposal:
        case Matching():
            return MatchChange(network, proposal, policy)
        case Widening():
            return WidenChange(network, proposal, policy)
        case NewPath():
            return PathChange(network, proposal, policy)
        case Pruning():
            return PruneChange(network, proposal, policy)
        case _:
            raise GrowthError(
                f"`{proposal.target}` carries no weights: expected a candidate of scheduler.plan(loader)"
            )
