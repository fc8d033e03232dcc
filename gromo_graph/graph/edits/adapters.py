"""An edit that puts an adapter beside a layer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gromo_graph.arguments import checked
from gromo_graph.errors import GraphError
from gromo_graph.graph.adapters import adapter_of, adapter_path, adapter_place
from gromo_graph.graph.edits.base import Edited, SpecEdit, node_named
from gromo_graph.graph.growth_edits import linear_name
from gromo_graph.graph.view import build_graph
from gromo_graph.spec.model import Spec


@checked
@dataclass(frozen=True)
class AddAdapter(SpecEdit):
    """Freeze a linear or convolution layer, and put an adapter beside it that gives 0 at first.

    A layer with an activation, or with readers other than one sum, becomes `name.linear`, and a sum takes its name.
    """

    name: str
    rank: int

    def edited(self, spec: Spec) -> Edited:
        """The layer must have no adapter, and the rank be 1 or more."""
        node_named(spec, self.name)
        if self.rank < 1:
            raise GraphError(f"an adapter has rank 1 or more, found {self.rank}")
        graph = build_graph(spec)
        if adapter_of(graph, self.name) is not None:
            raise GraphError(f"`{self.name}` has an adapter already: give that another rank")
        place = adapter_place(graph, self.name)
        path = adapter_path(graph, place, self.rank)
        (down, _), (up, _) = path.nodes
        after = path.spec_of(spec)
        own = linear_name(spec, self.name) if place.bridge.target == self.name else self.name
        frozen = after.nodes[own].model_copy(update={"frozen": True})
        after = replace(after, nodes={**after.nodes, own: frozen})
        new_sum = {self.name} if own != self.name else set()
        renamed = {own: self.name} if own != self.name else {}
        return Edited(after, renamed, {up: "zero"}, added=frozenset({down, up, *new_sum}))
