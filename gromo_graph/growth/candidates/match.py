"""Widening the query and the key of an attention in pairs of features: gathered, solved and measured.

They have no consumers: what they change are the products that attention compares positions by. A pair, a feature of
each, is solved for each head alone; the i-th pairs of all heads are taken together, as the heads share their width.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

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
from gromo_graph.algebra.neuron_weights import FanIn, GroupNeurons
from gromo_graph.graph import Graph, WidthGroup, build_graph, widening, widening_cost
from gromo_graph.graph.widths import makers_of
from gromo_graph.growth.candidates.slope_scores import enough, newton_step
from gromo_graph.growth.candidates.stages import InfeasibleError, LeftOut, Prospect, Solved, Sums
from gromo_graph.growth.candidates.widen import Widening
from gromo_graph.growth.candidates.widening_size import affordable_neurons, neurons_wanted
from gromo_graph.growth.observe import Observation, Watched
from gromo_graph.growth.pace import UNPACED, Pace
from gromo_graph.growth.process_sums import Processes
from gromo_graph.growth.statistics_pass import Gathered
from gromo_graph.growth.wanted_statistics import Wanted
from gromo_graph.layers import ParameterChange, operation_adapter
from gromo_graph.layers.attention import Attend
from gromo_graph.layers.operation import Passed
from gromo_graph.modules.attention_module import AttentionModule
from gromo_graph.modules.growing_module import GrowingModule
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.draft import Draft, drafted
from gromo_graph.spec.kinds import Attention
from gromo_graph.spec.settings import Growth
from gromo_graph.statistics.capture import stored_rows
from gromo_graph.statistics.running_mean import TensorStatistic
from gromo_graph.surgery.group import light_copy
from gromo_graph.surgery.scaled_entries import Scaled
from gromo_graph.surgery.write_weights import with_outputs

SOLVED = ("tiny", "natural")
"""Criteria that solve for pairs; GradMax says nothing of them, so that they are drawn."""
# Pairs solved beyond those wanted: on other data than the sums the slopes may order them otherwise.
_SPARE = 4


@dataclass(frozen=True)
class Matching(Widening):
    """New features of a query and its key; `weights.fan_in` has those of the query, then those of the key."""

    def draft(self, network: GrowingNetwork, policy: Growth) -> Draft:
        """Wider layers, and an attention that compares more features."""
        (attention,) = self.group.matches
        edit = widening(self.group, self.neurons)
        graph = build_graph(edit.spec_of(network.spec))
        node, attend = graph.spec.nodes[attention], light_copy(network.parts[attention])
        assert isinstance(node, Attention)
        assert isinstance(attend, Attend)
        attend.scale = node.scale_for(graph.features(node.sources[0]))
        new: dict[str, torch.nn.Module] = {attention: attend}
        for name in self.group.operations:
            passed = new[name] = light_copy(network.parts[name])
            operation_adapter(passed).grow(passed, self.group.features, self.neurons, Passed(1.0))
        changes: list[ParameterChange] = []
        entries: list[Scaled] = []
        makers = makers_of(network.spec, attention)
        for name, side in zip(makers, self.weights.fan_in, strict=True):
            layer = network.growing(name).layer
            wider = with_outputs(layer, side)
            new[name] = wider.modules[layer]
            changes += wider.changes
            entries += wider.entries
        return Draft(drafted(network, edit, new), changes, entries=entries)


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


@dataclass
class MatchStatistics:
    """The sums for the growth of a query and a key.

    Attributes:
        attention, query, key: the modules.
        moment: P of each head, (heads, columns of the query, columns of the key).
        sensitivity: of each head, (heads,).
    """

    attention: AttentionModule
    query: GrowingModule
    key: GrowingModule
    moment: TensorStatistic = field(default_factory=lambda: TensorStatistic("P of an attention"))
    sensitivity: TensorStatistic = field(default_factory=lambda: TensorStatistic("what a product changes"))

    @property
    def heads(self) -> int:
        """Heads of the attention."""
        return self.attention.attend.heads

    @property
    def sources(self) -> Sequence[str]:
        """Nodes whose values are needed: none."""
        return ()

    @property
    def targets(self) -> Sequence[str]:
        """The attention, at whose output the gradient is needed."""
        return (self.attention.name,)

    @property
    def outputs(self) -> Sequence[str]:
        """Nodes at whose values gradients are needed: none."""
        return ()

    @property
    def layers(self) -> Sequence[GrowingModule]:
        """The layers of query and key."""
        return self.query, self.key

    @torch.no_grad()
    def update(self, seen: Observation) -> None:
        """Count a batch."""
        self.query.update_input_moment()
        self.key.update_input_moment()
        weights, value = self._mixing()
        self.moment.update(self._moment(seen, weights, value), seen.samples)
        attend = self.attention.attend
        # The mean is one over all pairs of positions: those of different windows change nothing.
        apart = 1 if attend.windows is None else attend.windows.count**2
        self.sensitivity.update(sensitivity(weights, value, attend.scale) / apart, seen.samples)

    def moment_of(self, seen: Observation) -> Tensor:
        """P summed over a batch."""
        return self._moment(seen, *self._mixing())

    def statistics(self) -> list[TensorStatistic]:
        """P and the sensitivities; S of the two layers is theirs."""
        return [self.moment, self.sensitivity]

    def of_gradients(self) -> list[TensorStatistic]:
        """P."""
        return [self.moment]

    def share(self, processes: Processes) -> None:
        """There is nothing beside the statistics."""
        return

    def entries(self) -> Mapping[Hashable, int]:
        """The number of entries that the statistics will have, from sizes alone."""
        columns = [layer.adapter.columns(layer.layer) for layer in self.layers]
        return {id(self): self.heads * (1 + columns[0] * columns[1])}

    def _mixing(self) -> tuple[Tensor, Tensor]:
        """The softmax of the last batch, (n, heads, i, j), and the value of each head."""
        attend = self.attention.attend
        query, key, value, *mask = self.attention.mixing.seen
        return attend.weights(query, key, *mask), attend.by_head(value)

    def slopes_of(self, seen: Observation, query: Tensor, key: Tensor) -> Tensor:
        """α_qᵀ P α_k of each sample for pairs (pairs, heads, columns), those of all heads together, (n, pairs)."""
        products = self._product_gradient(seen, *self._mixing())
        q, k = (
            torch.einsum("phc,nci->nphi", a.to(products), b.to(products))
            for a, b in zip((query, key), self._rows(), strict=True)
        )
        pulled = torch.einsum("nhij,nphj->nphi", products, k)
        of_windows = self.attention.attend.scale * (q * pulled).sum(dim=(2, 3))
        slopes: Tensor = of_windows.unflatten(0, (seen.samples, -1)).sum(dim=1)
        return slopes

    def _moment(self, seen: Observation, weights: Tensor, value: Tensor) -> Tensor:
        products = self._product_gradient(seen, weights, value)
        return self.attention.attend.scale * match_moment(*self._rows(), products)

    def _product_gradient(self, seen: Observation, weights: Tensor, value: Tensor) -> Tensor:
        """D of a batch, (n · windows, heads, i, j)."""
        gradient = self.attention.attend.by_head(seen.gradients[self.attention.name])
        return product_gradient(weights, value, gradient)

    def _rows(self) -> tuple[Tensor, Tensor]:
        """The inputs of the query and key layers at each position, (n · windows, columns, positions of a window)."""
        query, key = (
            self.attention.attend.parted(patch_matrix(stored_rows(module))) for module in self.layers
        )
        return query, key


class MatchProspect(Prospect[Pairs]):
    """A query and a key that may grow.

    Attributes:
        group: their width group. match: their modules, with the sums for their growth.
    """

    kind = "widen"

    def __init__(
        self, network: GrowingNetwork, policy: Growth, group: WidthGroup, pace: Pace = UNPACED
    ) -> None:
        graph = network.graph
        wanted = neurons_wanted(graph, group, policy, pace)
        most = _most_features(graph, group)
        if group.features >= most:
            each = most // group.unit
            raise InfeasibleError(
                f"{each} features of a head can match whatever the layers read of a position"
            )
        neurons = affordable_neurons(graph, group, min(wanted, most - group.features), policy)
        super().__init__(network, policy, group.target, neurons)
        self.group = group
        (name,) = group.matches
        attention = network.unit(name)
        assert isinstance(attention, AttentionModule)
        query, key = makers_of(network.spec, name)
        self.match = MatchStatistics(attention, network.growing(query), network.growing(key))

    def wanted(self) -> Wanted:
        """The sums of the two."""
        return Wanted(counters=(self.match,))

    @torch.no_grad()
    def solve(self, gathered: Gathered) -> Pairs:
        """The best pairs of each head (docs/maths.md, "Attention")."""
        match, most = self.match, self.neurons // self.match.heads + _SPARE
        moment = match.moment()
        s_query, s_key = match.query.tensor_s().to(moment), match.key.tensor_s().to(moment)
        found = [
            optimal_match(
                s_query, s_key, -each, sensitivity=size, ridge=self.policy.ridge, maximum_neurons=most
            )
            for each, size in zip(moment, match.sensitivity().tolist(), strict=True)
        ]
        count = min(each.singular_values.shape[0] for each in found)
        query = torch.stack([each.alpha[:count] for each in found], dim=1).flatten(0, 1)
        key = torch.stack([each.omega[:, :count].T for each in found], dim=1).flatten(0, 1)
        values = torch.stack([each.singular_values[:count].square() for each in found]).sum(dim=0)
        return Pairs(query, key, values, ", ".join(dict.fromkeys(each.solver for each in found)))

    def judged(
        self, solution: Pairs, gathered: Gathered, generator: torch.Generator | None
    ) -> Solved | LeftOut:
        """The pairs are measured, if there are any."""
        if not len(solution.values):
            return self.left_out(_NONE)
        return SolvedMatching(self, solution)

    def drawn(self, generator: torch.Generator | None) -> Matching:
        """Features of the query drawn like its old weights, of the key zero: they change nothing yet."""
        layer = self.match.query
        sizes = [each.adapter.columns(each.layer) for each in self.match.layers]
        fan_in, on_cpu = layer.adapter.fan_in(layer.layer), layer.weight.detach().cpu()
        query = copy_uniform((self.neurons, sizes[0]), on_cpu, fan_in, generator=generator)
        key = torch.zeros(self.neurons, sizes[1])
        return replace(self.matching(query, key, predicted=0.0, slope=0.0), drawn=True)

    def matching(self, query: Tensor, key: Tensor, **facts: Any) -> Matching:
        """The candidate with rows (features, columns) of both sides, and their cost."""
        sides = []
        for module, matrix in zip(self.match.layers, (query, key), strict=True):
            weight, bias = module.adapter.weight_and_bias(module.layer, matrix.to(module.weight))
            sides.append(FanIn(weight, bias))
        weights = GroupNeurons(tuple(sides), (), None)
        cost = widening_cost(self.network.graph, self.group, len(query))
        return Matching(**self.facts(len(query), cost, **facts), group=self.group, weights=weights)


_NONE = "no new feature of query and key would lower the loss"


def _most_features(graph: Graph, group: WidthGroup) -> int:
    """Features of query and key beyond which there are no products that they do not give already.

    Those of a head are a bilinear form of what the two layers read at a position, of no higher rank than they have
    columns.
    """
    columns = [graph.parameters(name) // graph.features(name) for name in group.producers]
    return group.unit * min(columns)


@dataclass(frozen=True)
class SolvedMatching(Solved):
    """More pairs than are wanted: their exact slopes choose among them."""

    prospect: MatchProspect
    pairs: Pairs

    @property
    def watched(self) -> Watched:
        """The layers of query and key, and the attention."""
        match = self.prospect.match
        return Watched(match.layers, [match.attention], parameters=False)

    def batch_slopes(self, seen: Observation) -> Sums:
        """The slopes of each pair, all heads together, (pairs / heads,)."""
        match = self.prospect.match
        moment = match.moment_of(seen)
        query, key = (side.unflatten(0, (-1, match.heads)) for side in (self.pairs.query, self.pairs.key))
        return {"pairs": -torch.einsum("phc,hck,phk->p", query.to(moment), moment, key.to(moment))}

    def sample_slopes(self, seen: Observation) -> Tensor:
        """The slopes of each pair, (samples, pairs / heads)."""
        match = self.prospect.match
        query, key = (side.unflatten(0, (-1, match.heads)) for side in (self.pairs.query, self.pairs.key))
        return -match.slopes_of(seen, query, key)

    def measured(self, slopes: Sums) -> Matching | LeftOut:
        """The pairs of positive slope, the steepest first, as many as wanted."""
        prospect, heads = self.prospect, self.prospect.match.heads
        ordered, order = torch.sort(slopes["pairs"], descending=True, stable=True)
        count = enough(ordered, prospect.neurons // heads, prospect.policy.neurons)
        if count == 0:
            return prospect.left_out(_NONE)
        places = (order[:count, None] * heads + torch.arange(heads, device=order.device)).flatten()
        slope = float(ordered[:count].sum())
        found = prospect.matching(
            self.pairs.query[places],
            self.pairs.key[places],
            predicted=float(self.pairs.values[order[:count]].sum()),
            slope=slope,
            solver=self.pairs.solver,
        )
        along = torch.zeros_like(ordered)
        along[order[:count]] = 1.0
        step = newton_step(slopes, slope, along)
        if step is None:
            return found
        weights = found.weights.scaled(step**0.5, 1.0)
        return replace(found, weights=weights, slope=step * slope, predicted=step * slope / 2)
