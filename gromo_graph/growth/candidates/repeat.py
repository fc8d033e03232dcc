"""Depth by whole blocks: a copy of the last block of a stage behind it, whose closing weights are 0 at first.

The copy gives what it reads, so that each of its closing layers is like a new edge: it reads what the copy computes,
and the gradient at the value of the last block tells its weights (docs/maths.md, "Whole blocks").
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import networkx as nx
import torch
from torch import Tensor

from gromo_graph.graph import Bridge, Graph, NoBridge, build_graph, path_cost
from gromo_graph.graph.costs import Cost
from gromo_graph.graph.deepening import plain_reader
from gromo_graph.graph.repeating import Stage
from gromo_graph.growth.candidates.budget import within
from gromo_graph.growth.candidates.deepen import OutputStatistics
from gromo_graph.growth.candidates.new_edge import EdgeDelta, edge_delta
from gromo_graph.growth.candidates.paths import PathProspect
from gromo_graph.growth.candidates.slope_scores import newton_step, total
from gromo_graph.growth.candidates.stages import Applicable, InfeasibleError, LeftOut, Solved, Sums
from gromo_graph.growth.observe import Observation, Watched, at_output
from gromo_graph.growth.source_statistics import image_of
from gromo_graph.growth.statistics_pass import Gathered
from gromo_graph.growth.wanted_statistics import Wanted
from gromo_graph.layers import build_module
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.draft import Draft, drafted
from gromo_graph.spec.kinds import Input, Layer
from gromo_graph.spec.model import Spec
from gromo_graph.spec.settings import Growth
from gromo_graph.surgery.scaled_entries import Scaled


def stage_name(stage: Stage | NoBridge) -> str:
    """The name of a stage as a candidate."""
    return stage.source if isinstance(stage, NoBridge) else stage.name


def feasible_block(graph: Graph, policy: Growth, stage: Stage | NoBridge) -> tuple[Stage, Cost]:
    """A stage, and the cost of another block of it.

    Raises:
        InfeasibleError: it cannot begin as the identity, or would pass the budget.
    """
    if isinstance(stage, NoBridge):
        raise InfeasibleError(stage.reason)
    cost = path_cost(graph, stage)
    if not within(graph, cost, policy.stop):
        raise InfeasibleError("another block would pass the budget")
    return stage, cost


@dataclass
class ClosingStatistics(OutputStatistics):
    """The input of a closing layer of the copy, against the gradient at the value of the last block.

    Attributes:
        body: the copy up to there; None if the layer reads what the block reads.
        rectified: the block ends in a ReLU: where its value is 0, it has no slope to one side.
    """

    body: GrowingNetwork | None = None
    rectified: bool = False

    def seen_inside(self, seen: Observation) -> Observation:
        """The batch with what the layer would read for the value of the node."""
        value = seen.values[self.source]
        inside = value if self.body is None else self.body(value)
        target, gradients = at_output(self.source), dict(seen.gradients)
        if self.rectified:
            gradients[target] = gradients[target] * (value > 0)
        return replace(seen, values={self.source: inside}, gradients=gradients)

    @torch.no_grad()
    def update(self, seen: Observation) -> None:
        """Count a batch."""
        super().update(self.seen_inside(seen))


class RepeatProspect(PathProspect[tuple[EdgeDelta, ...]]):
    """Another block of a stage.

    Attributes:
        stage: which. closing: the statistics of each closing layer. parts: the torch modules of the copy, by name.
    """

    kind = "deepen"
    feasible = staticmethod(feasible_block)

    def __init__(self, network: GrowingNetwork, policy: Growth, stage: Stage | NoBridge) -> None:
        self.stage, self.cost = feasible_block(network.graph, policy, stage)
        end = self.stage.end
        at = Bridge(end, at_output(end), False, False, plain_reader(network.graph, end, kernel=1))
        super().__init__(network, policy, self.stage.name, 0, at)
        self.closing = tuple(self._statistics(name) for name in self.stage.closing)

    def wanted(self) -> Wanted:
        """The moments of what each closing layer reads, and of the gradient behind them."""
        return Wanted(counters=self.closing, curved=self.curved())

    def solve(self, gathered: Gathered) -> tuple[EdgeDelta, ...]:
        """The least squares of each closing layer by itself; of the factors of a norm the diagonal."""
        outputs = self.outputs(gathered) if self.policy.criterion == "natural" else None
        return tuple(
            edge_delta(closing, self.bridge.target, self.policy, outputs)
            if isinstance(self.network.spec.nodes[name], Layer)
            else _factors(closing, self.policy.ridge)
            for name, closing in zip(self.stage.closing, self.closing, strict=True)
        )

    def judged(
        self, solution: tuple[EdgeDelta, ...], gathered: Gathered, generator: torch.Generator | None
    ) -> Solved:
        """Its slope decides."""
        return SolvedBlock(self, solution)

    def first_changed(self) -> frozenset[str]:
        """Whoever reads the last block."""
        return frozenset(self.network.graph.readers(self.stage.end))

    def _statistics(self, name: str) -> ClosingStatistics:
        """The statistics of a closing layer, still empty."""
        graph, end = self.network.graph, self.stage.end
        node, last = graph.spec.nodes[name], graph.spec.nodes[end]
        is_layer = isinstance(node, Layer)
        read = node.sources[0] if is_layer else name
        reader = node if isinstance(node, Layer) else self.bridge.reader
        like = next(self.network.parameters())
        form = reader.model_copy(update={"features": 1, "bias": True})
        return ClosingStatistics(
            end,
            build_module(form, [graph.shapes[read]]).to(like),
            bridges=[replace(self.bridge, reader=reader)],
            entering={self.bridge.target: ()},
            body=None if read == self.stage.entry else self._body(read, None if is_layer else name),
            rectified=getattr(last, "activation", "identity") == "relu",
        )

    def _body(self, read: str, norm: str | None) -> GrowingNetwork:
        """The copy up to a node, as a network of its own; a norm that closes it without its factors."""
        graph, entry = self.network.graph, self.stage.entry
        inside = nx.ancestors(graph.digraph, read) | {read}
        nodes = {name: graph.spec.nodes[name] for name in self.stage.names if name in inside}
        spec = Spec(self.stage.name, {entry: Input(shape=graph.shapes[entry]), **nodes}, (read,))
        parts = copied_parts(self.network, self.stage)
        own = {name: parts[self.stage.names[name]] for name in nodes if self.stage.names[name] in parts}
        if norm is not None:
            torch.nn.init.ones_(own[norm].get_parameter("weight"))
        return GrowingNetwork(build_graph(spec), own).eval()


def copied_parts(network: GrowingNetwork, stage: Stage) -> dict[str, torch.nn.Module]:
    """The torch modules of the copy, by their new names; closing weights and biases are 0."""
    found = {
        new: copy.deepcopy(network.parts[name]) for name, new in stage.names.items() if name in network.parts
    }
    for name in stage.closing:
        for parameter in found[stage.names[name]].parameters():
            torch.nn.init.zeros_(parameter)
    return found


def _factors(closing: ClosingStatistics, ridge: float) -> EdgeDelta:
    """The factors of a norm: what its features alone can do about the gradient of their own channel."""
    s = closing.second_moment.diagonal()[:-1]
    m = closing.m()[:-1].diagonal().to(s)
    floor = ridge * s.mean() + torch.finfo(s.dtype).tiny
    return EdgeDelta(torch.diag(m / (s + floor)), {}, "cholesky")


@dataclass(frozen=True)
class SolvedBlock(Solved):
    """Another block with its closing weights."""

    prospect: RepeatProspect
    solution: tuple[EdgeDelta, ...]

    @property
    def watched(self) -> Watched:
        """The value of the last block, and the gradient there."""
        end = self.prospect.stage.end
        return Watched((), values=(end,), outputs=(end,), parameters=False)

    def _change(self, seen: Observation) -> Tensor:
        """The decrease of each value of the copy per unit of γ."""
        closing = self.prospect.closing
        changes = [
            image_of(each.value(each.layer_of(solved.delta), each.seen_inside(seen)))
            for each, solved in zip(closing, self.solution, strict=True)
        ]
        change = torch.stack(changes).sum(dim=0)
        if not closing[0].rectified:
            return change
        # Below 0 a value that stands at the kink cannot fall.
        value = image_of(seen.values[self.prospect.stage.end])
        return torch.where(value > 0, change, change.clamp_max(0.0))

    def batch_slopes(self, seen: Observation) -> Sums:
        """The slope of all closing weights together."""
        return {"slope": total(self._change(seen) * image_of(seen.gradients[self.prospect.bridge.target]))}

    def sample_slopes(self, seen: Observation) -> Tensor:
        """The same of each sample, (samples, 1)."""
        gradient = image_of(seen.gradients[self.prospect.bridge.target])
        return (self._change(seen) * gradient).flatten(1).sum(dim=1, keepdim=True)

    def measured(self, slopes: Sums) -> NewBlock | LeftOut:
        """The block, if the loss falls by it."""
        slope, prospect = float(slopes["slope"]), self.prospect
        note = self.solution[0].note
        if not slope > 0.0:
            return prospect.left_out("it would not lower the loss", note=note)
        weights = {
            name: _weight(prospect, name, closing, solved.delta)
            for name, closing, solved in zip(
                prospect.stage.closing, prospect.closing, self.solution, strict=True
            )
        }
        facts: dict[str, Any] = prospect.facts(0, prospect.cost, slope=slope, predicted=slope, note=note)
        found = NewBlock(**facts, stage=prospect.stage, weights=weights, changed=prospect.first_changed())
        return found.at_step(newton_step(slopes, slope))


def _weight(prospect: RepeatProspect, name: str, closing: ClosingStatistics, delta: Tensor) -> Tensor:
    """−δ as the weight of a closing layer, or the factors of a norm."""
    if isinstance(prospect.network.spec.nodes[name], Layer):
        return closing.weights(-delta)[0]
    return -delta.diagonal()


@dataclass(frozen=True)
class NewBlock(Applicable):
    """A copy of the last block of a stage behind it.

    Attributes:
        stage: which. weights: of each closing layer at γ = 1, by its name in the last block.
        changed: the nodes that read the last block.
    """

    stage: Stage = field(kw_only=True, compare=False, repr=False)
    weights: Mapping[str, Tensor] = field(kw_only=True, compare=False, repr=False)
    changed: frozenset[str] = field(kw_only=True, compare=False, repr=False)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The new nodes."""
        return tuple(name for name, _ in self.stage.nodes)

    @property
    def first_changed(self) -> frozenset[str]:
        """Whoever reads the last block."""
        return self.changed

    def draft(self, network: GrowingNetwork, policy: Growth) -> Draft:
        """The network with the copy; its parameters join the groups of those that they are copies of."""
        new = copied_parts(network, self.stage)
        entries = []
        for name, weight in self.weights.items():
            parameter = new[self.stage.names[name]].get_parameter("weight").detach()
            entries.append(Scaled(parameter, [(1.0, weight.to(parameter))]))
        origins = {
            parameter: original
            for name, part in new.items()
            for parameter, original in zip(
                part.parameters(), network.parts[self._was[name]].parameters(), strict=True
            )
        }
        return Draft(drafted(network, self.stage, new), origins=origins, entries=entries)

    @property
    def _was(self) -> Mapping[str, str]:
        return {new: name for name, new in self.stage.names.items()}

    def at_step(self, step: float | None) -> NewBlock:
        """The candidate as large as at a step size, so that γ = 1 is that step; None leaves it as it is."""
        if step is None or self.slope is None:
            return self
        slope = step * self.slope
        weights = {name: step * weight for name, weight in self.weights.items()}
        return replace(self, weights=weights, slope=slope, predicted=slope / 2)
