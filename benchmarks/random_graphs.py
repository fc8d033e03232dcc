"""Random graphs of layers, sums, concats, residuals and operations, for benchmarks that try everything on many."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, get_args

from gromo_graph import Spec
from gromo_graph.spec.kinds import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Flatten,
    Input,
    Linear,
    MaxPool2d,
    Merge,
    Node,
    Shape,
)
from gromo_graph.spec.kinds.base import Activation

ACTIVATIONS: tuple[str, ...] = get_args(Activation)
BENT = ("relu", "relu", "leaky_relu", "identity")


class Sketch:
    """A random graph while it is drawn; every kind of piece it is drawn of is a method.

    Attributes:
        nodes, shapes: so far, by name. open: the nodes that may still be read.
    """

    def __init__(self, chance: random.Random, inputs: Sequence[Shape]) -> None:
        self.chance = chance
        self.nodes: dict[str, Node] = {}
        self.shapes: dict[str, Shape] = {}
        self.open: list[str] = []
        # Of one graph in three all, of one a single one as in most networks, and of one those that bend.
        self.activations = chance.choice([ACTIVATIONS, (chance.choice(ACTIVATIONS),), BENT])
        for shape in inputs:
            self.add("x", Input(shape=shape))

    def add(self, letter: str, node: Node) -> str:
        """Give a node its name."""
        name = f"{letter}{len(self.nodes)}"
        self.nodes[name] = node
        self.shapes[name] = node.output_shape([self.shapes[source] for source in node.sources])
        self.open.append(name)
        return name

    @property
    def layers(self) -> int:
        """Layers so far."""
        return sum(isinstance(node, Linear | Conv2d) for node in self.nodes.values())

    @property
    def loose(self) -> list[str]:
        """Nodes that nobody reads."""
        read = {source for node in self.nodes.values() for source in node.sources}
        return [name for name in self.open if name not in read]

    def source(self, sizes: Shape | None = None) -> str:
        """A node to read, more likely a late one, so that graphs get deep.

        Args:
            sizes: those beside the features, where they have to fit.
        """
        fitting = [name for name in self.open if sizes is None or self.shapes[name][1:] == sizes]
        return self.chance.choice(fitting[-3:] if self.chance.random() < 0.6 else fitting)

    def activation(self) -> str:
        return self.chance.choice(self.activations)

    def layer(self, source: str | None = None, like: Shape | None = None) -> str:
        """A linear layer or a convolution, with the output shape `like` where one is given."""
        source = source or self.source(None if like is None else like[1:])
        fields: dict[str, Any] = {
            "sources": (source,),
            "features": self.chance.randint(1, 6) if like is None else like[0],
            "bias": self.chance.random() < 0.85,
            "activation": self.activation(),
        }
        sizes = self.shapes[source][1:]
        if not sizes:
            return self.add("h", Linear(**fields))
        paddings = ["same"] if like is not None else ["same", 0, 1]
        fields["padding"] = padding = self.chance.choice(paddings)
        fields["kernel"] = self.chance.randint(1, min(3, *sizes))
        fields["stride"] = 1 if padding == "same" else self.chance.choice([1, 1, 2])
        return self.add("c", Conv2d(**fields))

    def added(self) -> str:
        """Two or three nodes of one shape, some of them drawn for it."""
        first = self.source()
        sources = [first]
        equal = [name for name in self.open if self.shapes[name] == self.shapes[first] and name != first]
        self.chance.shuffle(equal)
        for _ in range(self.chance.choice([1, 1, 2])):
            taken = equal and self.chance.random() < 0.5
            sources.append(equal.pop() if taken else self.layer(like=self.shapes[first]))
        return self.merged(sources)

    def merged(self, sources: Sequence[str]) -> str:
        """A sum, half of them with an activation."""
        activation = self.activation() if self.chance.random() < 0.5 else "identity"
        return self.add("m", Merge(sources=tuple(sources), activation=activation))

    def concat(self) -> str:
        """Two or three nodes side by side."""
        sizes = self.shapes[self.source()][1:]
        fitting = [name for name in self.open if self.shapes[name][1:] == sizes]
        sources = self.chance.sample(fitting, min(len(fitting), self.chance.choice([2, 2, 3])))
        if len(sources) == 1:
            sources.append(self.layer(sources[0], self.shapes[sources[0]]))
        return self.add("k", Merge(sources=tuple(sources), merge="concat"))

    def residual(self) -> str:
        """A stream with one or two branches that are added to it."""
        stream = self.layer()
        for _ in range(self.chance.choice([1, 2])):
            inside = self.layer(stream, (self.chance.randint(1, 6), *self.shapes[stream][1:]))
            stream = self.merged([stream, self.layer(inside, self.shapes[stream])])
        return stream

    def operation(self) -> str:
        """A norm, or a pool where there are positions."""
        source = self.source()
        reads = {"sources": (source,)}
        choices: list[Node] = [BatchNorm(**reads, activation=self.activation())]
        if min(self.shapes[source][1:], default=0) > 1:
            stride = self.chance.choice([None, 1])
            choices += [kind(**reads, kernel=2, stride=stride) for kind in (MaxPool2d, AvgPool2d)]
            choices.append(AdaptiveAvgPool2d(**reads, size=2))
        return self.add("o", self.chance.choice(choices))

    def draw(self, layers: int) -> None:
        """Pieces until there are so many layers."""
        pieces = [self.layer] * 4 + [self.added, self.added, self.concat, self.residual]
        while self.layers < layers:
            images = any(len(self.shapes[name]) > 1 for name in self.open)
            self.chance.choice(pieces + [self.operation] * (4 if images else 1))()

    def flatten(self) -> None:
        """Leave the positions behind: only rows are read from here on."""
        ends = self.loose
        self.open = []
        for name in ends:
            self.add("f", Flatten(sources=(name,)))

    def finished(self, outputs: int, name: str) -> Spec:
        """With a head behind whatever nobody reads: one for all side by side, or the sum of one for each."""
        ends = self.loose
        if len(ends) > 1 and self.chance.random() < 0.5:
            ends = [self.add("k", Merge(sources=tuple(ends), merge="concat"))]
        heads = [self.add("y", Linear(sources=(end,), features=outputs)) for end in ends]
        (output,) = heads if len(heads) == 1 else [self.add("m", Merge(sources=tuple(heads)))]
        return Spec(name=name, nodes=self.nodes, outputs=(output,))


def drawn(chance: random.Random, inputs: Sequence[Shape], layers: int, outputs: int, name: str) -> Spec:
    """A random graph with so many hidden layers or a few more; images are convolved first."""
    sketch = Sketch(chance, inputs)
    if len(inputs[0]) > 1:
        sketch.draw(max(2, layers // 2))
        sketch.flatten()
    sketch.draw(layers)
    return sketch.finished(outputs, name)


def row(chance: random.Random) -> Shape:
    """The shape of an input that is a row of features."""
    return (chance.randint(2, 5),)


def image(chance: random.Random) -> Shape:
    """The shape of an input that is a small image."""
    size = chance.randint(4, 6)
    return (chance.randint(1, 2), size, size)
