"""`plan`: how a network could grow now, measured on data; nothing changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from gromo_graph.errors import RunError
from gromo_graph.growth import GrowthScheduler
from gromo_graph.growth.effort.sample_parts import SAMPLES_FOR_NORMS, some_samples
from gromo_graph.growth.observe import Loader, batches
from gromo_graph.network import GrowingNetwork
from gromo_graph.records import Plan
from gromo_graph.run.data.batches import batches_of
from gromo_graph.run.data.load_data import data_of
from gromo_graph.run.data.preparation import Preparation
from gromo_graph.run.data.samples import Samples
from gromo_graph.run.data.sources import Source
from gromo_graph.run.folder.load_run import load_run
from gromo_graph.run.folder.run_folder import holds_run
from gromo_graph.run.folder.weights_file import first_weights, load_first_weights
from gromo_graph.run.resources import choose_device, compiled, seeded, sound_seed
from gromo_graph.run.spec_source import SpecSource
from gromo_graph.run.training.growth_policy import policy_for
from gromo_graph.run.training.objective import prepared_objective
from gromo_graph.spec import Spec
from gromo_graph.spec.expand.overrides import Overrides


def plan(
    target: Spec | str | os.PathLike[str],
    *,
    data: Source = None,
    weights: str | os.PathLike[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    overrides: Overrides = (),
    on_batch: Callable[[str], None] | None = None,
) -> Plan:
    """All candidates for growth, best first, as the scheduler would see them on the training data.

    Args:
        target: a spec, the path of one, or a run folder, whose network is taken with its weights.
        data: as for `grow`; None takes what the spec names, or the data of the run.
        weights: a .safetensors file or a run folder, for the network of a spec; None takes first weights.
        seed: of first weights, the order of the data and neurons that are drawn.
        device: auto, cpu or cuda.
        overrides: as for `grow`, for the path of a spec.
        on_batch: called before each batch with the place in the plan, "statistics 3 of 12 batches".

    Raises:
        SpecError: the spec is wrong.
        RunError: the data, the weights or the device; or overrides or weights for a run, which has its own.
        GrowthError: the loss or the statistics are not finite.

    >>> from gromo_graph import parse_spec
    >>> spec = parse_spec('''
    ... name: small
    ... nodes:
    ...   x: {kind: input, shape: [4]}
    ...   hidden: {kind: linear, from: x, features: 1, activation: relu}
    ...   y: {kind: linear, from: hidden, features: 3}
    ... output: y
    ... train: {data: iris}
    ... ''')
    >>> [candidate.target for candidate in plan(spec).candidates if candidate.reason is None]
    ['hidden']
    """
    seed, chosen = sound_seed(seed), choose_device(device)
    changes: dict[str, Any] = {}
    if isinstance(target, (str, os.PathLike)) and holds_run(Path(target)):
        network, part, preparation = _of_run(Path(target), data, weights, overrides)
        changes = {"beyond": 1.0}  # what a run ended with is within its budget
    else:
        source = SpecSource.of(target, overrides)
        found = data_of(source, data)
        part, preparation = found.train, found.preparation
        network = compiled(source.spec, seed, chosen)
        if weights is not None:
            load_first_weights(first_weights(weights), network)
    network.to(chosen)
    train, policy = network.spec.train, policy_for(network.graph, part).model_copy(update=changes)
    generator = torch.Generator().manual_seed(seed)
    objective = prepared_objective(train, preparation, weighted=part.weighted)
    scheduler = GrowthScheduler(network, objective, policy=policy, generator=generator, on_batch=on_batch)
    loader = batches_of(part, train.batch_size, seed=seed, device=chosen)
    with seeded(seed, chosen):
        _let_norms_measure(network, some_samples(loader, SAMPLES_FOR_NORMS))
        return scheduler.plan(loader)


class _OfOneArgument(torch.nn.Module):
    """A network that is called with all its inputs in one tuple."""

    def __init__(self, network: GrowingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: tuple[torch.Tensor, ...]) -> Any:
        return self.network(*inputs)


def _let_norms_measure(network: GrowingNetwork, loader: Loader) -> None:
    """Give batch norms that have seen nothing the means and variances of the data; else units may all look dead."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if any(norm.running_mean is None or norm.running_mean.any() for norm in norms):
        return
    several = ((inputs,) for inputs, target in batches(loader, network) if len(target) > 1)
    update_bn(several, _OfOneArgument(network))


def _of_run(
    path: Path,
    data: Source,
    weights: str | os.PathLike[str] | None,
    overrides: Overrides,
) -> tuple[GrowingNetwork, Samples, Preparation]:
    """The network of a run, the samples that it is planned with, and their preparation."""
    if weights is not None or overrides:
        given = "weights" if weights is not None else "overrides"
        raise RunError(f"{path}: a run has its own {given}: give its spec.yaml to plan with others")
    run = load_run(path)
    parts = run.parts(data)
    part = parts["train"] if "train" in parts else parts["all"]
    return run.network, part, run.preparation
