"""The weights follow the spec: the parts of an edited network, made of those that were there."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from gromo_graph.amounts import amount
from gromo_graph.errors import GraphError
from gromo_graph.graph import Graph
from gromo_graph.graph.edits import Edited, Start
from gromo_graph.graph.lineage import Feature, lineage, places
from gromo_graph.graph.widths import makers_of
from gromo_graph.layers import Kept, make_identity
from gromo_graph.network.link_modules import part_of
from gromo_graph.network.network import GrowingNetwork
from gromo_graph.network.remaining_features import largest_features
from gromo_graph.spec.kinds import Fixed, Layer, Node, WidthRule, is_frozen
from gromo_graph.spec.kinds.activation import activation_of

_FIXED = ("stride", "padding", "dilation", "p", "kernel_size", "output_size", "num_groups")
"""Attributes of a torch module with which its weights mean something else."""

_FREE = ("eps", "momentum", "heads", "scale", "dropout", "reverse")
"""Attributes that may change while the weights mean the same."""


@dataclass
class TransferredWeights:
    """The parts of an edited network.

    Attributes:
        parts: the torch module of each node. changes: the parameters that were replaced by others.
        fresh: new parameters, with their node and their name in it.
        notes: weights that could not be kept, and layers that could not begin as the identity.
        reasons: changes that may explain why the network computes something else.
    """

    parts: dict[str, torch.nn.Module] = field(default_factory=dict)
    changes: list[Kept] = field(default_factory=list)
    fresh: dict[Parameter, tuple[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def follow_spec(
    network: GrowingNetwork, graph: Graph, edited: Edited, generator: torch.Generator | None
) -> TransferredWeights:
    """The torch modules of an edited graph: unchanged ones are kept, others keep the weights of their old features.

    New inputs of a layer that was there begin with weights of 0, so that new features before it change nothing yet. Of
    a group that gets narrower those features stay that have the largest weights.

    Args:
        network: stays as it is. graph: after the edit. edited: names, first weights and copies.
        generator: for first weights; None draws them from torch's global one.
    """
    return _Following(network, graph, edited, generator).done()


def origins(
    network: GrowingNetwork, edited: Edited, followed: TransferredWeights
) -> dict[Parameter, Parameter]:
    """The old parameters for fresh ones: of the same name in the node that theirs is a copy of, or replaces.

    Args:
        network: before the edit.
    """
    found: dict[Parameter, Parameter] = {}
    for parameter, (name, key) in followed.fresh.items():
        was = edited.copies.get(name) or (None if name in edited.added else edited.renamed.get(name, name))
        before = network.parts.get(was) if was is not None else None
        old = None if before is None else dict(before.named_parameters()).get(key)
        if old is not None:
            found[parameter] = old
    return found


def any_weight(network: torch.nn.Module) -> Tensor:
    """A weight of the network, for its device and dtype; if it has none, an empty one as torch makes them."""
    return next(network.parameters(), torch.nn.Parameter(torch.empty(0)))


class _Following:
    def __init__(
        self, network: GrowingNetwork, graph: Graph, edited: Edited, generator: torch.Generator | None
    ) -> None:
        self.network, self.graph, self.edited, self.generator = network, graph, edited, generator
        self.like = any_weight(network)
        self.old = lineage(network.graph)
        self.kept = largest_features(network, graph, edited)
        identities = {name for name, start in edited.starts.items() if start == "identity"}
        self.new = lineage(graph, self.made_by, identities)
        self.keys = {
            makers_of(graph.spec, name)[1]
            for name, node in graph.spec.nodes.items()
            if node.width_rule is WidthRule.LAST
        }
        self.result = TransferredWeights()

    def done(self) -> TransferredWeights:
        for name in self.graph.order:
            if isinstance(self.graph.spec.nodes[name], Fixed):
                self.result.parts[name] = self.fixed(name)
                continue
            # What is taken over draws nothing: the first weights of others are drawn once they are wanted.
            fresh = part_of(self.graph, name, torch.Generator())
            if fresh is not None:
                self.result.parts[name] = self.part(name, fresh)
        for name, stay in self.kept.items():
            gone = self.network.graph.features(name) - len(stay)
            self.result.reasons.append(
                f"`{name}` loses {amount(gone, 'feature')}: those with the largest weights stay"
            )
        return self.result

    def made_by(self, name: str) -> Sequence[Feature]:
        """The features of the old network that those of a maker were; new ones go by its own name."""
        was, features = self.was(name), range(self.graph.features(name))
        rows = [-1 for _ in features] if was is None else self.rows(name, was)
        return [
            (f"new {name}", feature) if was is None or row < 0 else (was, row)
            for feature, row in zip(features, rows, strict=True)
        ]

    def was(self, name: str) -> str | None:
        """The node of the old network whose weights a node has, or None."""
        if name in self.edited.copies:
            return self.edited.copies[name]
        return None if name in self.edited.added else self.edited.renamed.get(name, name)

    def fixed(self, name: str) -> torch.nn.Module:
        """A module that was imported as it is, or a copy of it; no new one can be made."""
        was = self.was(name)
        if was is None or was not in self.network.parts:
            raise GraphError(f"`{name}` is a module that was imported as it is: only from_torch can make it")
        before = self.network.parts[was]
        return copy.deepcopy(before) if name in self.edited.copies else before

    def part(self, name: str, fresh: torch.nn.Module) -> torch.nn.Module:
        node, start = self.graph.spec.nodes[name], self.edited.starts.get(name)
        fresh = fresh.to(device=self.like.device, dtype=self.like.dtype)
        fresh.train(self.network.training)
        copied = name in self.edited.copies
        was = self.was(name)
        before = None if was is None else self.network.parts.get(was)
        if was is None or before is None or not _alike(node, self.network.spec.nodes[was], fresh, before):
            if before is not None and list(before.parameters()):
                self.result.notes.append(f"`{name}` begins anew: what it was has another kind or kernel")
            self.draw(name, fresh)
            return self.made(name, fresh, start)
        maps = self.maps(name, was)
        same = _shapes(fresh) == _shapes(before) and _attributes(fresh, _FREE) == _attributes(before, _FREE)
        is_switched = is_frozen(node) != is_frozen(self.network.spec.nodes[was])
        if same and not copied and not is_switched and all(_is_whole(each) for each in maps):
            return before
        self.draw(name, fresh)
        self.fill(fresh, before, maps, tell=not copied)
        if is_switched:
            fresh.requires_grad_(not is_frozen(node))
        if name in self.keys:
            self.hide(fresh, maps[0])
        fresh.train(before.training)
        return self.made(name, fresh, start) if copied else fresh

    def maps(self, name: str, was: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The old row of each row, and the old column of each column of a part; −1 for new ones."""
        node = self.graph.spec.nodes[name]
        if isinstance(node, Layer) and node.tokens is not None:
            before = self.network.spec.nodes[was].tokens or 0
            return self.rows(name, was), tuple(i if i < before else -1 for i in range(node.tokens))
        if isinstance(node, Layer):
            read, was_read = self.new[node.sources[0]], self.old[self.network.graph.sources(was)[0]]
            columns = places(read, was_read)
            if max(columns) < 0 and len(read) == len(was_read):
                # It reads something else of the same width: its weights are the best guess there is.
                columns = tuple(range(len(read)))
            return self.rows(name, was), columns
        return places(self.new[name], self.old[was]), ()

    def rows(self, name: str, was: str) -> tuple[int, ...]:
        """The old place of each feature of a layer; −1 for new ones."""
        features, before = self.graph.features(name), self.network.graph.features(was)
        stay: Sequence[int] = self.kept.get(was, ())
        if len(stay) != features:  # a copy that has not become narrower with its original
            stay = range(before)
        return tuple(stay[row] if row < len(stay) else -1 for row in range(features))

    def fill(
        self, fresh: torch.nn.Module, before: torch.nn.Module, maps: Sequence[Sequence[int]], *, tell: bool
    ) -> None:
        """Write what there was into a fresh part, parameters and running statistics."""
        rows, columns = (torch.tensor(each, dtype=torch.long) for each in maps)
        old_tensors = {**dict(before.named_parameters()), **dict(before.named_buffers())}
        for key, tensor in [*fresh.named_parameters(), *fresh.named_buffers()]:
            old = old_tensors.get(key)
            if old is None:
                continue
            if old.dim() == 0:
                with torch.no_grad():
                    tensor.copy_(old)
                continue
            by_rows = _by_rows(fresh).get(key)
            if by_rows is not None:
                by_dim = dict.fromkeys(by_rows, rows)
            else:
                by_dim = {0: rows, 1: columns} if len(columns) and tensor.dim() > 1 else {0: rows}
            _filled(tensor, old, by_dim)
            if isinstance(tensor, Parameter) and isinstance(old, Parameter):
                tensor.requires_grad_(old.requires_grad)
                if tell:
                    self.result.changes.append(Kept(old, tensor, by_dim))

    def hide(self, fresh: torch.nn.Module, rows: Sequence[int]) -> None:
        """New features of a key begin as zeros, so that the query has none to match yet."""
        new = torch.tensor(rows) < 0
        with torch.no_grad():
            for parameter in fresh.parameters():
                parameter[new.to(parameter.device)] = 0.0

    def draw(self, name: str, fresh: torch.nn.Module) -> None:
        """Draw the first weights of a part."""
        if self.graph.spec.nodes[name].has_first_weights:
            on_cpu = part_of(self.graph, name, self.generator)
            assert on_cpu is not None
            fresh.load_state_dict(on_cpu.state_dict())

    def made(self, name: str, fresh: torch.nn.Module, start: Start | None) -> torch.nn.Module:
        """Give a new part the first weights that the edit asks for."""
        self.result.fresh |= {parameter: (name, key) for key, parameter in fresh.named_parameters()}
        with torch.no_grad():
            if start == "zero":
                for parameter in fresh.parameters():
                    parameter.zero_()
            elif start == "identity" and not make_identity(self.graph.spec.nodes[name].kind, fresh):
                self.result.notes.append(f"`{name}` cannot begin as the identity: it changes what passes")
            activation = activation_of(self.graph.spec.nodes[name])
            if start == "identity" and activation != "identity":
                self.result.reasons.append(f"the activation {activation} of `{name}` changes what passes")
        return fresh


