"""New edges and new nodes: which could be added, and what their weights would be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gromo_graph.algebra import OptimalExtension, optimal_delta, optimal_extension, tangent_of
from gromo_graph.graph import (
    Bridge,
    Graph,
    HeadPlace,
    bridges,
    head_name,
    head_places,
    new_edge,
    new_head,
    new_node,
    path_cost,
)
from gromo_graph.graph.paths import Middle, middle_name, sum_of, usual_activation
from gromo_graph.growth.candidates.proposals import NewPath, neurons_at_once, within
from gromo_graph.growth.candidates.widen import ROWS_PER_INPUT, SPARE_DIRECTIONS
from gromo_graph.growth.source_statistics import Reading, with_path
from gromo_graph.layers.build import activation_module
from gromo_graph.modules import MergeGrowingModule
from gromo_graph.modules.joint import joint_s
from gromo_graph.modules.measured import MeasuredModule
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.kinds import Attention
from gromo_graph.spec.settings import Growth


def path_proposals(graph: Graph, policy: Growth) -> list[NewPath]:
    """One proposal for each edge, node and head that could be added, not solved yet."""
    found: list[NewPath] = []
    if "new_head" in policy.actions:
        found += [_head(graph, place, policy) for place in head_places(graph)]
    if not {"new_edge", "new_node"} & set(policy.actions):
        return found
    middle = middle_of(graph)
    for bridge in bridges(graph):
        if "new_edge" in policy.actions and not bridge.has_edge:
            found.append(_edge(graph, bridge, policy))
        if "new_node" in policy.actions and not bridge.has_node:
            found.append(_node(graph, bridge, middle, policy))
    return found


def _edge(graph: Graph, bridge: Bridge, policy: Growth) -> NewPath:
    proposal = NewPath("new_edge", f"{bridge.source}->{bridge.target}", bridge=bridge, planned_for=graph)
    if bridge.reader is None:
        return replace(proposal, reason=bridge.reason)
    path = new_edge(graph, bridge)
    if not within(graph, path_cost(graph, path), policy.stop):
        return replace(proposal, reason="it would pass the budget")
    return with_path(proposal, path)


def _node(graph: Graph, bridge: Bridge, middle: Middle, policy: Growth) -> NewPath:
    target = "->".join((bridge.source, middle.name, bridge.target))
    proposal = NewPath("new_node", target, bridge=bridge, planned_for=graph)
    if bridge.reader is None:
        return replace(proposal, reason=bridge.reason)
    for neurons in range(neurons_at_once(policy, None), 0, -1):
        path = new_node(graph, bridge, middle, neurons)
        if within(graph, path_cost(graph, path), policy.stop):
            return with_path(replace(proposal, neurons=neurons), path)
    return replace(proposal, reason="one neuron there would pass the budget")


def _head(graph: Graph, place: HeadPlace, policy: Growth) -> NewPath:
    bridge = place.bridge
    target = "->".join((bridge.source, head_name(graph), bridge.target))
    proposal = NewPath("new_head", target, bridge=bridge, place=place, planned_for=graph)
    if bridge.reader is None:
        return replace(proposal, reason=bridge.reason)
    node = graph.spec.nodes[place.attention]
    assert isinstance(node, Attention)
    for features in range(graph.features(place.value) // node.heads, 0, -1):
        path = new_head(graph, place, features, min(features, graph.features(place.query) // node.heads))
        if within(graph, path_cost(graph, path), policy.stop):
            return with_path(replace(proposal, neurons=features), path)
    return replace(proposal, reason="a head of one feature would pass the budget")


def middle_of(graph: Graph) -> Middle:
    """What new nodes of a graph are like."""
    activation = usual_activation(graph)
    shifts = tangent_of(activation_module(activation)).value != 0.0
    return Middle(middle_name(graph), activation, shifts)


def entering_layers(network: GrowingNetwork, target: str) -> tuple[MeasuredModule, ...]:
    """The layers that are added up at a target without more: the layer itself, or those before the sum."""
    graph = network.graph
    if graph.units[target].role == "layer":
        return (network.growing(target),)
    return tuple(network.growing(name) for name in graph.sources(target) if sum_of(graph, name) == target)


@dataclass(frozen=True)
class Found:
    """A path with its weights, before its slope has been measured.

    Attributes:
        reading: how its source is read.
        delta: (out, columns) of a new edge, the constant left out; None for a node.
        neurons: of a new node, more than wanted; None for an edge.
    """

    proposal: NewPath
    reading: Reading
    delta: Tensor | None = None
    neurons: OptimalExtension | None = None


def solved_paths(
    network: GrowingNetwork, reading: Reading, proposals: Sequence[NewPath], policy: Growth
) -> list[Found]:
    """The weights of all paths that begin with one reading, from what it has gathered.

    Args:
        proposals: those of its bridges; the optimal deltas of the layers that enter their targets have been solved.
    """
    s, by_target = reading.second_moment(), reading.by_target()
    found: list[Found] = []
    edges = [p for p in proposals if p.kind == "new_edge" and p.bridge is not None]
    if edges and policy.apply_delta:
        found += [_joint_edge(network, reading, p, s, by_target, policy) for p in edges]
    elif edges:
        m = torch.cat([by_target[p.bridge.target] for p in edges if p.bridge is not None], dim=1)[:-1]
        solved = optimal_delta(s[:-1, :-1], m.to(s), ridge=policy.ridge)
        sizes = [by_target[p.bridge.target].shape[1] for p in edges if p.bridge is not None]
        found += [
            Found(replace(p, solver=solved.solver), reading, delta)
            for p, delta in zip(edges, solved.delta.split(sizes), strict=True)
        ]
    for proposal in proposals:
        if proposal.kind in ("new_node", "new_head") and proposal.bridge is not None:
            found.append(_solved_node(reading, proposal, s, by_target[proposal.bridge.target], policy))
    return found


def _joint_edge(
    network: GrowingNetwork,
    reading: Reading,
    proposal: NewPath,
    s: Tensor,
    by_target: Mapping[str, Tensor],
    policy: Growth,
) -> Found:
    """The columns of the new edge join the least squares of the layers that enter the target (MATH.md, candidates)."""
    assert proposal.bridge is not None
    target = proposal.bridge.target
    layers = reading.entering[target]
    if not layers:
        alone = optimal_delta(s[:-1, :-1], by_target[target][:-1].to(s), ridge=policy.ridge)
        return Found(replace(proposal, solver=alone.solver), reading, alone.delta)
    cross = torch.cat([reading.cross[layer]() for layer in layers], dim=1)[:-1]
    module = network.unit(target)
    inside = (
        joint_s(module)
        if isinstance(module, MergeGrowingModule) and len(layers) > 1
        else layers[0].tensor_s()
    )
    whole = torch.cat((torch.cat((s[:-1, :-1], cross), dim=1), torch.cat((cross.T, inside), dim=1)))
    m = torch.cat((by_target[target][:-1], *(layer.tensor_m() for layer in layers)))
    solved = optimal_delta(whole, m.to(whole), ridge=policy.ridge)
    own, *others = solved.delta.split([len(s) - 1, *(len(layer.tensor_m()) for layer in layers)], dim=1)
    deltas = {layer.name: part for layer, part in zip(layers, others, strict=True)}
    return Found(replace(proposal, deltas=deltas, solver=solved.solver), reading, own)


def _solved_node(reading: Reading, proposal: NewPath, s: Tensor, m: Tensor, policy: Growth) -> Found:
    assert proposal.bridge is not None
    layers = reading.entering[proposal.bridge.target]
    n, note = -m.to(s), ""
    columns = sum(layer.adapter.columns(layer.layer) for layer in layers)
    if layers and reading.rows < ROWS_PER_INPUT * columns:
        note = "raw gradient: few samples"
    else:
        for layer in layers:
            if layer.delta_raw is not None:
                n = n + reading.cross[layer]().to(s) @ layer.delta_raw.to(s).T
    found = optimal_extension(
        s,
        n,
        ridge=policy.ridge,
        statistical_threshold=0.0,
        maximum_neurons=2 * proposal.neurons + SPARE_DIRECTIONS,
    )
    if found.solver != "cholesky":
        note = "; ".join(filter(None, [note, f"neurons solved by {found.solver}"]))
    return Found(replace(proposal, note=note, solver=found.solver), reading, neurons=found)
