"""Residual branches that could be put behind nodes: a network gets deeper, and computes the same at first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count

from gromo_graph.errors import GraphError
from gromo_graph.graph.growth_edits import free_name
from gromo_graph.graph.paths import Bridge, NoBridge, out_layer, sum_of
from gromo_graph.graph.view import Graph
from gromo_graph.spec.kinds import Conv1d, Conv2d, Convolution, Input, Layer, Linear, Merge, Node
from gromo_graph.spec.kinds.activation import Activation
from gromo_graph.spec.kinds.again import shared_by
from gromo_graph.spec.model import Spec
from gromo_graph.spec.token_inputs import vocabularies


@dataclass(frozen=True)
class Deepen:
    """A residual branch behind a node: whoever read the node reads the sum of it and the branch.

    Attributes:
        source: the node. total: the name of the sum. nodes: those of the branch.
    """

    source: str
    total: str
    nodes: tuple[tuple[str, Node], ...]

    def spec_of(self, spec: Spec) -> Spec:
        """The spec with the branch right behind the node.

        Raises:
            GraphError: there is no such node, or a name is taken.
        """
        if self.source not in spec.nodes:
            raise GraphError(f"`{self.source}` is no node of this spec")
        last, _ = self.nodes[-1]
        new = {**dict(self.nodes), self.total: Merge(sources=(self.source, last))}
        for name in new:
            if name in spec.nodes:
                raise GraphError(f"there is a node `{name}` already")
        nodes: dict[str, Node] = {}
        for name, node in spec.nodes.items():
            sources = tuple(self.total if source == self.source else source for source in node.sources)
            nodes[name] = node if sources == node.sources else node.model_copy(update={"sources": sources})
            if name == self.source:
                nodes |= new
        return replace(spec, nodes=nodes)


def deep_places(graph: Graph) -> Iterator[Bridge | NoBridge]:
    """Every node behind which a branch may stand: its value is read, and it is no input, no output and no token id.

    A layer that merely enters a sum is none: a branch behind the sum does the same.
    """
    taken = {*vocabularies(graph.spec.nodes), *shared_by(graph.spec.nodes)}
    for name, node in graph.spec.nodes.items():
        if name not in graph.ends or isinstance(node, Input) or name in taken or not graph.readers(name):
            continue
        if sum_of(graph, name) is not None:
            continue
        if name in graph.spec.outputs:
            yield NoBridge(name, name, False, False, "it is an output, which has to stay what it is")
            continue
        yield Bridge(name, name, False, False, plain_reader(graph, name))


def plain_reader(graph: Graph, name: str, *, kernel: int | None = None) -> Layer:
    """A layer that reads a node and gives as many features at the same positions, without a bias.

    Args:
        kernel: of a convolution; None takes the usual one of the graph.
    """
    features, *positions = graph.shapes[name]
    if not positions:
        return Linear(sources=(name,), features=features, bias=False)
    kind = (Conv1d, Conv2d)[len(positions) - 1]
    kernel = _usual_kernel(graph, kind) if kernel is None else kernel
    return kind(sources=(name,), features=features, kernel=kernel, padding=kernel // 2, bias=False)


def _usual_kernel(graph: Graph, kind: type[Convolution]) -> int:
    """The kernel that most convolutions of a graph have which keep positions; 3 for images and 1 for sequences."""
    nodes = [node for node in graph.spec.nodes.values() if isinstance(node, kind)]
    plain = [node for node in nodes if node.stride == 1 and node.dilation == 1]
    found = Counter(node.kernel for node in plain if isinstance(node.kernel, int) and node.kernel % 2 == 1)
    return found.most_common(1)[0][0] if found else (3 if kind is Conv2d else 1)


@dataclass(frozen=True)
class Branch:
    """The names and the kind of layer of a new branch.

    Attributes:
        name: of the layer of new neurons; the layer behind it is `name.out`, and the sum `name.sum`.
        activation: of the new neurons. shifts: as of `Middle`.
    """

    name: str
    activation: Activation
    shifts: bool


def branch_name(graph: Graph) -> str:
    """The name of the next branch: `deep.1`, `deep.2`, ..."""
    return next(name for number in count(1) if (name := f"deep.{number}") not in graph.spec.nodes)


def deepening(graph: Graph, bridge: Bridge, branch: Branch, neurons: int) -> Deepen:
    """The edit that puts a branch of some neurons behind a node."""
    first = bridge.reader.model_copy(
        update={"features": neurons, "bias": True, "activation": branch.activation}
    )
    names: Mapping[str, str] = {
        part: free_name(graph.spec, f"{branch.name}.{part}") for part in ("out", "sum")
    }
    last = out_layer(bridge.reader, branch.name, bias=branch.shifts)
    return Deepen(bridge.source, names["sum"], ((branch.name, first), (names["out"], last)))
