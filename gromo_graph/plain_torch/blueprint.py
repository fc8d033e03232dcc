"""A spec in the making: nodes, the weights they will have, and the views that a model takes of their values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from torch import Tensor, nn

from gromo_graph.errors import SpecError
from gromo_graph.spec.graph_checks import name_problem
from gromo_graph.spec.kinds import AsSequence, Flatten, Input, Merge, Node, Shape, ShapeMismatch, Transpose
from gromo_graph.spec.kinds.channel_shuffle import ChannelShuffle
from gromo_graph.spec.kinds.unflatten import Unflatten

_CALLED: Mapping[type[Node], str] = {
    Flatten: "flat",
    AsSequence: "sequence",
    Transpose: "turned",
    ChannelShuffle: "shuffled",
    Unflatten: "unflat",
}


class Unmapped(Exception):  # noqa: N818 - it names the fact; the reader sees a TorchImportError
    """A spec cannot express this part of a model; the message is the reason."""


class Misread(Unmapped):
    """What a call reads has another form than it needs; behind another obstacle this may be a consequence of that."""


@dataclass(frozen=True)
class ModelValue:
    """A value of the model: the output of a node, read as another shape.

    Attributes:
        node: its name. own: the node's shape. shape: as which the model reads it. Both are without the batch.
        turned: False if the numbers stand in the same order in both; True if the model has the node's features
            behind its positions, as transformers do.
    """

    node: str
    own: Shape
    shape: Shape
    turned: bool = False

    @property
    def features_last(self) -> bool:
        """True if the model reads the features of the node as its last dimension."""
        return self.turned and len(self.shape) > 1 and self.shape[-1:] == self.own[:1]


@dataclass(frozen=True)
class Source:
    """The place of the weights of a node in the model.

    Attributes:
        tensors: parameters and buffers, by their names in the node's torch module.
        module: the module itself, of a node that is imported as it is.
        training: the mode its module is in; None for that of the model.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    training: bool | None = None
    module: nn.Module | None = None


