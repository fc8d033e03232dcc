"""New features of the query and the key of an attention: gathered, solved and measured.

They have no consumers: what they change are the products that attention compares positions by. A pair, a feature of
each, is solved for each head alone; the i-th pairs of all heads are taken together, as the heads share their width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gromo_graph.algebra import (
    match_moment,
    optimal_match,
    patch_matrix,
    product_gradient,
    sensitivity,
)
from gromo_graph.algebra.initialization import copy_uniform
from gromo_graph.growth.candidates.proposals import Widening, with_cost
from gromo_graph.growth.candidates.slopes import enough
from gromo_graph.growth.observe import Observation
from gromo_graph.growth.process_sums import Processes
from gromo_graph.layers.attention import by_head
from gromo_graph.modules.attention import AttentionModule
from gromo_graph.modules.capture import stored_rows
from gromo_graph.modules.measured import MeasuredModule
from gromo_graph.modules.neurons import FanIn, GroupNeurons
from gromo_graph.modules.statistic import TensorStatistic
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Growth

# Pairs solved beyond those wanted: on other data than the sums the slopes may order them otherwise.
_SPARE = 4


@dataclass
class Match:
    """A query and a key that may grow, and the sums for that.

    Attributes:
        proposal: what it is about. attention, query, key: its modules.
        moment: P of each head, (heads, columns of the query, columns of the key).
        sensitivity: of each head, (heads,).
    """

    proposal: Widening
    attention: AttentionModule
    query: MeasuredModule
    key: MeasuredModule
    moment: TensorStatistic = field(default_factory=lambda: TensorStatistic("P of an attention"))
    sensitivity: TensorStatistic = field(default_factory=lambda: TensorStatistic("what a product changes"))

    @property
    def heads(self) -> int:
        """Heads of the attention."""
        return self.attention.attend.heads

    @torch.no_grad()
    def update(self, seen: Observation) -> None:
        """Count a batch."""
        self.query.update_input_moment()
        self.key.update_input_moment()
        weights, value = self._mixing()
        self.moment.update(self._moment(seen, weights, value), seen.samples)
        self.sensitivity.update(sensitivity(weights, value, self.attention.attend.scale), seen.samples)

    def moment_of(self, seen: Observation) -> Tensor:
        """P summed over a batch."""
        return self._moment(seen, *self._mixing())

    def _mixing(self) -> tuple[Tensor, Tensor]:
        """Of the last batch what the softmax gives, (n, heads, i, j), and the value of each head."""
        attend = self.attention.attend
        query, key, value = self.attention.mixing.seen
        return attend.weights(query, key), by_head(value, attend.heads)

    def _moment(self, seen: Observation, weights: Tensor, value: Tensor) -> Tensor:
        attend = self.attention.attend
        gradient = by_head(seen.gradients[self.attention.name], attend.heads)
        products = product_gradient(weights, value, gradient)
        rows = [patch_matrix(stored_rows(module)) for module in (self.query, self.key)]
        return attend.scale * match_moment(rows[0], rows[1], products)


def match_of(network: GrowingNetwork, proposal: Widening) -> Match:
    """The modules of a proposal for a group that an attention compares."""
    (name,) = proposal.widened.matches
    attention = network.unit(name)
    assert isinstance(attention, AttentionModule)
    query, key, _ = network.spec.nodes[name].sources
    return Match(proposal, attention, network.growing(query), network.growing(key))


@dataclass(frozen=True)
class Pairs:
    """New features that were solved for, in the order of what they promise.

    Attributes:
        query, key: (pairs, columns), the pairs of the heads taking turns. values: (pairs / heads,), their Σ λ².
    """

    query: Tensor
    key: Tensor
    values: Tensor
    solver: str


@torch.no_grad()
def solved_pairs(match: Match, policy: Growth) -> Pairs:
    """The best pairs of each head, from what was gathered."""
    moment = match.moment()
    s_query, s_key = match.query.tensor_s().to(moment), match.key.tensor_s().to(moment)
    most = match.proposal.neurons // match.heads + _SPARE
    found = [
        optimal_match(s_query, s_key, -each, sensitivity=size, ridge=policy.ridge, maximum_neurons=most)
        for each, size in zip(moment, match.sensitivity().tolist(), strict=True)
    ]
    count = min(each.singular_values.shape[0] for each in found)
    query = torch.stack([each.alpha[:count] for each in found], dim=1).flatten(0, 1)
    key = torch.stack([each.omega[:, :count].T for each in found], dim=1).flatten(0, 1)
    values = torch.stack([each.singular_values[:count].square() for each in found]).sum(dim=0)
    return Pairs(query, key, values, ", ".join(dict.fromkeys(each.solver for each in found)))


@dataclass
class MatchSlopes:
    """Sums over samples for the pairs of one attention.

    Attributes:
        match: whose. pairs: what was solved. total: Σ of what each pair lowers the loss by, per unit of γ.
    """

    match: Match
    pairs: Pairs
    total: Tensor | None = None

    @torch.no_grad()
    def add(self, seen: Observation) -> None:
        """Count a batch."""
        moment = self.match.moment_of(seen)
        query, key = (
            side.unflatten(0, (-1, self.match.heads)) for side in (self.pairs.query, self.pairs.key)
        )
        found = -torch.einsum("phc,hck,phk->p", query.to(moment), moment, key.to(moment))
        self.total = found if self.total is None else self.total + found

    def share(self, processes: Processes) -> None:
        """Add what the other processes have counted."""
        if self.total is not None:
            processes.add_up([self.total])

    def proposal(self, network: GrowingNetwork, samples: int, policy: Growth) -> Widening:
        """The pairs of positive slope, the steepest first, as many as wanted."""
        match, proposal, heads = self.match, self.match.proposal, self.match.heads
        if self.total is None or not len(self.total):
            return proposal.left_out("no new feature of query and key would lower the loss")
        slopes, order = torch.sort(self.total / samples, descending=True, stable=True)
        count = enough(slopes, proposal.neurons // heads, policy.neurons)
        if count == 0:
            return proposal.left_out("no new feature of query and key would lower the loss")
        places = (order[:count, None] * heads + torch.arange(heads, device=order.device)).flatten()
        found = replace(
            proposal,
            neurons=count * heads,
            weights=_as_neurons(match, self.pairs.query[places], self.pairs.key[places]),
            slope=float(slopes[:count].sum()),
            predicted=float(self.pairs.values[order[:count]].sum()),
            solver=self.pairs.solver,
        )
        return with_cost(network.graph, found)


def _as_neurons(match: Match, query: Tensor, key: Tensor) -> GroupNeurons:
    """Rows (pairs, columns) of both sides as weights and biases of their layers."""
    sides = []
    for module, matrix in ((match.query, query), (match.key, key)):
        weight, bias = module.adapter.weight_and_bias(module.layer, matrix.to(module.weight))
        sides.append(FanIn(weight, bias))
    return GroupNeurons(tuple(sides), (), None)


def drawn_pairs(network: GrowingNetwork, proposal: Widening, generator: torch.Generator | None) -> Widening:
    """Features of the query drawn like its old weights, of the key zero: they change nothing yet."""
    match = match_of(network, proposal)
    sizes = [module.adapter.columns(module.layer) for module in (match.query, match.key)]
    fan_in = match.query.adapter.fan_in(match.query.layer)
    on_cpu = match.query.weight.detach().cpu()
    query = copy_uniform((proposal.neurons, sizes[0]), on_cpu, fan_in, generator=generator)
    weights = _as_neurons(match, query, torch.zeros(proposal.neurons, sizes[1]))
    found = replace(proposal, weights=weights, predicted=0.0, slope=0.0, drawn=True)
    return with_cost(network.graph, found)


def modules_of(matches: Sequence[Match]) -> list[MeasuredModule]:
    """The layers of queries and keys."""
    return [module for match in matches for module in (match.query, match.key)]
