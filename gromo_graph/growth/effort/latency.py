"""The time of a forward pass, which a policy may end growth by: measured once, recorded, and read when it is known."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

import torch

from gromo_graph.growth.observe import same_draws
from gromo_graph.growth.process_sums import Processes
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.example_inputs import random_inputs

MILLISECONDS = "milliseconds"
"""Its name in the `time` of an event."""
_WARM_UP, _PASSES = 5, 25


class Latency:
    """Milliseconds of a forward pass, by the number of growth steps applied.

    Attributes:
        record: what an earlier run has measured, which counts instead. known: what was measured here.
    """

    def __init__(self) -> None:
        self.record: Mapping[int, float] = {}
        self.known: dict[int, float] = {}

    def of(self, network: GrowingNetwork, step: int, processes: Processes) -> float:
        """The time after so many growth steps; of several processes that of the first."""
        if step in self.record:
            return self.record[step]
        if step not in self.known:
            self.known[step] = processes.number(measured_milliseconds(network))
        return self.known[step]


def measured_milliseconds(network: GrowingNetwork) -> float:
    """The median time of a forward pass of one sample through the exported module, on the network's device."""
    inputs, times = random_inputs(network, 1), []
    with same_draws(network), torch.inference_mode():
        module = network.to_torch().eval()
        for _ in range(_WARM_UP + _PASSES):
            began = time.perf_counter()
            module(*inputs)
            if inputs[0].is_cuda:
                torch.cuda.synchronize(inputs[0].device)
            times.append(time.perf_counter() - began)
    return 1000.0 * statistics.median(times[_WARM_UP:])
