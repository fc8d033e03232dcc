"""Rotary positions as models write them: with cosines and sines of halves or neighbours, or with complex numbers.

However it is written, it is a linear map of the features of each head at each position. So the calls between a query
or key and its product are run on unit vectors; if what they give are pairs that are turned, they are one node.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from math import atan2
from typing import Any

import torch
from torch import Tensor, fx

from gromo_graph.interop.call_patterns.attention import ATTENTION
from gromo_graph.interop.traces.trace import Seen, Trace, name_of
from gromo_graph.layers.rotary import Turned, tables
from gromo_graph.plain_torch.arrangement import BATCH, FEATURES, Arranged, Factor, places, settled, size_of
from gromo_graph.plain_torch.blueprint import ModelValue, Source, Unmapped
from gromo_graph.plain_torch.torch_call import TorchCall, Weight
from gromo_graph.spec.kinds.rotary import Rotary

_MOVES = frozenset(
    (
        *(
            "view",
            "reshape",
            "flatten",
            "unflatten",
            "squeeze",
            "unsqueeze",
            "contiguous",
            "clone",
            "_unsafe_view",
        ),
        *("transpose", "permute", "swapaxes", "movedim"),
        *("getitem", "select", "slice", "chunk", "split", "unbind"),
        *("to", "float", "type_as"),
    )
)
"""Functions that move numbers, or give them in another precision."""

_TURNS = _MOVES | {
    "mul",
    "add",
    "sub",
    "neg",
    "cat",
    "stack",
    "view_as_complex",
    "view_as_real",
    "expand",
    "flip",
}


@dataclass(frozen=True)
class Region:
    """Calls between two values of a model.

    Attributes:
        entry: the value they read, all else is constant. nodes: in their order; the last one gives the result.
    """

    entry: fx.Node
    nodes: tuple[fx.Node, ...]

    def run(self, value: Tensor, values: Mapping[fx.Node, Any]) -> Tensor:
        """The result for another value.

        Raises:
            Unmapped: the calls do not run on it.
        """
        known: dict[fx.Node, Any] = {self.entry: value}

        def argument(node: fx.Node) -> Any:
            if node in known:
                return known[node]
            found = values[node]
            return found.tensor.detach() if isinstance(found, Weight) else found

        try:
            for node in self.nodes:
                args, kwargs = fx.map_arg(node.args, argument), fx.map_arg(node.kwargs, argument)
                target: Any = node.target
                known[node] = (
                    getattr(args[0], target)(*args[1:], **kwargs)
                    if node.op == "call_method"
                    else target(*args, **kwargs)
                )
        except (RuntimeError, TypeError, AttributeError) as error:
            raise Unmapped(f"it does not run on another value: {error}") from error
        found: Tensor = known[self.nodes[-1]]
        return found


def rotary_regions(trace: Trace) -> dict[fx.Node, Region]:
    """Calls that multiply by constant tensors what they read, by the last of each.

    They stand before the products of an attention, or they are x · cos + partner(x) · sin.
    """
    graph = trace.graph
    dependent: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op in ("placeholder", "call_module") or any(
            each in dependent for each in node.all_input_nodes
        ):
            dependent.add(node)
    compared = [
        end
        for node in graph.nodes
        if node.op.startswith("call_") and node.op != "call_module" and name_of(node)[0] in ATTENTION
        for end in node.all_input_nodes
    ]
    found: dict[fx.Node, Region] = {}
    inside: set[fx.Node] = set()
    for end in (*compared, *_sums_of_turns(graph, dependent)):
        region = None if end in inside else _region(end, dependent, trace, found)
        if region is not None:
            found[region.nodes[-1]] = region
            inside.update(region.nodes)
    return found


def _sums_of_turns(graph: fx.Graph, dependent: set[fx.Node]) -> Iterator[fx.Node]:
    """Sums of two products with constants, or what they are concatenated with the features that are not turned in."""

    def by_constant(node: fx.Node) -> bool:
        is_product = node.op != "call_module" and name_of(node)[0] == "mul"
        return (
            is_product
            and len(node.all_input_nodes) == 2
            and sum(each in dependent for each in node.all_input_nodes) == 1
        )

    for node in graph.nodes:
        given = node.all_input_nodes
        if (
            node.op != "call_module"
            and name_of(node)[0] == "add"
            and len(given) == 2
            and all(map(by_constant, given))
        ):
            readers = list(node.users)
            joined = len(readers) == 1 and readers[0].op != "call_module" and name_of(readers[0])[0] == "cat"
            yield readers[0] if joined else node


def _region(end: fx.Node, dependent: set[fx.Node], trace: Trace, ends: Collection[fx.Node]) -> Region | None:
    """The calls from the last value that all of it is made of, moves before and behind left out.

    Args:
        dependent: on the inputs. ends: of the regions before it.
    """

    calls = _Calls(trace, dependent)
    while calls.move(end):
        (end,) = calls.read(end)
    nodes, leaves = calls.before(end, ends)
    if len(leaves) != 1 or not any(
        name_of(node)[0] == "mul" and len(calls.read(node)) == 1 for node in nodes
    ):
        return None
    (entry,) = leaves
    entry, nodes = calls.without_first_moves(entry, nodes)
    used_elsewhere = any(user not in nodes for node in nodes - {end} for user in node.users)
    if end not in nodes or used_elsewhere:
        return None
    return Region(entry, tuple(node for node in end.graph.nodes if node in nodes))


@dataclass(frozen=True)
class _Calls:
    """The calls of a model that may turn features; `dependent` are those on the inputs."""

    trace: Trace
    dependent: Set[fx.Node]

    def read(self, node: fx.Node) -> list[fx.Node]:
        """The values that a call reads, without constants."""
        given = node.all_input_nodes[:1] if name_of(node)[0] == "type_as" else node.all_input_nodes
        return [each for each in given if each in self.dependent]

    def move(self, node: fx.Node) -> bool:
        """True if a call does no more than to give the numbers of one value other places, or another precision."""
        if node.op == "call_module" or name_of(node)[0] not in (*_MOVES, "mul", "expand", "cat"):
            return False
        constants = [self.trace.seen[each] for each in node.all_input_nodes if each not in self.dependent]
        return len(self.read(node)) == 1 and all(map(_is_empty, constants))

    def before(self, end: fx.Node, ends: Collection[fx.Node]) -> tuple[set[fx.Node], set[fx.Node]]:
        """The calls that may turn before some value, and the values that these begin with."""
        nodes, leaves, waiting = set[fx.Node](), set[fx.Node](), [end]
        while waiting:
            node = waiting.pop()
            ends_here = node in ends or node.op in ("placeholder", "call_module")
            if ends_here or name_of(node)[0] not in _TURNS:
                leaves.add(node)
            elif node not in nodes:
                nodes.add(node)
                waiting += self.read(node)
        return nodes, leaves

    def without_first_moves(self, entry: fx.Node, nodes: set[fx.Node]) -> tuple[fx.Node, set[fx.Node]]:
        """The calls behind those that move what they begin with, and the value that they begin with."""
        passed, at = set[fx.Node](), entry
        while len(following := [user for user in at.users if user in nodes]) == 1 and self.move(following[0]):
            (at,) = following
            passed.add(at)
            if isinstance(self.trace.seen[at], Seen):  # and not several values
                entry, nodes, passed = at, nodes - passed, set()
        return entry, nodes


def _is_empty(seen: Any) -> bool:
    """True for the constant of a cache that nothing is in yet."""
    return isinstance(seen, Seen) and 0 in seen.shape


def rotary(call: TorchCall, region: Region, values: Mapping[fx.Node, Any]) -> ModelValue:
    """The calls of a region as a node.

    Raises:
        Unmapped: they do something else than to turn pairs of features.
    """
    if any(_is_trained(values.get(each)) for node in region.nodes for each in node.all_input_nodes):
        raise Unmapped("it has parameters that are trained: expected constant angles")
    view, count = _by_heads(call, call.arranged(values[region.entry]))
    at = places(view)

    def run(value: Tensor) -> Tensor:
        """(samples, features, length), of which the calls take each number where it stands in the model."""
        given = region.run(value.flatten(1)[:, at], values).flatten(1)
        found = torch.empty_like(given)
        found[:, at.flatten()] = given
        by_feature: Tensor = found.unflatten(1, view.own)
        return by_feature

    cos, sin, interleaved = _tables(run, view.own, count, call.batch)
    node = call.blueprint.add(
        call.named(Rotary, {}).rpartition(".")[0] + ".rotary",
        Rotary,
        Source({"cos": cos, "sin": sin}),
        sources=(view.node,),
        heads=count,
        dim=None if cos.shape[0] * count == view.own[0] else cos.shape[0],
        base=_base(cos, sin, interleaved=interleaved),
        interleaved=interleaved,
    )
    return settled(replace(view, node=node.node))


def _is_trained(value: Any) -> bool:
    return isinstance(value, Weight) and value.tensor.requires_grad


def _by_heads(call: TorchCall, view: Arranged) -> tuple[Arranged, int]:
    """The value with the features of its heads taking turns, and the number of heads.

    Raises:
        Unmapped: the calls give another shape, or there is no one dimension of heads.
    """
    of_sample = [factor for dim in view.dims[1:] for factor in dim]
    if len(view.own) != 2 or view.sizes != call.sizes or any(each.axis == BATCH for each in of_sample):
        raise Unmapped("it gives another shape than it reads: expected the same")
    last = view.dims[-1] if view.sizes[-1] > 2 else (*view.dims[-2], *view.dims[-1])
    inner = [each for each in last if each.axis == FEATURES]
    heads = [each for each in of_sample if each.axis == FEATURES and each not in inner]
    view = call.in_turns(view, [*inner, *heads])
    if len(heads) > 1 or not _take_turns(view, size_of(heads)):
        raise Unmapped("its heads do not stand beside each other: expected one dimension for them")
    return view, size_of(heads)


def _take_turns(view: Arranged, heads: int) -> bool:
    """True if feature f belongs to head f modulo heads."""
    factors = [each for dim in view.dims for each in dim if each.axis == FEATURES]
    return heads == 1 or Factor(FEATURES, heads, 1) in factors


def _tables(
    run: Callable[[Tensor], Tensor], own: Sequence[int], heads: int, batch: int
) -> tuple[Tensor, Tensor, bool]:
    """Cosines and sines (features of a head that are turned, length), and whether neighbours are pairs.

    Raises:
        Unmapped: it does not turn pairs of features.
    """
    refused = Unmapped("it does not turn pairs of features by their position: expected rotary positions")
    features, length = own[0] // heads, own[1]
    own_part, other_part = torch.zeros(features, length), torch.zeros(features, length)
    partners = torch.arange(features)
    units = torch.eye(features).repeat_interleave(heads, dim=1)[..., None].repeat(1, 1, length)
    for at in range(0, features, batch):
        some = units[at : at + batch]
        given = torch.cat((some, some[:1].expand(batch - len(some), -1, -1)))  # constants may have the batch
        for place, found in enumerate(run(given)[: len(some)], start=at):
            by_feature = found.unflatten(0, (features, heads))[:, 0]
            own_part, other_part = own_part.to(found), other_part.to(found)  # the precision of the model
            own_part[place] = by_feature[place]
            by_feature[place] = 0.0
            (reached,) = by_feature.abs().amax(1).nonzero(as_tuple=True)
            if len(reached) > 1:
                raise refused
            if len(reached):
                partners[reached], other_part[reached] = place, by_feature[reached]
    dim = int((partners != torch.arange(features)).sum())
    inside = torch.arange(dim)
    halves, neighbours = (inside + dim // 2) % max(dim, 1), inside ^ 1
    interleaved = not torch.equal(partners[:dim], halves)
    if not dim or dim % 2 or (interleaved and not torch.equal(partners[:dim], neighbours)):
        raise refused
    part = Turned(heads, own_part[:dim], other_part[:dim], whole=dim == features, interleaved=interleaved)
    sample = torch.randn(batch, *own, generator=torch.Generator().manual_seed(0))
    if not torch.allclose(run(sample), part(sample), atol=1e-5):
        raise refused
    return part.cos, part.sin, interleaved


def _base(cos: Tensor, sin: Tensor, *, interleaved: bool) -> float:
    """The base with which the second pair has its angle at the second position, or the usual one."""
    dim, length = cos.shape
    usual = 10000.0
    if dim < 4 or length < 2:
        return usual
    speed = abs(atan2(float(sin[2 if interleaved else 1, 1]), float(cos[2 if interleaved else 1, 1])))
    found = float(f"{speed ** (-dim / 2):.4g}") if speed else usual
    same = all(
        torch.allclose(a.double(), b, atol=1e-3)
        for a, b in zip((cos, sin), tables(dim, length, found, interleaved=interleaved), strict=True)
    )
    return found if same else usual
