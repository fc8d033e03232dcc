"""All proposals of one moment: statistics in one pass over the data, slopes in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from gromo_graph.growth.candidates import Proposal, widen_proposals, with_cost
from gromo_graph.growth.observe import Loader, Loss, observe
from gromo_graph.growth.policy import ranked
from gromo_graph.growth.slopes import measure
from gromo_graph.growth.solve import (
    Solution,
    is_dead,
    modules_of,
    random_neurons,
    rescue_size,
    resting_value,
    solve,
    to_layer_scale,
)
from gromo_graph.modules import GrowingModule
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Growth


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
    proposals = [_with_bias_checked(network, policy, p) for p in widen_proposals(network.graph, policy)]
    left_out = [proposal for proposal in proposals if proposal.reason is not None]
    able = [proposal for proposal in proposals if proposal.reason is None]
    if able and policy.criterion == "random":
        able = [_drawn(network, proposal, proposal.neurons, generator) for proposal in able]
    elif able:
        able = _measured(network, loss, loader, able, policy=policy, generator=generator)
    return ranked([*able, *left_out], policy)


def _with_bias_checked(network: GrowingNetwork, policy: Growth, proposal: Proposal) -> Proposal:
    """Left out where new units would shift a consumer that has no bias to take it back."""
    if proposal.reason is not None or policy.scale != "sqrt":
        return proposal
    consumer, producer = modules_of(network, proposal)
    if consumer.use_bias or resting_value(producer) == 0.0:
        return proposal
    reason = f"its new units start at {resting_value(producer):g} and `{consumer.name}` has no bias to take it back"
    return replace(proposal, reason=reason, neurons=0, delta_parameters=0, delta_madds=0)


def _measured(
    network: GrowingNetwork,
    loss: Loss,
    loader: Loader,
    proposals: Sequence[Proposal],
    *,
    policy: Growth,
    generator: torch.Generator | None,
) -> list[Proposal]:
    modules = list({id(m): m for p in proposals for m in modules_of(network, p)}.values())
    _gather(network, loss, loader, modules, samples=policy.statistics.samples)
    dead = [p.target for p in proposals if policy.rescue and is_dead(network, p)]
    alive = [p for p in proposals if p.target not in dead]
    finite_scale = policy.scale == "alpha_std"
    solved = [(p, _solved(network, p, policy)) for p in alive]
    for module in modules:
        module.reset_computation()
    measured = []
    if solved:
        measured = measure(
            network, loss, loader, solved, apply_delta=policy.apply_delta, finite_scale=finite_scale
        )
    rescued = [
        replace(
            _drawn(network, p, rescue_size(p), generator),
            rescue=True,
            note=f"every unit of `{p.target}` is dead",
        )
        for p in proposals
        if p.target in dead
    ]
    return [*rescued, *(with_cost(network.graph, p) if p.neurons else _without_cost(p) for p in measured)]


def _gather(
    network: GrowingNetwork,
    loss: Loss,
    loader: Loader,
    modules: Sequence[GrowingModule],
    *,
    samples: int | None,
) -> None:
    """The statistics of all modules in one pass, by their own functions."""
    for module in modules:
        module.init_computation()
    for seen in observe(network, loss, loader, modules, samples=samples):
        for module in modules:
            module.update_computation(
                desired_activation=seen.gradients[module.name],
                weight_gradient=seen.weight_gradients[module.name],
                bias_gradient=seen.bias_gradients[module.name],
            )


def _solved(network: GrowingNetwork, proposal: Proposal, policy: Growth) -> Solution:
    solution = solve(network, proposal, policy)
    if policy.scale == "sqrt":
        return solution
    return replace(solution, weights=to_layer_scale(network, proposal, solution.weights))


def _drawn(
    network: GrowingNetwork, proposal: Proposal, neurons: int, generator: torch.Generator | None
) -> Proposal:
    """Units at random with zero fan-out: the function does not change, training finds their use."""
    weights = random_neurons(network, proposal, neurons, generator)
    drawn = replace(proposal, neurons=neurons, weights=weights, predicted=0.0, slope=0.0, drawn=True)
    return with_cost(network.graph, drawn)


def _without_cost(proposal: Proposal) -> Proposal:
    return replace(proposal, delta_parameters=0, delta_madds=0)
