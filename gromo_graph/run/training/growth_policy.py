"""The growth policy of a run, in which budgets that follow the data are numbers."""

from __future__ import annotations

from gromo_graph.amounts import amount
from gromo_graph.errors import RunError
from gromo_graph.graph import Graph
from gromo_graph.run.data.samples import Samples, size_of
from gromo_graph.spec import Spec
from gromo_graph.spec.kinds import Layer
from gromo_graph.spec.kinds.base import Grow
from gromo_graph.spec.settings import Growth, Stop

PER_SAMPLE = 10.0
"""Parameters for each training sample if a spec does not say how large the network may become.

Chosen on five tasks and confirmed on others (docs/deciding.md, "The size without a budget").
"""


def policy_for(graph: Graph, part: Samples) -> Growth:
    """The policy with the parameters that the training samples allow.

    Args:
        graph: of the network as it is. part: that is trained on.

    Raises:
        RunError: the policy goes by their number, and nobody knows it.
    """
    growth, samples = graph.spec.growth, size_of(part)
    match growth.stop.parameters_per_sample:
        case "auto":
            stop = _open(graph, samples) if _leaves_open(graph.spec) else None
            return growth.model_copy(update={"stop": stop or growth.stop})
        case "none":
            return growth
    if samples is None:
        raise RunError(
            "growth.stop.parameters_per_sample: the data do not tell how many training samples there are: write "
            "`parameters` instead"
        )
    return growth.model_copy(update={"stop": growth.stop.for_samples(samples)})


def budget_words(policy: Growth, part: Samples) -> str | None:
    """The parameters that the training samples allow, in words; None if it is not they that limit the network.

    Args:
        policy: of `policy_for`. part: that is trained on.

    >>> import torch
    >>> from torch.utils.data import TensorDataset
    >>> policy = Growth(stop=Stop(parameters_per_sample=10).for_samples(150))
    >>> budget_words(policy, TensorDataset(torch.zeros(150, 4)))
    '1,500 parameters, 10 for each of 150 training samples (`growth.stop.parameters_per_sample`)'
    """
    samples, stop = size_of(part), policy.stop
    rule, parameters = stop.parameters_per_sample, stop.parameters
    if samples is None or parameters is None or not isinstance(rule, float):
        return None
    each = f"{rule:g} for each of {amount(samples, 'training sample')}"
    return f"{amount(parameters, 'parameter')}, {each} (`growth.stop.parameters_per_sample`)"


def _open(graph: Graph, samples: int | None) -> Stop | None:
    """The budget of `auto`; None for a network that is larger, which a budget would keep as it is.

    It is the same for a network that has grown by it.
    """
    stop = Stop(parameters_per_sample=PER_SAMPLE).for_samples(samples or 0)
    most = graph.spec.growth.beyond * (stop.parameters or 0)
    return stop if graph.parameter_count <= most else None


def _leaves_open(spec: Spec) -> bool:
    """True if widths grow and nothing says how far."""
    growth = spec.growth
    widens = "widen" in growth.actions and not {"prune", "adapt"} & set(growth.actions)
    limited = growth.neurons.per_step, growth.neurons.share, growth.when.worth
    return (
        widens
        and growth.stop.is_open
        and growth.select != "information"  # which says itself how much pays
        and all(limit is None for limit in limited)
        and not any(map(_says_how_wide, spec.nodes.values()))
    )


def _says_how_wide(node: object) -> bool:
    """True for a layer whose width has a goal or a limit of its own."""
    grow = node.grow if isinstance(node, Layer) else None
    return isinstance(grow, Grow) and not (grow.target is None and grow.step is None and grow.max is None)
