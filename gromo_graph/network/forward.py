"""A forward pass in any form: the calls of a graph in their order, on tensors, on pairs of them, or on nodes of fx."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any, TypeVar

import torch
from torch import fx

from gromo_graph.graph import Call, Graph

Value = TypeVar("Value")


def run(
    graph: Graph, given: Mapping[str, Value], compute: Callable[[Call, list[Value]], Value]
) -> Value | dict[str, Value]:
    """Make the calls of a graph, and give what the network returns.

    Args:
        graph: the network.
        given: the value of each input node, by name.
        compute: the value that a call gives, from those it takes.

    Returns:
        The value of the output, or with `outputs:` in the spec a dict of them by name.

    >>> from gromo_graph import parse_spec
    >>> from gromo_graph.graph import build_graph
    >>> graph = build_graph(parse_spec('''
    ... nodes:
    ...   x: {kind: input, shape: [3]}
    ...   hidden: {kind: linear, from: x, features: 4}
    ...   y: {kind: linear, from: hidden, features: 2}
    ... output: y
    ... '''))
    >>> run(graph, {"x": "1"}, lambda call, values: f"{call.output}({', '.join(values)})")
    'y(hidden(x(1)))'
    """
    return returned(graph, computed(graph.calls, given, compute))


def computed(
    calls: Sequence[Call], given: Mapping[str, Value], compute: Callable[[Call, list[Value]], Value]
) -> dict[str, Value]:
    """The values that are left after some calls in their order: those that later calls take, and what is returned."""
    values = dict(given)
    for call in calls:
        taken = [values[key] for key in call.inputs]
        for key in call.last_read:
            del values[key]  # its memory is there for the calls that follow
        values[call.output] = compute(call, taken)
    return values


def returned(graph: Graph, values: Mapping[str, Value]) -> Value | dict[str, Value]:
    """The outputs of a network, from the values that its calls leave."""
    ends = {name: values[graph.ends[name]] for name in graph.spec.outputs}
    return ends if graph.spec.named_outputs else ends[graph.spec.outputs[0]]


def merged(
    plan: fx.Graph, values: Sequence[fx.Node], how: str, *, ranks: Sequence[int], dim: int = 1
) -> fx.Node:
    """The merge of values, behind what a plan has already; of a single value that itself.

    Args:
        how: "sum", "product" or "concat". ranks: the number of dimensions of each value.
        dim: along which they are concatenated.
    """
    if len(values) == 1:
        return values[0]
    if how == "concat":
        return plan.call_function(torch.cat, (list(values),), {"dim": dim})
    if how == "product":
        values = [
            _with_rank(plan, value, max(ranks) - rank) for value, rank in zip(values, ranks, strict=True)
        ]
        return reduce(lambda a, b: plan.call_function(operator.mul, (a, b)), values)
    return reduce(lambda a, b: plan.call_function(operator.add, (a, b)), values)


def _with_rank(plan: fx.Graph, value: fx.Node, missing: int) -> fx.Node:
    for _ in range(missing):
        value = plan.call_method("unsqueeze", (value, -1))
    return value


def inputs_of(x: Any) -> tuple[Any, ...]:
    """The inputs of a network from the x of a batch: several are a tuple or a list.

    >>> inputs_of(1), inputs_of([1, 2])
    ((1,), (1, 2))
    """
    return tuple(x) if isinstance(x, tuple | list) else (x,)


@contextmanager
def evaluation_mode(network: torch.nn.Module) -> Iterator[None]:
    """No dropout and no changing buffers, so that results are deterministic; modes are restored afterwards."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
