"""Device, random state and memory of a run: each is checked before anything is computed."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import SupportsIndex

import torch

from gromo_graph.environment import local_rank, process_count
from gromo_graph.errors import RunError
from gromo_graph.graph import build_graph
from gromo_graph.growth.out_of_memory import out_of_memory
from gromo_graph.growth.planning import expected_memory
from gromo_graph.memory_sizes import size
from gromo_graph.network import GrowingNetwork, compile_network
from gromo_graph.spec import Spec


def sound_seed(seed: SupportsIndex) -> int:
    """The seed as a plain number; one that torch's generators do not take is refused.

    Raises:
        RunError: no whole number, a negative one, or one of more than 63 bits.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number < 2**63:
        raise RunError(f"seed {seed}: expected a whole number from 0 to 2⁶³ − 1")
    return number


def choose_device(name: str | torch.device) -> torch.device:
    """The device for auto, cpu or cuda; of several processes on one machine each has a GPU of its own.

    Raises:
        RunError: there is no such device here.
    """
    name = str(name)
    if name not in ("auto", "cpu", "cuda"):
        raise RunError(f"unknown device {name!r}: expected auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise RunError("this torch sees no GPU: use --device cpu or auto")
    if name == "cpu" or not available:
        return torch.device("cpu")
    if process_count() == 1:
        return torch.device("cuda")
    if local_rank() >= torch.cuda.device_count():
        raise RunError(
            f"process {local_rank()} of this machine has no GPU: there are {torch.cuda.device_count()}; start so many "
            "processes, or use --device cpu"
        )
    return torch.device("cuda", local_rank())


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators, from which dropout draws, and give the caller's state back afterwards."""
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def compiled(spec: Spec, seed: int, device: torch.device) -> GrowingNetwork:
    """The network of a spec, with an error in words for one that is too large.

    Raises:
        RunError: it does not fit into memory.
    """
    graph = build_graph(spec)
    try:
        return compile_network(spec, seed=seed, device=device)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise RunError(
            f"`{spec.name}` does not fit into memory: it has {graph.parameter_count:,} parameters before any growth"
        ) from error


def check_memory(network: GrowingNetwork, limit: int | None) -> None:
    """Refuse a run whose first growth step would take more memory than is allowed; without a limit none is refused.

    Args:
        network: before any growth.
        limit: bytes that the statistics of a growth step may take.

    Raises:
        RunError: the sizes of the network say that it needs more.
    """
    if limit is None:
        return
    if limit <= 0:
        raise RunError(f"max_memory={limit}: expected a number of bytes above 0")
    needed = expected_memory(network, network.spec.growth)
    if needed > limit:
        raise RunError(
            f"the statistics of a growth step of `{network.spec.name}` take about {size(needed)}, and {size(limit)} "
            "are allowed: allow more with --max-memory, or let fewer layers grow (`grow: false`, fewer `actions`)"
        )