def _alike(node: Node, old: Node, fresh: torch.nn.Module, before: torch.nn.Module) -> bool:
    """True if the weights of the old part mean the same in the new one."""
    # A layer may get other rows and columns, an operation other rows: positions of a norm over samples stay.
    free = 2 if isinstance(node, Layer) else 1
    new, was = _shapes(fresh), _shapes(before)
    return (
        node.kind == old.kind
        and new.keys() <= was.keys()
        and all(
            shape[rest:] == was[key][rest:]
            for key, shape in new.items()
            for rest in [0 if _by_rows(fresh).get(key) == () else free]
        )
        and _attributes(fresh, _FIXED) == _attributes(before, _FIXED)
    )


def _shapes(part: torch.nn.Module) -> dict[str, torch.Size]:
    return {key: tensor.shape for key, tensor in (*part.named_parameters(), *part.named_buffers())}


def _by_rows(part: torch.nn.Module) -> Mapping[str, tuple[int, ...]]:
    """The dimensions that go by the features of a part, of those weights of which these are not the first alone."""
    found: Mapping[str, tuple[int, ...]] = getattr(part, "by_rows", {})
    return found


def _attributes(part: torch.nn.Module, names: Sequence[str]) -> list[Any]:
    return [getattr(part, name, None) for name in names]


def _is_whole(map_: Sequence[int]) -> bool:
    return list(map_) == list(range(len(map_)))


def _filled(tensor: Tensor, old: Tensor, places_by_dim: Mapping[int, Tensor]) -> None:
    """Old entries at their new places; new columns of old rows are 0, new rows stay as they are."""
    with torch.no_grad():
        fresh = tensor.detach().clone()
        rows = places_by_dim.get(0, torch.arange(len(old))).to(old.device)
        kept = Kept(
            Parameter(old.detach(), requires_grad=False), Parameter(fresh, requires_grad=False), places_by_dim
        )
        values = kept.of(old.detach(), 0.0)
        is_new = (rows < 0).reshape(-1, *[1] * (old.dim() - 1))
        tensor.copy_(torch.where(is_new, fresh, values))
