"""What the loss makes of new paths, to first order: measured in the same pass as the slopes of what widens."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gromo_graph.algebra import Tangent
from gromo_graph.graph import Middle
from gromo_graph.growth.candidates.paths import Found
from gromo_graph.growth.candidates.proposals import FirstWeights, NewPath
from gromo_graph.growth.candidates.slopes import best_signs, enough
from gromo_graph.growth.observe import Observation
from gromo_graph.growth.process_sums import Processes
from gromo_graph.growth.source_statistics import image_of
from gromo_graph.modules.measured import MeasuredModule
from gromo_graph.modules.surgery import layer_of_matrix
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
        if found.delta is not None:
            change = image_of(found.reading.value(self._layer(found.delta), seen))
            self.slope += float((change * gradient).sum())
            for name, delta in found.proposal.deltas.items():
                layer = self.network.growing(name)
                change = image_of(self._of_delta(layer, delta)(layer.input))
                self.slope += float((change * gradient).sum())
        elif found.neurons is not None and len(found.neurons.singular_values):
            alpha, omega = found.neurons.alpha, found.neurons.omega
            t = image_of(found.reading.value(self._layer(alpha), seen))
            pull = torch.einsum("nohw,ok->nkhw", gradient, omega.to(gradient))
            kept = -(pull * self.tangent.apply(t)).sum(dim=(0, 2, 3))
            flipped = (pull * self.tangent.apply(-t)).sum(dim=(0, 2, 3))
            self.kept = kept if self.kept is None else self.kept + kept
            self.flipped = flipped if self.flipped is None else self.flipped + flipped

    def share(self, processes: Processes) -> None:
        """Add what the other processes have counted."""
        (self.slope,) = processes.totals(self.slope)
        if self.kept is not None and self.flipped is not None:
            processes.add_up([self.kept, self.flipped])

    def _layer(self, matrix: Tensor) -> torch.nn.Module:
        """The layer with these weights that reads the source."""
        name = self.found.reading.source
        if name not in self.layers:
            self.layers[name] = self.found.reading.layer_of(matrix)
        return self.layers[name]

    def _of_delta(self, module: MeasuredModule, delta: Tensor) -> torch.nn.Module:
        """A layer like one that enters the target, with its optimal delta as weights."""
        if module.name not in self.layers:
            self.layers[module.name] = layer_of_matrix(module, delta)
        return self.layers[module.name]

    def proposal(self, samples: int, policy: Growth) -> NewPath:
        """The path as it would be applied."""
        found = self.found
        if found.delta is not None:
            return self._edge(found.delta, samples)
        assert found.neurons is not None
        wanted, proposal = found.proposal.neurons, found.proposal
        if self.kept is None or self.flipped is None:
            return proposal.left_out("no new neuron would lower the loss")
        best, sign = best_signs(self.kept / samples, self.flipped / samples)
        order = torch.argsort(best, descending=True, stable=True)
        order = order[: enough(best[order], wanted, policy.neurons)]
        if not len(order):
            return proposal.left_out("no new neuron would lower the loss")
        return self._with_neurons(order, sign[order], float(best[order].sum()))

    def _edge(self, delta: Tensor, samples: int) -> NewPath:
        proposal, slope = self.found.proposal, self.slope / samples
        if not slope > 0.0:
            return proposal.left_out("it would not lower the loss")
        weight, _ = self.found.reading.weights(-delta)
        weights = (FirstWeights(weight, None, 1.0),)
        return replace(proposal, slope=slope, predicted=slope, weights=weights)

    def _with_neurons(self, order: Tensor, sign: Tensor, slope: float) -> NewPath:
        proposal, neurons = self.found.proposal, self.found.neurons
        assert neurons is not None
        alpha = neurons.alpha[order] * sign.to(neurons.alpha)[:, None]
        omega = neurons.omega[:, order] * sign.to(neurons.omega)
        fan_in, bias = self.found.reading.weights(alpha)
        fan_out = omega.reshape(*omega.shape, *(1,) * (fan_in.dim() - 2))
        shift = -self.tangent.value * omega.sum(dim=1) if self.middle.shifts else None
        found = replace(
            proposal,
            neurons=len(order),
            slope=slope,
            predicted=self.tangent.right * float(neurons.singular_values[order].square().sum()),
        )
        sides = (FirstWeights(fan_in, bias, 0.5), FirstWeights(fan_out, shift, 0.5))
        return self.found.reading.completed(found, self.middle, sides)