class Blueprint:
    """Nodes by name, in the order in which the model computes them.

    Attributes:
        nodes, shapes: by name. sources: of the weights of those that have any. outputs: names.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.shapes: dict[str, Shape] = {}
        self.sources: dict[str, Source] = {}
        self.outputs: list[str] = []
        self._reshaped: dict[tuple[Any, ...], str] = {}
        self._lost: set[str] = set()

    def add(self, name: str, kind: type[Node], source: Source | None = None, **fields: Any) -> ModelValue:
        """A new node.

        Args:
            name: another one is taken if it is not free. kind, fields: its model.

        Raises:
            Unmapped: the language has no such node, or it does not fit what it reads.
        """
        try:
            node = kind(**fields)
            shape = node.output_shape([self.shapes[each] for each in node.sources])
        except SpecError as error:
            first = error.problems[0]
            raise Unmapped(f"{first.path}: {first.message}" if first.path else first.message) from error
        except ShapeMismatch as error:
            raise Unmapped(error.expected) from error
        called = free(legal(name), self.nodes)
        self.nodes[called], self.shapes[called] = node, shape
        if source is not None:
            self.sources[called] = source
        return ModelValue(called, shape, shape)

    def lost(self, shape: Shape) -> str:
        """A node in the place of something that could not be mapped; no spec is made with it."""
        name = free("lost", self.nodes)
        self.nodes[name], self.shapes[name] = Input.model_construct(sources=(), shape=shape), shape
        self._lost.add(name)
        return name

    def is_lost(self, node: str) -> bool:
        """True for a node that stands for something that could not be mapped."""
        return node in self._lost

    def known(self, view: ModelValue) -> ModelValue:
        """The view itself; of what could not be mapped something new in its shape, for which nothing is to blame."""
        if view.node not in self._lost or view.own == view.shape:
            return view
        return ModelValue(self.lost(view.shape or (1,)), view.shape or (1,), view.shape)

    def merge(self, name: str, how: str, views: Sequence[ModelValue]) -> ModelValue:
        """A sum or a concatenation of values, of their features if these stand behind the positions.

        Raises:
            Unmapped: they do not fit together.
        """
        return self.add(name, Merge, sources=self.different(views), merge=how)

    def different(self, views: Sequence[ModelValue], taken: Collection[str] = ()) -> tuple[str, ...]:
        """The nodes of values; if one stands there twice, a merge of it alone stands for it the second time."""
        found: list[str] = []
        for view in views:
            name = self.exact(view)
            if name in found or name in taken:
                name = self.add(f"{name}.again", Merge, sources=(name,)).node
            found.append(name)
        return tuple(found)

    def exact(self, view: ModelValue) -> str:
        """The node whose shape is that of the view; a flatten, unflatten, sequence or transpose is added if need be.

        Raises:
            Unmapped: no node has such a shape.
        """
        node, own = view.node, view.own
        if view.turned and len(view.shape) == 3:
            raise Misread(
                f"it reads {list(own)} of each sample as {list(view.shape)}: expected the features to come back to the "
                "front, or the positions to become a sequence"
            )
        if view.turned and len(own) > 1:
            node = self._once(self.sequence(node), Transpose)
            own = self.shapes[node]
        if own == view.shape:
            return node
        if view.shape == (prod(own),):
            return self._once(node, Flatten)
        if len(own) == 3 and view.shape == (own[0], prod(own[1:])):
            return self.sequence(node)
        if len(own) == 1 < len(view.shape):
            return self._once(node, Unflatten, dim=1, sizes=view.shape)
        if len(own) == 2 and view.shape[:1] == own[:1]:
            return self._once(node, Unflatten, dim=2, sizes=view.shape[1:])
        raise Misread(
            f"it reads {list(own)} of each sample as {list(view.shape)}: expected them as they are, or flat"
        )

    def sequence(self, node: str) -> str:
        """The node itself, or of an image the sequence of its positions."""
        return self._once(node, AsSequence) if len(self.shapes[node]) == 3 else node

    def by_features(self, view: ModelValue) -> str:
        """The node whose features are the last dimension of the view; a transpose is added if need be.

        Raises:
            Unmapped: no node has such features.
        """
        if view.features_last:
            return view.node
        if len(view.shape) != 2:
            raise Misread(
                f"it reads the last of the dimensions {list(view.shape)}, alike along the others: expected one row of "
                "features, or features behind their positions"
            )
        return self._once(self.exact(view), Transpose)

    def transposed(self, node: str) -> str:
        """A sequence with features and positions exchanged, made once."""
        return self._once(node, Transpose)

    def shuffled(self, node: str, groups: int) -> str:
        """A node with the features of several groups in turns, made once."""
        return self._once(node, ChannelShuffle, groups=groups)

    def _once(self, node: str, kind: type[Node], **fields: Any) -> str:
        """A node of this kind that reads another, made once; the transpose of a transpose is what it was made of."""
        before = self.nodes[node]
        if kind is Transpose and isinstance(before, Transpose):
            return before.sources[0]
        key = (node, kind, *fields.values())
        if key not in self._reshaped:
            self._reshaped[key] = self.add(f"{node}.{_CALLED[kind]}", kind, sources=(node,), **fields).node
        return self._reshaped[key]

    def finish(self) -> None:
        """Put activations and sums into the nodes that can hold them."""
        for name in list(self.nodes):
            node = self.nodes.get(name)
            if isinstance(node, Merge) and len(node.sources) == 1:
                self._fold_activation(name, node)
        for name in list(self.nodes):
            node = self.nodes.get(name)
            if isinstance(node, Merge) and node.merge == "sum":
                self._fold_sum(name, node)

    def leave_out_unread(self) -> None:
        """Leave out nodes that no output depends on, inputs apart."""
        read, waiting = set(self.outputs), list(self.outputs)
        while waiting:
            for source in self.nodes[waiting.pop()].sources:
                if source not in read:
                    read.add(source)
                    waiting.append(source)
        self.nodes = {n: node for n, node in self.nodes.items() if n in read or node.drawn_as == "input"}

    def unread_inputs(self) -> list[str]:
        """Inputs that no output depends on."""
        read = {source for node in self.nodes.values() for source in node.sources} | set(self.outputs)
        return [name for name, node in self.nodes.items() if node.drawn_as == "input" and name not in read]

    def readers(self, name: str) -> list[str]:
        """The nodes that read another."""
        return [other for other, node in self.nodes.items() if name in node.sources]

    def _fold_activation(self, name: str, node: Merge) -> None:
        """`relu(conv(x))` is one node, if nothing else reads the convolution."""
        (before,) = node.sources
        inner = self.nodes[before]
        alone = self.readers(before) == [name] and before not in self.outputs
        if not alone or getattr(inner, "activation", None) != "identity":
            return
        self.nodes[before] = inner.model_copy(update={"activation": node.activation})
        self.take_out(name, before)

    def _fold_sum(self, name: str, node: Merge) -> None:
        """(a + b) + c is one sum of three, added up in the same order."""
        first = node.sources[0]
        inner = self.nodes[first]
        if not isinstance(inner, Merge) or (inner.merge, inner.activation) != ("sum", "identity"):
            return
        together = (*inner.sources, *node.sources[1:])
        if self.readers(first) != [name] or first in self.outputs or len(set(together)) < len(together):
            return
        self.nodes[name] = node.model_copy(update={"sources": together})
        del self.nodes[first]

    def take_out(self, name: str, instead: str) -> None:
        """Let what reads a node read another one instead."""
        del self.nodes[name]
        self._read_as({name: instead})

    def rename(self, names: Mapping[str, str]) -> None:
        """Give nodes other names, all at once; one that has such a name makes way."""
        changed = dict(names)
        taken = {*self.nodes, *names.values()}
        for wanted in names.values():
            if wanted in self.nodes and wanted not in names:
                changed[wanted] = free(wanted, taken)
                taken.add(changed[wanted])
        self.nodes = {changed.get(name, name): node for name, node in self.nodes.items()}
        self.shapes = {changed.get(name, name): shape for name, shape in self.shapes.items()}
        self.sources = {changed.get(name, name): source for name, source in self.sources.items()}
        self._read_as(changed)

    def _read_as(self, changed: Mapping[str, str]) -> None:
        for name, node in self.nodes.items():
            if any(source in changed for source in node.sources):
                sources = tuple(changed.get(source, source) for source in node.sources)
                self.nodes[name] = node.model_copy(update={"sources": sources})
        self.outputs = [changed.get(name, name) for name in self.outputs]


def free(name: str, taken: Collection[str]) -> str:
    """The name itself, or with the first number behind it that nobody has."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}.{number}"
    return found


def legal(name: str) -> str:
    """A name that a node may have.

    >>> legal("layer1.0.conv"), legal("a->b\\n"), legal("")
    ('layer1.0.conv', 'a-b', 'node')
    """
    return "".join(c for c in name.replace("->", "-") if name_problem(c) is None) or "node"
