"""Random inputs that a network can read."""

from __future__ import annotations

import torch
from torch import Tensor

from gromo_graph.network.network import GrowingNetwork
from gromo_graph.spec.token_inputs import vocabularies


def random_inputs(
    network: GrowingNetwork, samples: int, *, seed: int = 0, tokens: int | None = None
) -> tuple[Tensor, ...]:
    """Inputs of the shapes, dtype and device that the network has, the same for a seed; token ids are int64.

    Args:
        tokens: only ids below this; None takes the whole vocabulary.

    >>> from gromo_graph import compile_network, parse_spec
    >>> network = compile_network(parse_spec('''
    ... nodes:
    ...   text: {kind: input, shape: [3]}
    ...   look: {kind: embedding, from: text, vocabulary: 2, features: 4}
    ... output: look
    ... '''))
    >>> random_inputs(network, 2)[0].shape, random_inputs(network, 2)[0].dtype
    (torch.Size([2, 3]), torch.int64)
    """
    generator = torch.Generator().manual_seed(seed)
    like = next(network.parameters(), torch.zeros(()))
    ids = vocabularies(network.spec.nodes)

    def drawn(name: str) -> Tensor:
        shape = (samples, *network.graph.shapes[name])
        if name in ids:
            most = ids[name] if tokens is None else min(ids[name], tokens)
            return torch.randint(most, shape, generator=generator).to(like.device)
        return torch.randn(shape, generator=generator).to(like)

    return tuple(map(drawn, network.spec.inputs))
