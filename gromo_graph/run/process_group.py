"""Several processes that make one run: joining them, and wrapping the network for their training."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
import torch.distributed as dist

from gromo_graph.environment import process_count
from gromo_graph.errors import RunError
from gromo_graph.growth.process_sums import Processes
from gromo_graph.network import GrowingNetwork


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """The processes that a launcher such as torchrun has started, connected while this is entered.

    Where torch.distributed has been initialised already, its processes are taken, and left as they are.

    Args:
        device: on which this one computes: messages go by nccl between GPUs, else by gloo.

    Raises:
        RunError: they cannot be connected.
    """
    begin = process_count() > 1 and not dist.is_initialized()
    if begin:
        try:
            if device.type == "cuda":
                torch.cuda.set_device(device)
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        except (RuntimeError, ValueError) as error:
            raise RunError(f"the {process_count()} processes cannot be connected: {error}") from error
    try:
        yield Processes.current()
        if begin:
            _finish_together()
    finally:
        if begin:
            dist.destroy_process_group()


def _finish_together() -> None:
    """Wait until no process sends any more, after unused instances of DistributedDataParallel are collected."""
    gc.collect()
    with suppress(RunError):  # what has been done is done
        Processes.current().any(False)


def wrapped(network: GrowingNetwork, processes: Processes) -> torch.nn.Module:
    """The module to train: the network itself, or with several processes DistributedDataParallel around it.

    It gives all processes the weights of the first one. After a change of shape it is made anew; of the one before
    nothing may be left, or it would wait for gradients of weights that are gone.
    """
    if processes.count == 1:
        return network
    gc.collect()
    return torch.nn.parallel.DistributedDataParallel(network)
