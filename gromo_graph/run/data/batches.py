"""Batches of any part of the data."""

from __future__ import annotations

import torch

from gromo_graph.graph import Graph
from gromo_graph.run.data.samples import Samples, Stream
from gromo_graph.run.data.stream import StreamLoader
from gromo_graph.run.data.tensor_loader import TensorLoader
from gromo_graph.spec.data_sections import UNCHANGED, Augment

AnyLoader = TensorLoader | StreamLoader


def batches_of(
    part: Samples,
    batch_size: int,
    *,
    seed: int | None = None,
    device: torch.device | str = "cpu",
    share: tuple[int, int] = (0, 1),
    least: int = 1,
    augment: Augment = UNCHANGED,
    workers: int = 0,
) -> AnyLoader:
    """The loader for a part of the data; one that comes out of a loader has batches of its own size.

    Args:
        part: the samples. batch_size: of each batch. seed: of the order; None keeps that of the data.
        device: where the batches are. share: the share of this process (loader.py).
        least: samples of a batch; a smaller one is joined to the one before it.
        augment: random changes of samples that are images; those of a loader are left as they are.
        workers: processes that take samples ahead; a loader has its own.
    """
    if isinstance(part, Stream):
        return StreamLoader(part, seed=seed, device=device, share=share, least=least)
    return TensorLoader(
        part,
        batch_size,
        seed=seed,
        device=device,
        share=share,
        least=least,
        augment=augment,
        workers=workers,
    )


def needs_company(graph: Graph) -> bool:
    """True if a node cannot train on one sample alone, as a batch norm over rows."""
    return any(
        node.needs_company(graph.input_shapes(name))
        for name, node in graph.spec.nodes.items()
        if node.sources
    )
