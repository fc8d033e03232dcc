"""Records a model several times: its calls must be the same for any inputs and any number of samples.

A recording holds what the forward pass did for one example. A counter, a cache, or a branch on the batch would come in
as it stood there, so the calls that depend on the inputs are compared with those of other recordings.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile, zip_longest
from math import prod
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from gromo_graph.errors import Obstacle
from gromo_graph.interop.arithmetic import ARITHMETIC
from gromo_graph.interop.traces.recording import DRAWS, trace_by_run
from gromo_graph.interop.traces.trace import Seen, Trace, line_of
from gromo_graph.interop.verifying import random_samples
from gromo_graph.layers.reparametrized import copy_of

_MANY = 64
_NUMBERS = 2**24
"""So many numbers the calls of a recording of many samples may give; that of a large model takes too long."""

_KEEPS = (
    "it keeps something from one call to the next (a counter, a cache): expected a forward pass that depends on its "
    "inputs and weights alone"
)
_COUNTS = "it depends on the number of samples: expected the same calls for any"
_BRANCHES = "it depends on the values of the inputs: expected the same calls for any"


@dataclass(frozen=True)
class _Difference:
    """Two calls at the same place of two recordings, one of which may be missing."""

    one: fx.Node | None
    other: fx.Node | None


def record(
    model: nn.Module, inputs: Mapping[str, Tensor], opaque: Collection[str] = ()
) -> Trace | tuple[Obstacle, ...]:
    """The calls of a model, as `trace_by_run` gives them, and whether other recordings have the same.

    Args:
        model: in the mode whose calls are wanted; copies of it are run. inputs: by names. opaque: paths of modules
            that are taken as they are.
    """
    copied = copy_of(model)
    trace = trace_by_run(copied, inputs, opaque)
    if not isinstance(trace, Trace) or trace.unsteady:
        return trace
    return replace(trace, unsteady=tuple(_unsteady(model, copied, trace, inputs, opaque)))


def _unsteady(
    model: nn.Module,
    run: nn.Module,
    trace: Trace,
    inputs: Mapping[str, Tensor],
    opaque: Collection[str],
) -> Iterator[Obstacle]:
    """The first place at which another recording differs; `run` is the copy that has run once."""
    batch = _samples(trace)
    seen = pytree.tree_leaves(list(trace.seen.values()))
    numbers = sum(prod(each.shape) for each in seen if isinstance(each, Seen))
    many = [_MANY] if numbers * _MANY < _NUMBERS * batch else []
    for samples in (batch + 1, 1, *many):
        found = _compared(trace, trace_by_run(run, _others(inputs, samples), opaque))
        if found is not None:
            yield _told(model, trace, inputs, opaque, found)
            return
    if model.training:  # in training, a dropout that is always active looks like any other
        calm = trace_by_run(copy_of(model).eval(), _others(inputs, 1), opaque)
        if isinstance(calm, Trace):
            yield from calm.unsteady
            for node in calm.graph.nodes:
                if node.meta.get("refused") == DRAWS:
                    yield _obstacle(calm, _Difference(node, node), DRAWS)


def _told(
    model: nn.Module,
    trace: Trace,
    inputs: Mapping[str, Tensor],
    opaque: Collection[str],
    found: _Difference,
) -> Obstacle:
    """The obstacle of a difference, with its reason, which two more recordings tell."""
    copied = copy_of(model)
    trace_by_run(copied, inputs, opaque)
    again = _compared(trace, trace_by_run(copied, inputs, opaque))
    if again is not None:
        return _obstacle(trace, again, _KEEPS)
    others = _compared(trace, trace_by_run(copy_of(model), _others(inputs, _samples(trace)), opaque))
    return _obstacle(trace, found, _COUNTS) if others is None else _obstacle(trace, others, _BRANCHES)


def _others(inputs: Mapping[str, Tensor], samples: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(samples)
    return {name: random_samples(value, samples, generator) for name, value in inputs.items()}


def _obstacle(trace: Trace, found: _Difference, reason: str) -> Obstacle:
    """An obstacle of the smallest module that holds both calls."""
    nodes = [node for node in (found.one, found.other) if node is not None]
    paths = [_caller(trace, node) for node in nodes]
    names = dict.fromkeys(_name(node) for node in nodes)
    called = " or ".join(f"`{name}`" for name in names)
    return Obstacle(_common(paths), f"{called}: {reason}{line_of(nodes[-1])}")


def _caller(trace: Trace, node: fx.Node) -> str:
    return str(node.target).rpartition(".")[0] if node.op == "call_module" else trace.owner(node)


def _common(paths: list[str]) -> str:
    levels = zip(*(path.split(".") for path in paths), strict=False)
    return ".".join(names[0] for names in takewhile(lambda names: len(set(names)) == 1, levels))


def _name(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))


# The comparison


def _compared(one: Trace, other: Trace | tuple[Obstacle, ...]) -> _Difference | None:
    """The first difference of the calls that depend on the inputs; a run that failed tells nothing."""
    if not isinstance(other, Trace):
        return None
    pair = _Pair(one, other)
    for a, b in zip_longest(_changing(one), _changing(other)):
        if a is None or b is None or not pair.alike(a, b):
            return _Difference(a, b)
    return None


def _changing(trace: Trace) -> list[fx.Node]:
    """The calls that depend on the inputs, in their order."""
    return [node for node in trace.graph.nodes if node not in trace.constants]


class _Pair:
    """Two recordings, of different numbers of samples."""

    def __init__(self, one: Trace, other: Trace) -> None:
        self._one, self._other = one, other
        self._places = [
            {node: place for place, node in enumerate(_changing(trace))} for trace in (one, other)
        ]
        self._samples = [_samples(trace) for trace in (one, other)]

    def alike(self, a: fx.Node, b: fx.Node) -> bool:
        """True for the same call with the same arguments."""
        same = (a.op, _name(a)) == (b.op, _name(b))
        numbers = _name(a).strip("_") in ARITHMETIC and not _name(a).startswith("expand")
        return same and all(
            self._equal(x, y, numbers) for x, y in ((a.args, b.args), (dict(a.kwargs), dict(b.kwargs)))
        )

    def _equal(self, x: Any, y: Any, numbers: bool) -> bool:
        """True for equal arguments. numbers: the call computes with them, so that none may stand for the batch."""
        match x, y:
            case fx.Node(), fx.Node():
                return self._same_value(x, y)
            case ((list() | tuple()), (list() | tuple())):
                return len(x) == len(y) and all(self._equal(i, j, numbers) for i, j in zip(x, y, strict=True))
            case Mapping(), Mapping():
                return x.keys() == y.keys() and all(self._equal(x[key], y[key], numbers) for key in x)
            case slice(), slice():
                return self._equal([x.start, x.stop, x.step], [y.start, y.stop, y.step], numbers)
            case ((bool() | float() | str() | torch.dtype()), _):
                return bool(x == y or x != x)
            case int(), int():
                return x == y or (not numbers and self._scaled(x, y))
        return type(x) is type(y)

    def _scaled(self, x: int, y: int) -> bool:
        return x * self._samples[1] == y * self._samples[0]

    def _same_value(self, x: fx.Node, y: fx.Node) -> bool:
        """True for the results of the same call, or for constants that are the same as far as both go."""
        first, second = self._one.constants.get(x), self._other.constants.get(y)
        if first is None or second is None:
            return self._places[0].get(x) == self._places[1].get(y) is not None
        if first is second:
            return True
        if first.dim() != second.dim() or first.dtype != second.dtype:
            return False
        sizes = list(zip(first.shape, second.shape, strict=True))
        if not all(a == b or self._scaled(a, b) for a, b in sizes):
            return False
        both = tuple(slice(min(pair)) for pair in sizes)
        return torch.equal(first[both].nan_to_num(), second[both].nan_to_num())


def _samples(trace: Trace) -> int:
    first = next(node for node in trace.graph.nodes if node.op == "placeholder")
    seen = pytree.tree_leaves(trace.seen[first])[0]
    return int(seen.shape[0])
