"""All proposals of one moment: statistics in one pass over the data, slopes in another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch

from gromo_graph.errors import GrowthError
from gromo_graph.growth.apply import linked
from gromo_graph.growth.candidates import Proposal, widen_proposals, with_cost
from gromo_graph.growth.observe import Loader, Loss, observe
from gromo_graph.growth.policy import ranked
from gromo_graph.growth.resting import cannot_be_taken_back
from gromo_graph.growth.slopes import measure
from gromo_graph.growth.solve import Solution, is_dead, random_neurons, rescue_size, solve
from gromo_graph.modules import MergeGrowingModule
from gromo_graph.modules.group import LinkedGroup
from gromo_graph.modules.joint import count, modules_of
from gromo_graph.modules.measured import MeasuredModule
from gromo_graph.modules.measuring import start_alone
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.groups import gather_for
from gromo_graph.spec.settings import Growth, Statistics

_SOLVED = ("tiny", "gradmax")
"""Criteria that need statistics."""
_NO_SLOPE = "no slope behind a layer norm: judged by the loss"


def plan_proposals(
    network: GrowingNetwork,
    loss: Loss,
    loader: Loader,
    *,
    policy: Growth,
    generator: torch.Generator | None,
) -> list[Proposal]:
    """Every width group as a proposal: solved and measured, or with the reason why it is left out; best first.

    Raises:
        GrowthError: an empty loader, a loss that is no finite scalar, statistics that are not finite.
    """
    groups: dict[str, LinkedGroup] = {}
    proposals = [_followed(network, p, policy, groups) for p in widen_proposals(network.graph, policy)]
    left_out = [proposal for proposal in proposals if proposal.reason is not None]
    able = [proposal for proposal in proposals if proposal.reason is None]
    if able and policy.criterion in _SOLVED:
        able = _measured(network, loss, loader, able, groups, policy=policy, generator=generator)
    else:
        able = [_drawn(network, p, groups[p.target], policy, p.neurons, generator) for p in able]
    return ranked([*able, *left_out], policy)


def _followed(
    network: GrowingNetwork, proposal: Proposal, policy: Growth, groups: dict[str, LinkedGroup]
) -> Proposal:
    """The proposal, its modules put into `groups`; left out where the way of its new units cannot be followed."""
    if proposal.reason is not None:
        return proposal
    try:
        group = linked(network, proposal, policy)
        reason = cannot_be_taken_back(network.graph, group) if policy.scale == "sqrt" else None
    except GrowthError as error:
        reason = str(error)
    if reason is not None and policy.criterion in _SOLVED:
        return proposal.left_out(reason)
    groups[proposal.target] = group
    return proposal


def _measured(
    network: GrowingNetwork,
    loss: Loss,
    loader: Loader,
    proposals: Sequence[Proposal],
    groups: Mapping[str, LinkedGroup],
    *,
    policy: Growth,
    generator: torch.Generator | None,
) -> list[Proposal]:
    modules = _gather(network, loss, loader, list(groups.values()), policy.statistics)
    dead = {p.target for p in proposals if policy.rescue and is_dead(groups[p.target])}
    alive = [p for p in proposals if p.target not in dead]
    solved = [(p, solve(p, groups[p.target], policy)) for p in alive]
    _let_go(network, modules)
    found = [_rescued(network, p, groups[p.target], policy, generator) for p in proposals if p.target in dead]
    if policy.criterion == "gradmax":
        return [*found, *(_as_drawn(network, p, s) for p, s in solved)]
    steep = [(p, s) for p, s in solved if not s.linked.jumps]
    found += [_unmeasured(p, s) for p, s in solved if s.linked.jumps]
    if steep:
        found += measure(network, loss, loader, steep, policy=policy)
    return [with_cost(network.graph, p) if p.reason is None else p for p in found]


def _gather(
    network: GrowingNetwork,
    loss: Loss,
    loader: Loader,
    groups: Sequence[LinkedGroup],
    statistics: Statistics,
) -> list[MeasuredModule]:
    """The statistics of all groups in one pass, by the functions of their modules."""
    consumers = list(dict.fromkeys(c for group in groups for c in group.consumers))
    merges = _joint_merges(network, consumers)
    partners = [module for merge in merges for module in modules_of(merge)]
    modules = list(dict.fromkeys([*consumers, *partners, *(p for g in groups for p in g.producers)]))
    for module in modules:
        module.delta_raw = None
        start_alone(module)
        module.growth_links = []
    for merge in merges:
        merge.joint_blocks.clear()
        for module in modules_of(merge):
            module.joint_partners = modules_of(merge)
    measured = list(dict.fromkeys([*consumers, *partners]))
    gather_for(groups)
    for seen in observe(network, loss, loader, modules, samples=statistics.samples):
        for module in measured:
            module.update_computation(
                desired_activation=seen.gradients[module.name],
                weight_gradient=seen.weight_gradients[module.name],
                bias_gradient=seen.bias_gradients[module.name],
            )
        for merge in merges:
            count(merge)
        if statistics.error is not None and _precise(measured, statistics.error):
            break
    return modules


def _joint_merges(network: GrowingNetwork, consumers: Iterable[MeasuredModule]) -> list[MergeGrowingModule]:
    """The sums that several layers enter with one gradient, some consumer among them."""
    merges = dict.fromkeys(c.next_module for c in consumers if isinstance(c.next_module, MergeGrowingModule))
    return [merge for merge in merges if len(modules_of(merge)) > 1]


def _precise(modules: Iterable[MeasuredModule], error: float) -> bool:
    """Whether S and M of every layer are known to a relative error; N is made of the same data."""
    return all(m.tensor_s.is_precise(error) and m.tensor_m.is_precise(error) for m in modules)


def _let_go(network: GrowingNetwork, modules: Iterable[MeasuredModule]) -> None:
    """Drop statistics and stored activations."""
    for module in modules:
        module.reset_computation()
        module.joint_partners = ()
        if isinstance(module.next_module, MergeGrowingModule):
            module.next_module.joint_blocks.clear()


def _rescued(
    network: GrowingNetwork,
    proposal: Proposal,
    group: LinkedGroup,
    policy: Growth,
    generator: torch.Generator | None,
) -> Proposal:
    drawn = _drawn(network, proposal, group, policy, rescue_size(proposal), generator)
    return replace(drawn, rescue=True, note=_joined(f"every unit of `{proposal.target}` is dead", drawn.note))


def _drawn(
    network: GrowingNetwork,
    proposal: Proposal,
    group: LinkedGroup,
    policy: Growth,
    neurons: int,
    generator: torch.Generator | None,
) -> Proposal:
    """Units that change nothing yet: training finds their use."""
    weights = random_neurons(group, policy, neurons, generator)
    return _without_effect(network, replace(proposal, neurons=neurons, weights=weights), group)


def _as_drawn(network: GrowingNetwork, proposal: Proposal, solution: Solution) -> Proposal:
    """GradMax's units: solved for, but with a fan-in of zero, so that they change nothing yet."""
    size = min(solution.neurons.size, proposal.neurons)
    if size == 0:
        return proposal.left_out("no gradient reaches it")
    weights = solution.neurons.selected(torch.arange(size, device=solution.neurons.device))
    found = replace(proposal, neurons=size, weights=weights, note=solution.note)
    return _without_effect(network, found, solution.linked)


def _without_effect(network: GrowingNetwork, proposal: Proposal, group: LinkedGroup) -> Proposal:
    """Of units that change nothing yet the slope is 0; behind a layer norm they do change something."""
    slope, note = (None, _joined(proposal.note, _NO_SLOPE)) if group.jumps else (0.0, proposal.note)
    return with_cost(network.graph, replace(proposal, predicted=0.0, slope=slope, note=note, drawn=True))


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _unmeasured(proposal: Proposal, solution: Solution) -> Proposal:
    """Behind a layer norm there is no slope; the realised loss decides."""
    size = min(solution.neurons.size, proposal.neurons)
    if size == 0:
        return proposal.left_out("no new neuron would lower the loss")
    weights = solution.neurons.selected(torch.arange(size, device=solution.neurons.device))
    assert weights.values is not None
    return replace(
        proposal,
        neurons=size,
        weights=weights,
        predicted=solution.linked.ways.gain * float(weights.values.square().sum()),
        slope=None,
        note=_joined(solution.note, _NO_SLOPE),
    )
