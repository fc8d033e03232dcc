"""What the loss makes of new paths, to first order: measured in the same pass as the slopes of what widens."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gromo_graph.algebra import Tangent
from gromo_graph.graph import Middle, new_node
from gromo_graph.growth.candidates import NewPath
from gromo_graph.growth.new_paths import Found, with_path
from gromo_graph.growth.observe import Observation
from gromo_graph.growth.readings import image_of
from gromo_graph.growth.slopes import best_signs, enough
from gromo_graph.modules.measured import MeasuredModule
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Growth


@dataclass
class PathMeasurement:
    """Sums over samples for one path.

    Attributes:
        middle, tangent: what new nodes are like, and their activation near 0.
        layers: those whose outputs are looked at, made when first needed.
        kept, flipped: slopes of new neurons, and of those with the opposite sign on both sides.
        slope: of a new edge, and of the optimal deltas.
    """

    network: GrowingNetwork
    found: Found
    middle: Middle
    tangent: Tangent
    layers: dict[str, torch.nn.Module] = field(default_factory=dict)
    kept: Tensor | None = None
    flipped: Tensor | None = None
    slope: float = 0.0

    @torch.no_grad()
    def add(self, seen: Observation) -> None:
        """Count a batch."""
        found, bridge = self.found, self.found.proposal.bridge
        assert bridge is not None
        gradient = image_of(seen.gradients[bridge.target])
        value = seen.values[bridge.source]
        if found.delta is not None:
            change = image_of(self._layer(value, found.delta, None)(value))
            self.slope += float((change * gradient).sum())
            for name, delta in found.proposal.deltas.items():
                layer = self.network.growing(name)
                change = image_of(self._of_delta(layer, delta)(layer.input))
                self.slope += float((change * gradient).sum())
        elif found.neurons is not None and len(found.neurons.singular_values):
            alpha, omega = found.neurons.alpha, found.neurons.omega
            t = image_of(self._layer(value, alpha[:, :-1], alpha[:, -1])(value))
            pull = torch.einsum("nohw,ok->nkhw", gradient, omega.to(gradient))
            kept = -(pull * self.tangent.apply(t)).sum(dim=(0, 2, 3))
            flipped = (pull * self.tangent.apply(-t)).sum(dim=(0, 2, 3))
            self.kept = kept if self.kept is None else self.kept + kept
            self.flipped = flipped if self.flipped is None else self.flipped + flipped

    def _layer(self, value: Tensor, rows: Tensor, bias: Tensor | None) -> torch.nn.Module:
        """A layer with these rows of weights that reads the source."""
        if "" not in self.layers:
            reading = self.found.reading
            offset = None if bias is None else bias.to(value)
            self.layers[""] = reading.adapter.layer_of(reading.layer, self._weight(rows.to(value)), offset)
        return self.layers[""]

    def _of_delta(self, module: MeasuredModule, delta: Tensor) -> torch.nn.Module:
        """A layer like one that enters the target, with its optimal delta as weights."""
        if module.name not in self.layers:
            weight, bias = module.adapter.weight_and_bias(module.layer, delta.to(module.weight))
            self.layers[module.name] = module.adapter.layer_of(module.layer, weight, bias)
        return self.layers[module.name]

    def _weight(self, rows: Tensor) -> Tensor:
        return rows.reshape(rows.shape[0], *self.found.reading.layer.weight.shape[1:])  # type: ignore[index]

    def proposal(self, samples: int, policy: Growth) -> NewPath:
        """The path as it would be applied."""
        found = self.found
        if found.delta is not None:
            return self._edge(found.delta, samples)
        assert found.neurons is not None
        wanted, proposal = found.proposal.neurons, found.proposal
        if self.kept is None or self.flipped is None:
            return _left_out(proposal, "no new neuron would lower the loss")
        best, sign = best_signs(self.kept / samples, self.flipped / samples)
        order = torch.argsort(best, descending=True, stable=True)
        order = order[: enough(best[order], wanted, policy.neurons)]
        if not len(order):
            return _left_out(proposal, "no new neuron would lower the loss")
        return self._with_neurons(order, sign[order], float(best[order].sum()))

    def _edge(self, delta: Tensor, samples: int) -> NewPath:
        proposal, slope = self.found.proposal, self.slope / samples
        if not slope > 0.0:
            return _left_out(proposal, "it would not lower the loss")
        weight = -self._weight(delta)
        return replace(proposal, slope=slope, predicted=slope, weights=((weight, None),))

    def _with_neurons(self, order: Tensor, sign: Tensor, slope: float) -> NewPath:
        proposal, neurons, graph = self.found.proposal, self.found.neurons, self.network.graph
        assert neurons is not None
        assert proposal.bridge is not None
        alpha = neurons.alpha[order] * sign.to(neurons.alpha)[:, None]
        omega = neurons.omega[:, order] * sign.to(neurons.omega)
        ones = (1,) * (self.found.reading.layer.weight.dim() - 2)  # type: ignore[operator]
        shift = -self.tangent.value * omega.sum(dim=1) if self.middle.shifts else None
        found = replace(
            proposal,
            neurons=len(order),
            weights=(
                (self._weight(alpha[:, :-1]), alpha[:, -1]),
                (omega.reshape(*omega.shape, *ones), shift),
            ),
            slope=slope,
            predicted=self.tangent.right * float(neurons.singular_values[order].square().sum()),
        )
        return with_path(found, new_node(graph, proposal.bridge, self.middle, len(order)))


def _left_out(proposal: NewPath, reason: str) -> NewPath:
    found = proposal.left_out(reason)
    assert isinstance(found, NewPath)
    return found
