"""The growth policy of a run, in which budgets that follow the data are numbers."""

from __future__ import annotations

from gromo_graph.errors import RunError
from gromo_graph.run.data.samples import Samples, size_of
from gromo_graph.spec.settings import Growth


def policy_for(growth: Growth, part: Samples) -> Growth:
    """The policy with the parameters that the training samples allow.

    Args:
        growth: of a spec. part: that is trained on.

    Raises:
        RunError: the policy goes by their number, and nobody knows it.
    """
    if growth.stop.parameters_per_sample is None:
        return growth
    samples = size_of(part)
    if samples is None:
        raise RunError(
            "growth.stop.parameters_per_sample: the data do not tell how many training samples there are: write "
            "`parameters` instead"
        )
    return growth.model_copy(update={"stop": growth.stop.for_samples(samples)})
