"""GrowingNetwork: the torch module of a graph."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gromo_graph.amounts import amount
from gromo_graph.display import Displayed
from gromo_graph.errors import GraphError
from gromo_graph.graph import Call, Graph
from gromo_graph.graph.adapters import adapters
from gromo_graph.graph.growability import growing_share
from gromo_graph.modules import GrowingModule, Linkable, MergeGrowingModule
from gromo_graph.network.fast_forward import FastForward
from gromo_graph.network.forward import run
from gromo_graph.network.link_modules import Parts, assembled
from gromo_graph.network.merging import merged_adapters
from gromo_graph.network.module_keys import module_key
from gromo_graph.network.plain import plain_module
from gromo_graph.spec.model import Spec

Extended = tuple[Tensor, Tensor | None]
"""A value and the further channels that pending growth gives it, None without any."""


class GrowingNetwork(Displayed, torch.nn.Module):
    """A network that may grow. Its `spec` and `graph` always equal the real sizes.

    Made by `compile_network`. The units of the graph (graph/neighbours.py) are its modules, run in topological order.

    Args:
        graph: what the network is.
        parts: the torch half of each node that has one, by name.
    """

    def __init__(self, graph: Graph, parts: Parts) -> None:
        super().__init__()
        self._fast = FastForward()
        units = assembled(graph, parts)
        self.become(
            graph, parts, torch.nn.ModuleDict({module_key(key): module for key, module in units.items()})
        )

    def become(self, graph: Graph, parts: Parts, nodes: torch.nn.ModuleDict) -> None:
        """Take over another graph with its parts and modules."""
        self._graph = graph
        self._parts = dict(parts)  # a dict registers nothing: the modules hold them
        self.nodes = nodes
        _ = graph.calls  # a compiler could not follow how they are found

    @property
    def spec(self) -> Spec:
        """The spec as the network now stands."""
        return self._graph.spec

    @property
    def graph(self) -> Graph:
        """The graph as the network now stands."""
        return self._graph

    @property
    def growing_share(self) -> float:
        """The share of the parameters in layers that growth may widen, on either side, from 0 to 1."""
        return growing_share(self._graph)

    @property
    def parts(self) -> Parts:
        """The torch half of each node that has one: layers and operations, by the name of the node."""
        return self._parts

    def unit(self, key: str) -> torch.nn.Module:
        """The module of the unit `key` (graph/neighbours.py)."""
        return self.nodes[module_key(key)]

    @property
    def linkable(self) -> Mapping[str, Linkable]:
        """The growing and merge modules by the key of their unit."""
        units = ((key, self.unit(key)) for key in self._graph.units)
        return {key: module for key, module in units if isinstance(module, Linkable)}

    def growing(self, name: str) -> GrowingModule:
        """The growing module of the layer `name`.

        Raises:
            GraphError: `name` is no layer.
        """
        module = dict(self.nodes.items()).get(module_key(name))
        if not isinstance(module, GrowingModule):
            layers = ", ".join(f"`{key}`" for key, unit in self.graph.units.items() if unit.role == "layer")
            raise GraphError(f"`{name}` is no layer of this network: expected one of {layers}")
        return module

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor | dict[str, Tensor]:
        """The outputs for a batch.

        Args:
            inputs: one tensor (batch, *shape) for each input node, in the order of the document.
            named: the same by name.

        Returns:
            A tensor (batch, *shape), or with `outputs:` in the spec a dict of them by name.

        Raises:
            GraphError: an input is missing, unknown, or has another shape than the spec says.
        """
        values = self._inputs(inputs, named)
        fast = self._fast.module(self._graph, self.nodes)
        if fast is not None:
            found: Tensor | dict[str, Tensor] = fast.forward(*(values[name] for name in self.spec.inputs))
            return found
        modules = self.nodes
        return run(self._graph, values, lambda call, taken: modules[module_key(call.output)](*taken))

    def extended_forward(self, *inputs: Tensor, **named: Tensor) -> Tensor | dict[str, Tensor]:
        """The result of `forward` if the pending growth were applied with the current scaling factors."""
        pairs: dict[str, Extended] = {name: (x, None) for name, x in self._inputs(inputs, named).items()}
        found = run(self._graph, pairs, self._extended)
        return {name: value for name, (value, _) in found.items()} if isinstance(found, dict) else found[0]

    def _extended(self, call: Call, taken: list[Extended]) -> Extended:
        module = self.unit(call.output)
        if isinstance(module, GrowingModule):
            return module.extended_forward(*taken[0])
        if isinstance(module, MergeGrowingModule):
            return module.extended_forward(*taken)
        return module(*(value for value, _ in taken)), None

    def to_torch(self) -> torch.fx.GraphModule:
        """A plain module of torch layers that computes the same, in training and in evaluation.

        It has copies of the weights and needs no gromo_graph: it can be trained, copied, moved, compiled and pickled
        with torch alone. Inputs are given by position or by name, made an identifier of Python if it is none.
        Pending growth is not part of it; adapters are merged into the weights of their layers.

        Returns:
            A module that returns what `forward` does: a tensor (batch, *shape), or a dict of them by name. Its `code`
            shows what it computes.

        >>> from gromo_graph import compile_network, parse_spec
        >>> network = compile_network(parse_spec('''
        ... nodes:
        ...   x: {kind: input, shape: [3]}
        ...   hidden: {kind: linear, from: x, features: 4, activation: relu}
        ...   y: {kind: linear, from: hidden, features: 2}
        ... output: y
        ... '''), seed=0)
        >>> plain, x = network.to_torch(), torch.ones(5, 3)
        >>> torch.equal(plain(x), network(x)), plain.hidden
        (True, Linear(in_features=3, out_features=4, bias=True))
        """
        graph, parts = merged_adapters(self._graph, self._parts)
        return plain_module(graph, parts, training=self.training)

    def merged(self) -> GrowingNetwork:
        """The network without adapters, which computes the same: each is merged into the weights of its layer.

        Returns:
            A copy, or the network itself if it has no adapters.
        """
        if not adapters(self._graph):
            return self
        found = copy.deepcopy(self)
        graph, parts = merged_adapters(found.graph, found.parts)
        modes = {module: module.training for part in parts.values() for module in part.modules()}
        found = GrowingNetwork(graph, parts).train(self.training)
        for module, training in modes.items():
            module.training = training
        return found

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As in any torch module.

        Raises:
            RuntimeError: the weights are those of another network; says how one of their sizes is made.
        """
        try:
            return super().load_state_dict(state_dict, strict=strict, assign=assign)
        except RuntimeError as error:
            raise RuntimeError(
                f"{error}\nThese are the weights of another network than that of this spec, such as a grown one: keep "
                "`network.spec` beside them (dump_spec), make the network of that spec and load them into it"
            ) from error

    def extra_repr(self) -> str:
        """Name and size."""
        nodes, parameters = len(self.spec.nodes), self.graph.parameter_count
        return f"{self.spec.name}: {amount(nodes, 'node')}, {amount(parameters, 'parameter')}"

    def _inputs(self, inputs: Sequence[Tensor], named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        names = self.spec.inputs
        values = dict(zip(names, inputs, strict=False)) | dict(named)
        if len(inputs) > len(names) or set(values) != set(names) or len(inputs) + len(named) != len(names):
            raise GraphError(
                f"the network reads {len(names)} input(s) ({', '.join(names)}): "
                f"found {len(inputs)} by position and {sorted(named)} by name"
            )
        for name, value in values.items():
            expected = f"(batch, {', '.join(map(str, self._graph.shapes[name]))})"
            if not isinstance(value, Tensor):
                raise GraphError(
                    f"input `{name}` is a {type(value).__name__}: expected a tensor of shape {expected}"
                )
            if tuple(value.shape[1:]) != self._graph.shapes[name]:
                raise GraphError(f"input `{name}` has shape {tuple(value.shape)}: expected {expected}")
        if len({len(value) for value in values.values()}) > 1:
            sizes = ", ".join(f"{len(value)} of `{name}`" for name, value in values.items())
            raise GraphError(f"the inputs have batches of different sizes, {sizes}: expected one size")
        return values
