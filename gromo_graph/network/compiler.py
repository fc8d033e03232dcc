"""compile_network: spec -> graph -> GrowingNetwork."""

from __future__ import annotations

import torch

from gromo_graph.arguments import checked
from gromo_graph.errors import CompileError
from gromo_graph.graph import build_graph
from gromo_graph.network.link_modules import part_of
from gromo_graph.network.network import GrowingNetwork
from gromo_graph.spec.model import Spec


@checked
def compile_network(
    spec: Spec,
    *,
    seed: int | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> GrowingNetwork:
    """Build the network of a spec: every module made, sized and linked to those previous and next to it.

    Args:
        spec: what to build.
        seed: of the first weights; None draws them from torch's global generator. The weights are drawn on the
            CPU in float32, so that a seed gives the same ones on every device.
        device, dtype: where the network lives and in which precision.

    Raises:
        CompileError: this is no spec, there is no such device, or a kind has no torch half.
        GraphError: the spec was put together in Python and is not sound.

    >>> from gromo_graph import parse_spec
    >>> network = compile_network(parse_spec('''
    ... version: 1
    ... name: tiny
    ... nodes:
    ...   x: {kind: input, shape: [3]}
    ...   hidden: {kind: linear, from: x, features: 4, activation: relu}
    ...   y: {kind: linear, from: hidden, features: 2}
    ... output: y
    ... '''), seed=0)
    >>> network(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    >>> network.growing("y").previous_module.name
    'hidden'
    """
    if not isinstance(spec, Spec):
        raise CompileError(f"found a {type(spec).__name__}: expected a Spec, call load_spec(path) first")
    graph = build_graph(spec)
    generator = None if seed is None else torch.Generator().manual_seed(int(seed))
    made = {name: part_of(graph, name, generator) for call in graph.calls for name in call.unit.nodes}
    network = GrowingNetwork(graph, {name: part for name, part in made.items() if part is not None})
    try:
        return network.to(device=device, dtype=dtype)
    except (RuntimeError, AssertionError) as error:  # torch has several words for a device that is not there
        if device is None:
            raise
        raise CompileError(f"device {str(device)!r}: {str(error).splitlines()[0]}") from error
